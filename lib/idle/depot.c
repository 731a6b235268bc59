/* SPDX-License-Identifier: MIT */
#include "idle/depot.h"

#include <string.h>

#include "base/atomic.h"

/* The first array, items. */
#define CAPACITY_LEAST 64

void tp_depot_init(struct tp_depot *depot, const struct tp_backing *backing)
{
	memset(depot, 0, sizeof *depot);
	depot->backing = backing;
	tp_lock_init(&depot->lock);
}

static void depot_array_free(const struct tp_depot *depot, void **item, size_t capacity)
{
	if (item)
		tp_backing_free(depot->backing, item, capacity * sizeof *item);
}

void tp_depot_fini(struct tp_depot *depot)
{
	depot_array_free(depot, depot->item, depot->capacity);
	tp_lock_fini(&depot->lock);
}

/* With the lock: puts another array in the place of the old one, which is returned. */
static void **depot_array_set(struct tp_depot *depot, void **item, size_t capacity)
{
	void **before = depot->item;

	if (depot->count)
		memcpy(item, before, depot->count * sizeof *item);
	depot->item = item;
	tp_store_relaxed(&depot->capacity, capacity);
	return before;
}

/*
 * With the lock, which it gives back meanwhile: makes the array as large as n more items need.
 * False: there is no memory.
 */
static bool depot_grow(struct tp_depot *depot, size_t n)
{
	while (depot->capacity - depot->count < n) {
		size_t capacity = tp_max(CAPACITY_LEAST, 2 * depot->capacity), before;
		void **item;

		tp_lock_give(&depot->lock);
		item = tp_backing_alloc(depot->backing, capacity * sizeof *item);
		tp_lock_take(&depot->lock);
		if (!item)
			return depot->capacity - depot->count >= n;
		before = depot->capacity;
		/* Another call may have been first; or a tick has freed the array. */
		if (capacity > before)
			item = depot_array_set(depot, item, capacity);
		else
			before = capacity;
		tp_lock_give(&depot->lock);
		depot_array_free(depot, item, before);
		tp_lock_take(&depot->lock);
	}
	return true;
}

/* With the lock: count, for those who read it without. */
static void depot_count_set(struct tp_depot *depot, size_t count)
{
	tp_store_relaxed(&depot->count, count);
}

/*
 * With the lock, and with a place free at the end: adds an item to a generation. The first item of
 * each younger one goes to its end, to make place.
 */
static void depot_insert(struct tp_depot *depot, enum tp_generation generation, void *item)
{
	size_t place = depot->count;

	depot_count_set(depot, depot->count + 1);
	if (generation >= TP_OLD) {
		depot->item[place] = depot->item[depot->old];
		place = depot->old++;
	}
	if (generation == TP_EXPIRED) {
		depot->item[place] = depot->item[depot->expired];
		place = depot->expired;
		tp_store_relaxed(&depot->expired, place + 1);
	}
	depot->item[place] = item;
}

bool tp_depot_push(
	struct tp_depot *depot, enum tp_generation generation, void *const *items, size_t n)
{
	bool done;

	tp_lock_take(&depot->lock);
	done = depot_grow(depot, n) && !depot->closed;
	if (done && generation == TP_YOUNG) {
		memcpy(depot->item + depot->count, items, n * sizeof *items);
		depot_count_set(depot, depot->count + n);
	} else {
		for (size_t i = 0; done && i < n; i++)
			depot_insert(depot, generation, items[i]);
	}
	tp_lock_give(&depot->lock);
	return done;
}

/*
 * With the lock: takes out the last n items of a generation. The last ones of each younger
 * generation fill the gap that is left below it.
 */
static void depot_remove(
	struct tp_depot *depot, enum tp_generation generation, void **items, size_t n)
{
	const size_t ends[] = {depot->count, depot->old, depot->expired};
	size_t gap = ends[generation] - n;

	memcpy(items, depot->item + gap, n * sizeof *items);
	for (unsigned younger = generation; younger-- > TP_YOUNG;) {
		size_t moved = tp_min(n, ends[younger] - ends[younger + 1]);

		memmove(depot->item + gap, depot->item + ends[younger] - moved,
			moved * sizeof *items);
		/* If it has fewer than n, all of it has moved, and the gap begins behind it. */
		gap = ends[younger] - n;
	}
	if (generation == TP_EXPIRED)
		tp_store_relaxed(&depot->expired, depot->expired - n);
	if (generation >= TP_OLD)
		depot->old -= n;
	depot_count_set(depot, depot->count - n);
}

size_t tp_depot_pop(struct tp_depot *depot, enum tp_generation youngest, void **items, size_t most,
	enum tp_generation *generation)
{
	size_t n = 0;

	/* Relaxed: a get that misses what was put just now might as well have come before it. */
	if (!tp_load_relaxed(&depot->count) ||
		(youngest == TP_EXPIRED && !tp_load_relaxed(&depot->expired)))
		return 0;
	tp_lock_take(&depot->lock);
	for (*generation = youngest; *generation <= TP_EXPIRED; ++*generation) {
		const size_t have[] = {
			depot->count - depot->old, depot->old - depot->expired, depot->expired};

		n = tp_min(most, have[*generation]);
		if (n) {
			depot_remove(depot, *generation, items, n);
			break;
		}
	}
	tp_lock_give(&depot->lock);
	return n;
}

bool tp_depot_age(struct tp_depot *depot)
{
	bool any;

	tp_lock_take(&depot->lock);
	tp_store_relaxed(&depot->expired, depot->old);
	depot->old = depot->count;
	any = depot->expired;
	tp_lock_give(&depot->lock);
	return any;
}

void tp_depot_shrink(struct tp_depot *depot)
{
	size_t capacity = tp_load_relaxed(&depot->capacity), count = tp_depot_count(depot);
	size_t smaller = count ? tp_max(CAPACITY_LEAST, 2 * count) : 0;
	void **item = NULL;

	/* Relaxed: what is found below in the lock decides. */
	if (capacity < 4 * smaller || !capacity)
		return;
	if (smaller)
		item = tp_backing_alloc(depot->backing, smaller * sizeof *item);
	if (smaller && !item)
		return;
	tp_lock_take(&depot->lock);
	if (depot->count <= smaller && smaller < depot->capacity) {
		capacity = depot->capacity;
		item = depot_array_set(depot, item, smaller);
	} else {
		capacity = smaller;
	}
	tp_lock_give(&depot->lock);
	depot_array_free(depot, item, capacity);
}

void tp_depot_close(struct tp_depot *depot)
{
	tp_lock_take(&depot->lock);
	tp_store_relaxed(&depot->closed, true);
	tp_lock_give(&depot->lock);
}

bool tp_depot_is_closed(const struct tp_depot *depot)
{
	return tp_load_relaxed(&depot->closed);
}

size_t tp_depot_bytes(const struct tp_depot *depot)
{
	return tp_load_relaxed(&depot->capacity) * sizeof *depot->item;
}
