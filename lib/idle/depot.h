/* SPDX-License-Identifier: MIT */
/*
 * The depot of a tier: idle buffers that do not fit, or may not lie, in the per-CPU stacks. Owns
 * its linked lists and their lock; knows no bytes.
 *
 * Young and old are sync.Pool's two generations. A put goes to young; a get takes from young, then
 * from old; a tick frees old and makes young the new old, in constant time. So a buffer that nobody
 * touched between two ticks is gone, however many there are. A tick that nobody asked for frees
 * nothing by itself: what has aged out is dying, and whoever passes by frees some of it. Until then
 * it is as idle as ever, and a get that finds nothing better takes it.
 *
 * A buffer in a list belongs to the depot; the lock is held only for the splice, never while memory
 * is allocated or freed.
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
	size_t count; /* of all three; written in the lock, read by anyone */
} __attribute__((aligned(TP_LINE)));

void tp_depot_init(struct tp_depot *depot);
void tp_depot_fini(struct tp_depot *depot); /* must be empty */

/*
 * Puts the whole list, which is empty afterwards: buffers of age 0 to young, others to old.
 * False: the depot is closed, and the list is still the caller's.
 */
bool tp_depot_push(struct tp_depot *depot, struct tp_buflist *list);

/* The same, to those that are dying. */
bool tp_depot_expire(struct tp_depot *depot, struct tp_buflist *list);

/* Which may be taken: young first; old and dying ones; dying ones. */
enum tp_depot_age { TP_DEPOT_ANY, TP_DEPOT_AGED, TP_DEPOT_EXPIRED };

/* Moves up to most buffers to the front of list; their age byte is 0 for those that were young. */
void tp_depot_pop(
	struct tp_depot *depot, size_t most, enum tp_depot_age age, struct tp_buflist *list);

/* One tick: what was old or dying goes to victims, what was young is old. */
void tp_depot_rotate(struct tp_depot *depot, struct tp_buflist *victims);

/*
 * One tick that frees nothing: what was old is dying. Where the last one's are dying still, nothing
 * happens; the young ones stay young, for one tick more. Whether any are dying.
 */
bool tp_depot_age(struct tp_depot *depot);

/* Closes the depot for ever: nothing more goes in. What it holds is there to be popped. */
void tp_depot_close(struct tp_depot *depot);

/* Buffers in the depot, as of some moment during the call. */
size_t tp_depot_count(const struct tp_depot *depot);

#endif
