/* SPDX-License-Identifier: MIT */
/*
 * What every other file leans on: hints to the compiler and a little arithmetic.
 */
#ifndef TP_COMPILER_H
#define TP_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TP_LINE 64 /* bytes of a cache line, and the alignment of every block */

#define tp_likely(x) __builtin_expect(!!(x), 1)
#define tp_unlikely(x) __builtin_expect(!!(x), 0)

/* A slow path: kept out of line, so that the fast path beside it stays small. */
#define tp_cold __attribute__((noinline, cold))

/*
 * A way that is not the slow one, kept out of line all the same, for the sake of the one beside it.
 */
#define tp_outline __attribute__((noinline))

/* A fast path begins with a cache line: where it happened to lie was worth 5 % of pair_latency. */
#define tp_fastpath __attribute__((aligned(TP_LINE), hot))

/* On the declaration of an object of ours: its address needs no look into the offset table. */
#define tp_hidden __attribute__((visibility("hidden")))

/* n rounded up to a multiple of to, a power of two. Wraps; callers check n first. */
static inline size_t tp_round_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static inline size_t tp_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t tp_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

#endif
