/* SPDX-License-Identifier: MIT */
#include "idle/depot.h"

#include <string.h>

#include "base/atomic.h"
#include "memory/bufstate.h"

void tp_depot_init(struct tp_depot *depot)
{
	memset(depot, 0, sizeof *depot);
	pthread_mutex_init(&depot->lock, NULL);
}

void tp_depot_fini(struct tp_depot *depot)
{
	pthread_mutex_destroy(&depot->lock);
}

/* In the lock: makes the count that anyone may read true again. */
static void depot_counted(struct tp_depot *depot)
{
	tp_store_relaxed(&depot->count, depot->young.count + depot->old.count + depot->dying.count);
}

bool tp_depot_push(struct tp_depot *depot, struct tp_list *list)
{
	bool open;

	pthread_mutex_lock(&depot->lock);
	open = !depot->closed;
	for (tierpool_buf *b; open && (b = tp_list_pop(list));)
		tp_list_push(tp_control_age(b) ? &depot->old : &depot->young, b);
	depot_counted(depot);
	pthread_mutex_unlock(&depot->lock);
	return open;
}

bool tp_depot_bury(struct tp_depot *depot, struct tp_list *list)
{
	bool open;

	pthread_mutex_lock(&depot->lock);
	open = !depot->closed;
	if (open)
		tp_list_move(list, &depot->dying);
	depot_counted(depot);
	pthread_mutex_unlock(&depot->lock);
	return open;
}

/* Up to most of them; how many more it might have been. */
static size_t move(struct tp_list *from, size_t most, unsigned age, struct tp_list *to)
{
	for (; most && from->head; most--) {
		tierpool_buf *b = tp_list_pop(from);

		tp_control_age_set(b, age);
		tp_list_push(to, b);
	}
	return most;
}

void tp_depot_pop(struct tp_depot *depot, size_t most, enum tp_depot_age age, struct tp_list *list)
{
	/* Stale by a moment at worst: then a get misses what was put just now, as if it came first.
	 */
	if (!tp_load_relaxed(&depot->count))
		return;
	pthread_mutex_lock(&depot->lock);
	if (age == TP_DEPOT_ANY)
		most = move(&depot->young, most, 0, list);
	if (age != TP_DEPOT_DYING)
		most = move(&depot->old, most, 1, list);
	move(&depot->dying, most, 1, list);
	depot_counted(depot);
	pthread_mutex_unlock(&depot->lock);
}

/* In the lock: what is old now, and makes old what was young. */
static struct tp_list generation_pass(struct tp_depot *depot)
{
	struct tp_list old = depot->old;

	depot->old = depot->young;
	depot->young = (struct tp_list){NULL, 0};
	return old;
}

void tp_depot_rotate(struct tp_depot *depot, struct tp_list *victims)
{
	struct tp_list old, dying;

	pthread_mutex_lock(&depot->lock);
	old = generation_pass(depot);
	dying = depot->dying;
	depot->dying = (struct tp_list){NULL, 0};
	depot_counted(depot);
	pthread_mutex_unlock(&depot->lock);
	tp_list_move(&old, victims);
	tp_list_move(&dying, victims);
}

bool tp_depot_age(struct tp_depot *depot)
{
	bool any;

	pthread_mutex_lock(&depot->lock);
	if (!depot->dying.head)
		depot->dying = generation_pass(depot);
	any = depot->dying.head;
	pthread_mutex_unlock(&depot->lock);
	return any;
}

void tp_depot_close(struct tp_depot *depot)
{
	pthread_mutex_lock(&depot->lock);
	depot->closed = true;
	pthread_mutex_unlock(&depot->lock);
}

size_t tp_depot_count(const struct tp_depot *depot)
{
	return tp_load_relaxed(&depot->count);
}
