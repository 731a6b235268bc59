/* SPDX-License-Identifier: MIT */
/*
 * The floor: the least that a get by size and its put can cost through a shared library. Each thread
 * has a stack of buffers for each power of two. Nothing is checked, counted or bounded.
 *
 * It is not an allocator. A thread calls floor_prepare first, has at most one buffer of a size at a
 * time, and puts it back itself.
 */
#ifndef FLOOR_H
#define FLOOR_H

#include <stddef.h>

#define FLOOR_LEAST ((size_t)64)
#define FLOOR_MOST ((size_t)1 << 20)

struct floor_buf {
	void *data;    /* aligned to 64 bytes */
	unsigned tier; /* data has 1 << tier bytes */
} __attribute__((aligned(64)));

/*
 * Gives the calling thread a buffer of each size.
 * Returns: 0; -ENOMEM, and then there is nothing to release.
 */
int floor_prepare(void);

/* Frees the calling thread's buffers, all of which must be back. */
void floor_release(void);

/* FLOOR_LEAST <= n <= FLOOR_MOST bytes; the buffer is the caller's until floor_put. */
struct floor_buf *floor_get(size_t n);
void floor_put(struct floor_buf *b);

#endif
