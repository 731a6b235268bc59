/* SPDX-License-Identifier: MIT */
/*
 * What is done with idle items: which one a get takes, where a put keeps one, which ones leave, and
 * what a tick does. Owns these decisions; the tables and the leases are tiers.h's. What must go for
 * good is handed to the owner of the tiers, with its lease (tp_release). So while one of these
 * functions runs, the caller has something that keeps the tiers there.
 */
#ifndef TP_IDLE_H
#define TP_IDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "idle/tiers.h"

/* ---- take.c, keep.c ---- */

/* Where an item was that a get took, and its own CPU did not have. */
enum tp_found { TP_FOUND_IN_DEPOT, TP_FOUND_ON_OTHER_CPU, TP_FOUND_LARGER };

/*
 * Takes an idle item of a tier, after the caller's stack had none: from the depot, with more for
 * the stack; if it is worth it, from other CPUs' stacks; from the depot of the next larger tier, if
 * it is old there. Returns: the item, the caller's, and where it was; NULL: none was found, and
 * *found means nothing.
 */
void *tp_idle_take(struct tp_tiers *tiers, unsigned tier, enum tp_found *found);

/*
 * Keeps an item in the stack of the caller's CPU, after a push found no room: with room that it
 * leases, or in the place of the younger half of a full stack, which goes to the depot. False: it is
 * still the caller's.
 */
bool tp_idle_keep_in_stack(struct tp_tiers *tiers, unsigned tier, void *item);

/*
 * Leases one place, or says why not: from what is free, then from unused room of the caller's CPU,
 * then, once a millisecond, from that of others.
 */
enum tp_kept tp_idle_lease(struct tp_tiers *tiers, unsigned tier);

/* Gives up room in the tiers from ... to - 1 of a few CPUs; next time of others. */
void tp_idle_room_drop(struct tp_tiers *tiers, unsigned from, unsigned to, unsigned cpus);

/* ---- how they leave: evict.c, age.c ---- */

/*
 * Releases one item of a larger tier (TP_DROP_RETAIN): old ones first, but of the one other CPU that
 * it looks at, any. False: nothing was released.
 */
bool tp_idle_evict(struct tp_tiers *tiers, unsigned tier);

/* What a call has released; bytes are those of the cost. */
struct tp_released {
	size_t count, bytes;
};

/*
 * Releases items (TP_DROP_TRIM) until they are excess bytes, but 256 at most, so that no get waits
 * long for the CPUs: old ones first, and of these the largest. Gives up all room. *all: whether all
 * CPUs could be stopped.
 */
struct tp_released tp_idle_trim(struct tp_tiers *tiers, size_t excess, bool *all);

/* Closes all CPUs and depots for ever; all that was idle is released (TP_DROP_DESTROY). */
void tp_idle_close(struct tp_tiers *tiers);

/*
 * Releases all that is idle, and what releases put back meanwhile (TP_DROP_DESTROY). No CPU is
 * stopped. Before: no other thread uses the tiers.
 */
void tp_idle_drain(struct tp_tiers *tiers);

/* Releases what one whole tick expires (TP_DROP_DECAY). */
struct tp_released tp_idle_tick(struct tp_tiers *tiers);

/* Gives the slabs back of CPUs that hold nothing and have no room: a stop for each. */
void tp_idle_slabs_purge(struct tp_tiers *tiers);

/* Begins a tick. Slow calls and expired countdowns do it. */
void tp_idle_tick_begin(struct tp_tiers *tiers);

/* Whether tp_idle_maintain has anything to do: a few loads and the clock. */
bool tp_idle_is_due(const struct tp_tiers *tiers);

/*
 * For slow calls and expired countdowns, when due: begins the tick that is due; does it on the
 * caller's CPU; and if no other call is at it, on a few other CPUs, and releases a few of the items
 * that have expired (TP_DROP_DECAY).
 * Returns: whether it began a tick.
 */
bool tp_idle_maintain(struct tp_tiers *tiers);

#endif
