/* SPDX-License-Identifier: MIT */
/*
 * Growth: a buffer gets a larger block by exchanging blocks with another buffer of its pool, idle
 * or new. So the tierpool_buf never moves, and a mix of sizes needs no allocation once it has
 * settled down.
 */
#ifndef TP_GROW_H
#define TP_GROW_H

#include <stddef.h>

#include <tierpool/buffer.h>

/*
 * Gives b a block of at least need bytes, which is more than it has, with nothing of its content in
 * it; at least twice as large as the old one, where memory and the largest tier allow.
 *
 * Returns: the buffer that now has b's former block, the caller's until tp_pool_retire; NULL: out
 *          of memory, and nothing happened.
 */
tierpool_buf *tp_pool_exchange(tierpool_buf *b, size_t need);

/* Gives the displaced buffer to its pool. */
void tp_pool_retire(tierpool_buf *displaced);

#endif
