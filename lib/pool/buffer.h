/* SPDX-License-Identifier: MIT */
/*
 * What a borrower does with a buffer: append, format, read, write, stream. Owns the content between
 * get and put; where blocks come from it does not know. Layer 4.
 *
 * A buffer grows through its pool, which is above this layer: the two calls below are made upwards,
 * and borrow.c implements them.
 */
#ifndef TP_BUFFER_H
#define TP_BUFFER_H

#include <tierpool/buffer.h>

/*
 * Gives b a block of at least need bytes, which is more than it has, with nothing of its content in
 * it; at least twice as large as the old one, where memory and the largest tier allow. Returns the
 * buffer that now has b's former block: the caller's, until tp_pool_retire. NULL: out of memory,
 * and nothing happened.
 */
tierpool_buf *tp_pool_exchange(tierpool_buf *b, size_t need);

/* Gives the displaced buffer to its pool. */
void tp_pool_retire(tierpool_buf *displaced);

/* Overwrites the whole block of b, so that nothing of a secret is left in it. */
void tp_buffer_wipe(tierpool_buf *b);

#endif
