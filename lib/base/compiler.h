/* SPDX-License-Identifier: MIT */
/* Hints to the compiler and a little arithmetic, for every other file. */
#ifndef TP_COMPILER_H
#define TP_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(sizeof(void *) == 8, "tierpool is for 64-bit systems");

#define TP_LINE 64 /* bytes of a cache line, and the alignment of every block */

#define tp_likely(x) __builtin_expect(!!(x), 1)
#define tp_unlikely(x) __builtin_expect(!!(x), 0)

/* Whether this file is compiled with -fsanitize=thread. */
#if defined(__SANITIZE_THREAD__)
#define TP_BUILT_WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TP_BUILT_WITH_TSAN 1
#endif
#endif
#ifndef TP_BUILT_WITH_TSAN
#define TP_BUILT_WITH_TSAN 0
#endif

/* A slow path: out of line, so that the fast path that calls it stays small. */
#define tp_cold __attribute__((noinline, cold))

/* Not a slow path, but out of line too, so that the faster path that calls it stays small. */
#define tp_outline __attribute__((noinline))

/*
 * A fast path begins on a cache line: where it lay by chance was worth 5 % of pair_latency. Inline is for
 * programs that link the static library with -flto: else gcc inlines it there only if it is called once.
 */
#define tp_fastpath inline __attribute__((aligned(TP_LINE), hot))

/* On the declaration of one of our objects: its address is not loaded from the offset table. */
#define tp_hidden __attribute__((visibility("hidden")))

/* n rounded up to a multiple of to, which is a power of two. Wraps: the caller checks n first. */
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
