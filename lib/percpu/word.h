/* SPDX-License-Identifier: MIT */
/*
 * The word of a per-CPU stack: 64 bits with all of its state, so that one store changes all of it.
 *
 *      63                                      16 15        8 7         0
 *     +------------------------------------------+-----------+-----------+
 *     |            countdown (signed)            |   room    |   depth   |
 *     +------------------------------------------+-----------+-----------+
 *
 *     depth       pointers that lie in the stack, in slots 1 to depth
 *     room        pointers that may still be pushed; the stack has leased depth + room
 *     countdown   pops until one looks at the clock; below 0: it has expired
 *
 * The words of the empty slab are 0: nothing to pop, no room to push.
 */
#ifndef TP_WORD_H
#define TP_WORD_H

#include <stdint.h>

/* One unit of each field. */
#define TP_WORD_DEPTH UINT64_C(1)
#define TP_WORD_ROOM (UINT64_C(1) << 8)
#define TP_WORD_COUNTDOWN (UINT64_C(1) << 16)

/* A pop and a push add these to the word. */
#define TP_WORD_POP (TP_WORD_ROOM - TP_WORD_DEPTH - TP_WORD_COUNTDOWN)
#define TP_WORD_PUSH (TP_WORD_DEPTH - TP_WORD_ROOM)

/* The most slots that a stack may have: depth and room fit into their bytes. */
#define TP_STACK_MAX 255

static inline unsigned tp_word_depth(uint64_t word)
{
	return (unsigned)(word & 0xff);
}

static inline unsigned tp_word_room(uint64_t word)
{
	return (unsigned)(word >> 8 & 0xff);
}

/* Pointers for which the stack has a lease. */
static inline unsigned tp_word_held(uint64_t word)
{
	return tp_word_depth(word) + tp_word_room(word);
}

static inline int64_t tp_word_countdown(uint64_t word)
{
	return (int64_t)word >> 16;
}

#endif
