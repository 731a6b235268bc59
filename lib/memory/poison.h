/* SPDX-License-Identifier: MIT */
/*
 * Hides idle blocks from ASan and Valgrind, so that a program that still uses a buffer it has put
 * is found out at once. Works in the ordinary library, when the program runs under either; for
 * Valgrind its headers must have been there when the library was built.
 */
#ifndef TP_SHADOW_H
#define TP_SHADOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/*
 * Finds out whether anybody watches. Called when the library is loaded; and before, by a program
 * that makes a pool in a constructor of its own.
 */
void tp_shadow_start(void);

/* Whether anybody watches; the same from tp_shadow_start on. */
extern tp_hidden bool tp_shadow_watched;

void tp_shadow_hide_slow(const void *block, size_t n);
void tp_shadow_show_slow(const void *block, size_t n);

/* From here on a touch of the block is a fault. */
static inline void tp_shadow_hide(const void *block, size_t n)
{
	if (tp_unlikely(tp_shadow_watched))
		tp_shadow_hide_slow(block, n);
}

/* The block may be used again; what is in it counts as not yet written. */
static inline void tp_shadow_show(const void *block, size_t n)
{
	if (tp_unlikely(tp_shadow_watched))
		tp_shadow_show_slow(block, n);
}

#endif
