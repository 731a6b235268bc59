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

/* With the lock: count == young.count + old.count + expired.count again. */
static void depot_count_set(struct tp_depot *depot)
{
	tp_store_relaxed(
		&depot->count, depot->young.count + depot->old.count + depot->expired.count);
}

bool tp_depot_push(struct tp_depot *depot, struct tp_buflist *list)
{
	bool open;

	pthread_mutex_lock(&depot->lock);
	open = !depot->closed;
	for (tierpool_buf *b; open && (b = tp_buflist_pop(list));)
		tp_buflist_push(tp_bufstate_age(b) ? &depot->old : &depot->young, b);
	depot_count_set(depot);
	pthread_mutex_unlock(&depot->lock);
	return open;
}

bool tp_depot_expire(struct tp_depot *depot, struct tp_buflist *list)
{
	bool open;

	pthread_mutex_lock(&depot->lock);
	open = !depot->closed;
	if (open)
		tp_buflist_move(list, &depot->expired);
	depot_count_set(depot);
	pthread_mutex_unlock(&depot->lock);
	return open;
}

/* Moves up to most buffers, with this age. Returns: how many more it might have moved. */
static size_t depot_move(struct tp_buflist *from, size_t most, unsigned age, struct tp_buflist *to)
{
	for (; most && from->head; most--) {
		tierpool_buf *b = tp_buflist_pop(from);

		tp_bufstate_age_set(b, age);
		tp_buflist_push(to, b);
	}
	return most;
}

void tp_depot_pop(
	struct tp_depot *depot, size_t most, enum tp_depot_age age, struct tp_buflist *list)
{
	/* Relaxed: a get that misses what was put just now might as well have come before it. */
	if (!tp_load_relaxed(&depot->count))
		return;
	pthread_mutex_lock(&depot->lock);
	if (age == TP_DEPOT_ANY)
		most = depot_move(&depot->young, most, 0, list);
	if (age != TP_DEPOT_EXPIRED)
		most = depot_move(&depot->old, most, 1, list);
	depot_move(&depot->expired, most, 1, list);
	depot_count_set(depot);
	pthread_mutex_unlock(&depot->lock);
}

/* With the lock: makes old what was young. Returns: what was old. */
static struct tp_buflist depot_generation_pass(struct tp_depot *depot)
{
	struct tp_buflist old = depot->old;

	depot->old = depot->young;
	depot->young = (struct tp_buflist){NULL, 0};
	return old;
}

void tp_depot_rotate(struct tp_depot *depot, struct tp_buflist *victims)
{
	struct tp_buflist old, expired;

	pthread_mutex_lock(&depot->lock);
	old = depot_generation_pass(depot);
	expired = depot->expired;
	depot->expired = (struct tp_buflist){NULL, 0};
	depot_count_set(depot);
	pthread_mutex_unlock(&depot->lock);
	tp_buflist_move(&old, victims);
	tp_buflist_move(&expired, victims);
}

bool tp_depot_age(struct tp_depot *depot)
{
	bool any;

	pthread_mutex_lock(&depot->lock);
	if (!depot->expired.head)
		depot->expired = depot_generation_pass(depot);
	any = depot->expired.head;
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
