/* SPDX-License-Identifier: MIT */
/*
 * The depot of a tier: idle buffers that have no place in the per-CPU stacks. Owns three lists and
 * their lock; knows nothing of bytes and leases. Young and old are sync.Pool's two generations.
 *
 *     put ----> young ----> old ----> expired ----> freed
 *                     tick      tick          a few in each slow call or expiry
 *
 * A get takes young buffers first, then old, then expired ones: these are still as idle as any. A
 * tick that is done whole frees old and expired ones itself (tp_depot_rotate); one that is done in
 * pieces frees none (tp_depot_age). Under the lock both take constant time.
 *
 * A buffer in a list belongs to the depot. The lock is held only to move buffers between lists,
 * never while memory is allocated or freed.
 */
#ifndef TP_DEPOT_H
#define TP_DEPOT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <tierpool/buffer.h>

#include "base/compiler.h"
#include "memory/buflist.h"

struct tp_depot {
	pthread_mutex_t lock;
	struct tp_buflist young, old, expired; /* in the lock */
	bool closed;  /* for ever, in the lock: the pool is being destroyed */
	size_t count; /* of all three lists; written in the lock, read by anyone */
} __attribute__((aligned(TP_LINE)));

void tp_depot_init(struct tp_depot *depot);
void tp_depot_fini(struct tp_depot *depot); /* must be empty */

/*
 * Takes over the whole list: buffers of age 0 go to young, others to old. False: the depot is
 * closed, and the list is still the caller's.
 */
bool tp_depot_push(struct tp_depot *depot, struct tp_buflist *list);

/* The same, to expired. */
bool tp_depot_expire(struct tp_depot *depot, struct tp_buflist *list);

/* What may be taken: all, young first; old and expired ones; expired ones. */
enum tp_depot_age { TP_DEPOT_ANY, TP_DEPOT_AGED, TP_DEPOT_EXPIRED };

/* Moves up to most buffers to the front of list; sets their age: 0 of young ones, 1 of others. */
void tp_depot_pop(
	struct tp_depot *depot, size_t most, enum tp_depot_age age, struct tp_buflist *list);

/* A whole tick: what was old or expired goes to victims, young becomes old. */
void tp_depot_rotate(struct tp_depot *depot, struct tp_buflist *victims);

/*
 * A tick in pieces: old becomes expired, young becomes old. If expired ones of the last tick are
 * left, nothing happens, and the young ones stay young for one more tick. Returns: whether any are
 * expired now.
 */
bool tp_depot_age(struct tp_depot *depot);

/* Closes the depot for ever: nothing more goes in. What it holds may still be popped. */
void tp_depot_close(struct tp_depot *depot);

/* Buffers in the depot at some moment during the call. */
size_t tp_depot_count(const struct tp_depot *depot);

#endif
