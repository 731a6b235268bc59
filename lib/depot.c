/* SPDX-License-Identifier: MIT */
#include "depot.h"

#include <string.h>

#include "atomic.h"
#include "control.h"

void tp_list_push(struct tp_list *list, tierpool_buf *b)
{
	b->tp_link = list->head;
	list->head = b;
	list->count++;
}

tierpool_buf *tp_list_pop(struct tp_list *list)
{
	tierpool_buf *b = list->head;

	if (b) {
		list->head = b->tp_link;
		list->count--;
	}
	return b;
}

void tp_list_move(struct tp_list *from, struct tp_list *to)
{
	for (tierpool_buf *b; (b = tp_list_pop(from));)
		tp_list_push(to, b);
}

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
	tp_store_relaxed(&depot->count, depot->young.count + depot->old.count);
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

static void move(struct tp_list *from, size_t most, unsigned age, struct tp_list *to)
{
	for (; most && from->head; most--) {
		tierpool_buf *b = tp_list_pop(from);

		tp_control_age_set(b, age);
		tp_list_push(to, b);
	}
}

void tp_depot_pop(struct tp_depot *depot, size_t most, enum tp_depot_age age, struct tp_list *list)
{
	/* Stale by a moment at worst: then a get misses what was put just now, as if it came first.
	 */
	if (!tp_load_relaxed(&depot->count))
		return;
	pthread_mutex_lock(&depot->lock);
	if (age == TP_DEPOT_ANY) {
		size_t young = tp_min(most, depot->young.count);

		move(&depot->young, young, 0, list);
		most -= young;
	}
	move(&depot->old, most, 1, list);
	depot_counted(depot);
	pthread_mutex_unlock(&depot->lock);
}

void tp_depot_rotate(struct tp_depot *depot, struct tp_list *victims)
{
	pthread_mutex_lock(&depot->lock);
	*victims = depot->old;
	depot->old = depot->young;
	depot->young = (struct tp_list){NULL, 0};
	depot_counted(depot);
	pthread_mutex_unlock(&depot->lock);
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
