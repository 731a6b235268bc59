/* SPDX-License-Identifier: MIT */
/*
 * The control field of a buffer's header: magic 16, state 8, age 8, error 32, from the top. Says
 * what each state means and which transitions there are. Layer 1.
 *
 *   borrowed   the borrower's. Bits beside it send append and put the slow way: secret, stream,
 *              oversize; and so does an error that sticks, since plain means no error
 *   idle       the pool's, with its block; age counts the ticks it has lain there
 *   released   the pool's, without a block, in the free list of headers
 *
 *   get: idle or released -> borrowed    put: borrowed -> idle or released    drop: idle ->
 * released
 *
 * Only the owner of a buffer writes its control field: the borrower, or who holds it out of the
 * pool's lists. A second put reads a header that is not its own any more; it is misuse, and what it
 * reads is one of these three or, when the buffer was borrowed again, not to be told from a put.
 */
#ifndef TP_CONTROL_H
#define TP_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <tierpool/buffer.h>

#define TP_CONTROL_MAGIC (TIERPOOL_BUF_PLAIN >> 48)

enum tp_state {
	TP_STATE_BORROWED = 0x01,
	TP_STATE_SECRET = 0x02,
	TP_STATE_STREAM = 0x04,
	TP_STATE_OVERSIZE = 0x08,
	TP_STATE_IDLE = 0x40,
	TP_STATE_RELEASED = 0x80,
};

static inline uint64_t tp_control(unsigned state)
{
	return TP_CONTROL_MAGIC << 48 | (uint64_t)state << 40;
}

_Static_assert(TIERPOOL_BUF_PLAIN == (TP_CONTROL_MAGIC << 48 | (uint64_t)TP_STATE_BORROWED << 40),
	"a plain buffer is one that is borrowed, and nothing else");

static inline bool tp_control_is_ours(const tierpool_buf *b)
{
	return b->tp_control >> 48 == TP_CONTROL_MAGIC;
}

static inline bool tp_control_has(const tierpool_buf *b, enum tp_state state)
{
	return b->tp_control & (uint64_t)state << 40;
}

static inline void tp_control_add(tierpool_buf *b, enum tp_state state)
{
	b->tp_control |= (uint64_t)state << 40;
}

static inline void tp_control_remove(tierpool_buf *b, enum tp_state state)
{
	b->tp_control &= ~((uint64_t)state << 40);
}

static inline unsigned tp_control_age(const tierpool_buf *b)
{
	return b->tp_control >> 32 & 0xff;
}

static inline void tp_control_age_set(tierpool_buf *b, unsigned age)
{
	b->tp_control = (b->tp_control & ~(UINT64_C(0xff) << 32)) | (uint64_t)age << 32;
}

/* A positive errno, or 0. */
static inline int tp_control_error(const tierpool_buf *b)
{
	return (int)(b->tp_control & UINT32_MAX);
}

static inline void tp_control_error_set(tierpool_buf *b, int error)
{
	b->tp_control = (b->tp_control & ~(uint64_t)UINT32_MAX) | (uint32_t)error;
}

#endif
