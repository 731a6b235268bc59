/* SPDX-License-Identifier: MIT */
/*
 * Who takes part in hand_over, and the two loops of each: the producer gets a buffer, writes its
 * first bytes and pushes it; the consumer pops it, reads those bytes and puts it.
 *
 * The floor does the same with buffers of its own, which nobody gets or puts: the ring, the bytes,
 * and the lines that go from CPU to CPU.
 */
#ifndef SIDES_H
#define SIDES_H

#include <stddef.h>
#include <stdint.h>

#include <tierpool.h>

#include "ring.h"
#include "support/allocators.h"

/* The allocators come last, as in support/allocators.h. */
enum { FLOOR, TIERPOOL, ALLOCATOR, SIDES = ALLOCATOR + ALLOCATORS };

/* What one turn of one side works on. */
struct job {
	struct ring *ring;
	size_t size, items;
	tierpool *pool;
	const struct allocator *allocator;
	char *floor; /* FLOOR_BUFFERS of FLOOR_BYTES each */
};

/* More than are in the ring and in hand at once, so that none is written while it is read. */
#define FLOOR_BUFFERS (2 * RING)
#define FLOOR_BYTES ((size_t)4096)

/* Indexed by who: 0 produces, 1 consumes. */
void side_run(const struct job *job, unsigned side, unsigned who);

/*
 * How many gets of this pool were slow so far: they did not find a buffer on their CPU. It looks
 * into the pool, as statistics do not have it.
 */
uint64_t pool_slow_gets(const tierpool *pool);

#endif
