/* SPDX-License-Identifier: MIT */
/*
 * Growth: a buffer gets a larger block by exchanging blocks with another buffer of its pool, idle
 * or new. So the tierpool_buf never moves, and a steady mix of sizes needs no allocation.
 *
 * If the stacks of the caller's CPU have a larger buffer and room for the smaller one, this is a pop
 * and a push, and writes no line that CPUs share.
 */
#ifndef TP_GROW_H
#define TP_GROW_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/buffer.h>

/*
 * Gives b a larger block, of at least need bytes; at least twice as large as the old one, if memory
 * and the largest tier allow. The first keep bytes of the content go along; n bytes from src, which
 * may lie in the old block, are put behind them. The old block goes to the pool, wiped if b is
 * secret.
 *
 * Before:  need is more than b->cap, and at least keep + n.
 * Returns: false: out of memory, and nothing happened.
 */
bool tp_pool_grow(tierpool_buf *b, size_t keep, const void *src, size_t n, size_t need);

#endif
