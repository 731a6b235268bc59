/* SPDX-License-Identifier: MIT */
/*
 * Hides idle blocks from ASan and Valgrind, so that a program that still uses a buffer it has put
 * is found out at once. Works in the ordinary library, when the program runs under either; for
 * Valgrind its headers must have been there when the library was built.
 */
#ifndef TP_POISON_H
#define TP_POISON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/*
 * Finds out whether anybody watches. Called when the library is loaded; and before, by a program
 * that makes a pool in a constructor of its own.
 */
void tp_poison_init(void);

/* Whether anybody watches; the same from tp_poison_init on. */
extern tp_hidden bool tp_poison_watched;

void tp_poison_slow(const void *block, size_t n);
void tp_unpoison_slow(const void *block, size_t n);

/* From here on a touch of the block is a fault. */
static inline void tp_poison(const void *block, size_t n)
{
	if (tp_unlikely(tp_poison_watched))
		tp_poison_slow(block, n);
}

/* The block may be used again; what is in it counts as not yet written. */
static inline void tp_unpoison(const void *block, size_t n)
{
	if (tp_unlikely(tp_poison_watched))
		tp_unpoison_slow(block, n);
}

#endif
