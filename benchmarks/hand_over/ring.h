/* SPDX-License-Identifier: MIT */
/*
 * A bounded ring from one thread to another. A push waits while it is full, a pop while it is empty;
 * both spin. Each side keeps what it last saw of the other's index, and so seldom reads its line.
 *
 * It stands inside the measured loops, so it is inline.
 */
#ifndef RING_H
#define RING_H

#include <stddef.h>

#define RING ((size_t)256)

struct ring {
	/* The producer's. */
	_Alignas(64) size_t tail; /* pushed so far; the consumer reads it */
	size_t head_seen;
	/* The consumer's. */
	_Alignas(64) size_t head; /* popped so far; the producer reads it */
	size_t tail_seen;
	/* Written by the producer before it moves tail, read by the consumer before it moves head. */
	_Alignas(64) void *slot[RING];
};

static inline void ring_push(struct ring *r, void *item)
{
	while (r->tail - r->head_seen == RING)
		r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	r->slot[r->tail % RING] = item;
	__atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE);
}

static inline void *ring_pop(struct ring *r)
{
	void *item;

	while (r->head == r->tail_seen)
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	item = r->slot[r->head % RING];
	__atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
	return item;
}

#endif
