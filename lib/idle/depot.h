/* SPDX-License-Identifier: MIT */
/*
 * The depot of a tier: idle items that have no place in the per-CPU stacks. Owns one array of
 * pointers and its lock; knows nothing of bytes and leases, and touches no item.
 *
 *     item[0 ... expired - 1]      expired: a few are freed in each slow call that maintains
 *     item[expired ... old - 1]    old
 *     item[old ... count - 1]      young      (young and old are sync.Pool's two generations)
 *
 * A get takes the last pointers: young ones, then old, then expired ones, which are still as idle
 * as any. A tick moves the two borders up to the next one, and so takes constant time.
 *
 * A pointer in the array belongs to the depot. The lock is held to move pointers, never while
 * memory is allocated or freed. The array grows by doubling; tp_depot_shrink makes it smaller.
 */
#ifndef TP_DEPOT_H
#define TP_DEPOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/lock.h"
#include "memory/backing.h"

struct tp_depot {
	struct tp_lock lock;
	const struct tp_backing *backing; /* of the array; set when the depot is made */
	/* In the lock; expired, count, capacity and closed are read by anyone. */
	void **item;
	size_t expired, old, count, capacity;
	bool closed; /* for ever: the pool is being destroyed */
} __attribute__((aligned(TP_LINE)));

void tp_depot_init(struct tp_depot *depot, const struct tp_backing *backing);
void tp_depot_fini(struct tp_depot *depot); /* what it still holds is not touched */

/* From the youngest on. */
enum tp_generation { TP_YOUNG, TP_OLD, TP_EXPIRED };

/*
 * Takes n items into a generation. False: the depot is closed, or there is no memory for a larger
 * array; then the items are still the caller's.
 */
bool tp_depot_push(
	struct tp_depot *depot, enum tp_generation generation, void *const *items, size_t n);

/*
 * Takes out up to most items, all of one generation: of the youngest that is not empty, but of
 * none that is younger than youngest.
 *
 * Returns: how many; *generation: which, if there are any.
 */
size_t tp_depot_pop(struct tp_depot *depot, enum tp_generation youngest, void **items, size_t most,
	enum tp_generation *generation);

/* A tick: old becomes expired, young becomes old. Returns: whether any are expired now. */
bool tp_depot_age(struct tp_depot *depot);

/* Gives back what the array has more than the depot needs. */
void tp_depot_shrink(struct tp_depot *depot);

/* Closes the depot for ever: nothing more goes in. What it holds may still be popped. */
void tp_depot_close(struct tp_depot *depot);
bool tp_depot_is_closed(const struct tp_depot *depot);

/* Items in the depot, and bytes of its array, at some moment during the call. */
static inline size_t tp_depot_count(const struct tp_depot *depot)
{
	return tp_load_relaxed(&depot->count);
}
size_t tp_depot_bytes(const struct tp_depot *depot);

#endif
