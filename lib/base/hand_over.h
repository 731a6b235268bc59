/* SPDX-License-Identifier: MIT */
/*
 * Tells ThreadSanitizer, Helgrind and DRD that memory changes hands by way of the library: what its last
 * owner did to it comes before what its next owner does. They watch a program whose library is an
 * ordinary one. TSan sees nothing of how that orders two threads, and the others take what it does for
 * races. For these two the library must have been built with Valgrind's headers.
 */
#ifndef TP_HAND_OVER_H
#define TP_HAND_OVER_H

#include <stdbool.h>

#include "base/compiler.h"

/* Whether the program is built with -fsanitize=thread, and the library is not. */
bool tp_tsan_watches(void);

/* Finds out whether any of them watches. Called before the first pool or cache. */
void tp_hand_over_init(void);

/* The answer. Written by tp_hand_over_init, read by anyone. */
extern tp_hidden bool tp_hand_over_watched;

void tp_hand_over_slow(const void *memory);
void tp_take_over_slow(const void *memory);

/* The caller gives memory away, which is known by its address: of a header, an object or a site. */
static inline void tp_hand_over(const void *memory)
{
	if (tp_unlikely(tp_hand_over_watched))
		tp_hand_over_slow(memory);
}

/* The caller has it now. */
static inline void tp_take_over(const void *memory)
{
	if (tp_unlikely(tp_hand_over_watched))
		tp_take_over_slow(memory);
}

#endif
