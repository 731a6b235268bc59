/* SPDX-License-Identifier: MIT */
/*
 * Poisons idle blocks for ASan and Valgrind: they report at once a program that still uses a buffer
 * that it has put. Works in the ordinary library if the program runs under either. For Valgrind the
 * library must have been built with Valgrind's headers.
 */
#ifndef TP_POISON_H
#define TP_POISON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/*
 * Finds out whether ASan or Valgrind watches. Called when the library is loaded, and before the
 * first pool, since a program may make that in a constructor of its own, which may run earlier.
 */
void tp_poison_init(void);

/* Whether one of them watches. Written by tp_poison_init, read by anyone. */
extern tp_hidden bool tp_poison_watched;

void tp_poison_slow(const void *block, size_t n);
void tp_unpoison_slow(const void *block, size_t n);

/* As tp_unpoison, but the content counts as written. */
void tp_unpoison_filled(const void *block, size_t n);

/* From now on an access to the block is reported. */
static inline void tp_poison(const void *block, size_t n)
{
	if (tp_unlikely(tp_poison_watched))
		tp_poison_slow(block, n);
}

/* The block may be used again; its content counts as not written yet. */
static inline void tp_unpoison(const void *block, size_t n)
{
	if (tp_unlikely(tp_poison_watched))
		tp_unpoison_slow(block, n);
}

#endif
