/* SPDX-License-Identifier: MIT */
/*
 * Guards idle buffers against those who no longer own them. Owns the pattern that idle blocks have.
 *
 *     under TSan, Valgrind    a detector of races is told that the buffer changes hands (base/hand_over.h)
 *     under ASan, Valgrind    the block is hidden while its buffer is idle (memory/poison.h)
 *     TIERPOOL_DEBUG=poison   it is filled with the pattern, which is verified before the block is used
 *                             again or freed. Only a block that was filled is verified: the state says so
 *     TIERPOOL_DEBUG=check    when a buffer is lent its block moves to another header; the one that it
 *                             had is not lent again soon (memory/bufhead.h)
 */
#ifndef TP_GUARD_H
#define TP_GUARD_H

#include <stdbool.h>

#include <tierpool/buffer.h>

#include "base/compiler.h"

/* Whether any of these is wanted. Written by tp_guard_start, read by anyone. */
extern tp_hidden bool tp_guarded;

/* Called before the first pool is made. */
void tp_guard_start(void);

void tp_guard_hide_slow(tierpool_buf *b);
void tp_guard_show_slow(tierpool_buf *b);
tierpool_buf *tp_guard_lend_slow(tierpool_buf *b);

/* The pool is about to keep b, which is in state idle: from now on nobody may use its block. */
static inline void tp_guard_hide(tierpool_buf *b)
{
	if (tp_unlikely(tp_guarded))
		tp_guard_hide_slow(b);
}

/*
 * The block of b, which is in state idle, may be used again, or freed. Reports a misuse if it was
 * written meanwhile. Called once: the caller sets the state anew.
 */
static inline void tp_guard_show(tierpool_buf *b)
{
	if (tp_unlikely(tp_guarded))
		tp_guard_show_slow(b);
}

/* The same, of a buffer that is about to be lent. Returns: the buffer to lend in place of b, or b. */
static inline tierpool_buf *tp_guard_lend(tierpool_buf *b)
{
	return tp_unlikely(tp_guarded) ? tp_guard_lend_slow(b) : b;
}

#endif
