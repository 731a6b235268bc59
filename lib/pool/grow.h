/* SPDX-License-Identifier: MIT */
/*
 * Growth: a buffer gets a larger block by exchanging blocks with another buffer of its pool, idle
 * or new. So the tierpool_buf never moves, and a steady mix of sizes needs no allocation. Copying
 * the content is left to buffer.c.
 */
#ifndef TP_GROW_H
#define TP_GROW_H

#include <stddef.h>

#include <tierpool/buffer.h>

/*
 * Gives b a larger block, of at least need bytes; at least twice as large as the old one, if memory
 * and the largest tier allow.
 *
 * Before:  need is more than b->cap.
 * After:   the content is in the old block only.
 * Returns: the buffer that has the old block now, the caller's until tp_pool_retire; NULL: out of
 *          memory, and nothing happened.
 */
tierpool_buf *tp_pool_exchange(tierpool_buf *b, size_t need);

/* Gives the displaced buffer, and so the old block, to its pool. */
void tp_pool_retire(tierpool_buf *displaced);

#endif
