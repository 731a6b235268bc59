/* SPDX-License-Identifier: MIT */
/*
 * The control field of a buffer's header: magic 16, state 8, age 8, from the top. Says
 * what each state means and which transitions there are.
 *
 *   borrowed   the borrower's. Bits beside it send append and put the slow way: secret, stream,
 *              oversize, failed (an error sticks; tp_error says which); careful only put
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
#ifndef TP_BUFSTATE_H
#define TP_BUFSTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <tierpool/buffer.h>

#define TP_BUFSTATE_MAGIC UINT32_C(0x7b1e)

enum tp_state {
	TP_STATE_BORROWED = 0x01,
	TP_STATE_SECRET = 0x02,
	TP_STATE_STREAM = 0x04,
	TP_STATE_OVERSIZE = 0x08,
	TP_STATE_FAILED = 0x10,
	TP_STATE_CAREFUL = 0x20,
	TP_STATE_IDLE = 0x40,
	TP_STATE_RELEASED = 0x80,
};

static inline uint32_t tp_bufstate(unsigned state)
{
	return TP_BUFSTATE_MAGIC << 16 | state << 8;
}

/* Borrowed, and nothing else: what the fast path of put takes. */
#define TP_BUFSTATE_FAST tp_bufstate(TP_STATE_BORROWED)

/* The same where there is no fast path. */
#define TP_BUFSTATE_CAREFUL tp_bufstate(TP_STATE_BORROWED | TP_STATE_CAREFUL)

/* Borrowed, and nothing else that a borrower could have made it. */
static inline bool tp_bufstate_is_plain(uint32_t control)
{
	return (control & ~((uint32_t)TP_STATE_CAREFUL << 8)) == TP_BUFSTATE_FAST;
}

/*
 * Sets the state of a buffer, and with it the limit up to which append goes by itself: all of a
 * plain one's capacity (of one beyond 4 GiB, the rest), nothing of any other's. So tp_limit says in
 * one number what append has to ask.
 */
static inline void tp_bufstate_set(tierpool_buf *b, uint32_t control)
{
	b->tp_state = control;
	b->tp_limit = tp_bufstate_is_plain(control) ? (uint32_t)b->cap : 0;
}

/* The same, to idle, which the fast path does in one store. */
static inline void tp_bufstate_idle(tierpool_buf *b)
{
	static const struct {
		uint32_t control, limit;
	} idle = {TP_BUFSTATE_MAGIC << 16 | TP_STATE_IDLE << 8, 0};

	_Static_assert(offsetof(tierpool_buf, tp_limit) == offsetof(tierpool_buf, tp_state) + 4 &&
			       offsetof(tierpool_buf, tp_state) % 8 == 0,
		"side by side, for one store");
	memcpy((char *)b + offsetof(tierpool_buf, tp_state), &idle, sizeof idle);
}

static inline bool tp_bufstate_is_ours(const tierpool_buf *b)
{
	return b->tp_state >> 16 == TP_BUFSTATE_MAGIC;
}

static inline bool tp_bufstate_has(const tierpool_buf *b, enum tp_state state)
{
	return b->tp_state & (uint32_t)state << 8;
}

static inline void tp_bufstate_add(tierpool_buf *b, enum tp_state state)
{
	tp_bufstate_set(b, b->tp_state | (uint32_t)state << 8);
}

static inline void tp_bufstate_remove(tierpool_buf *b, enum tp_state state)
{
	tp_bufstate_set(b, b->tp_state & ~((uint32_t)state << 8));
}

static inline unsigned tp_bufstate_age(const tierpool_buf *b)
{
	return b->tp_state & 0xff;
}

static inline void tp_bufstate_age_set(tierpool_buf *b, unsigned age)
{
	b->tp_state = (b->tp_state & ~UINT32_C(0xff)) | age;
}

#endif
