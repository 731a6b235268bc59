/* SPDX-License-Identifier: MIT */
/*
 * The word of a per-CPU stack: 64 bits that say all about it, so that one store changes all of it.
 *
 *      63                             24 23          12 11           0
 *     +---------------------------------+--------------+--------------+
 *     |        countdown (signed)       |     room     |    depth     |
 *     +---------------------------------+--------------+--------------+
 *
 *     depth       pointers that lie in the stack, in slots 1 to depth
 *     room        pointers that may still be pushed; depth + room is what the stack has leased
 *     countdown   pops until the owner of the stack wants to be called; below 0: it has expired
 *
 * A stack without a slab is shown as a word of 0: nothing to pop, no room to push.
 */
#ifndef TP_WORD_H
#define TP_WORD_H

#include <stdint.h>

#define TP_WORD_BITS 12
#define TP_WORD_MASK UINT64_C(0xfff)

/* One of each. */
#define TP_WORD_DEPTH UINT64_C(1)
#define TP_WORD_ROOM (UINT64_C(1) << TP_WORD_BITS)
#define TP_WORD_COUNTDOWN (UINT64_C(1) << 2 * TP_WORD_BITS)

/* What a pop and a push add to the word. */
#define TP_WORD_POP (TP_WORD_ROOM - TP_WORD_DEPTH - TP_WORD_COUNTDOWN)
#define TP_WORD_PUSH (TP_WORD_DEPTH - TP_WORD_ROOM)

/* Slots that a stack may have, so that depth and room fit into their bits. */
#define TP_STACK_MAX 1024

static inline unsigned tp_word_depth(uint64_t word)
{
	return (unsigned)(word & TP_WORD_MASK);
}

static inline unsigned tp_word_room(uint64_t word)
{
	return (unsigned)(word >> TP_WORD_BITS & TP_WORD_MASK);
}

/* What the stack has leased. */
static inline unsigned tp_word_held(uint64_t word)
{
	return tp_word_depth(word) + tp_word_room(word);
}

static inline int64_t tp_word_countdown(uint64_t word)
{
	return (int64_t)word >> 2 * TP_WORD_BITS;
}

#endif
