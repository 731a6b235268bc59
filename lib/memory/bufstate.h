/* SPDX-License-Identifier: MIT */
/*
 * The field tp_state of a buffer's header, magic 16 | state 8 | age 8 bits from the top: what each
 * state means, and which transitions there are.
 *
 *     borrowed   the borrower's. More bits may be set: secret, stream and failed (tp_error
 *                sticks) send append and put the slow way, careful and recorded (its put is
 *                counted for its site) only put, and so does consumed, a bit of the age that is
 *                of no use here: data lies behind the beginning of the block
 *     idle       the pool's, with its block. In a stack, age is the ticks that it has lain there.
 *                Filled: its block has the pattern of pool/guard.h
 *     released   the pool's, without a block: a spare header
 *
 *     get   idle or released -> borrowed
 *     put   borrowed -> idle or released
 *     drop  idle -> released
 *
 * Only the owner of a buffer writes tp_state: the borrower, the stopper of the CPU whose stack it
 * lies in, or the owner of the list that it lies in. A second put, which is misuse, reads a header
 * that its caller no longer owns. It finds idle or released and is reported; if the buffer is
 * borrowed again, it cannot be told from a right put.
 */
#ifndef TP_BUFSTATE_H
#define TP_BUFSTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <tierpool/buffer.h>

#include "memory/bufhead.h"

#define TP_BUFSTATE_MAGIC UINT32_C(0x7b1e)

/* Of a borrowed buffer, whose age is 0: some of its content was consumed (tp_bufstate_front). */
#define TP_BUFSTATE_CONSUMED UINT32_C(1)

enum tp_state {
	TP_STATE_BORROWED = 0x01,
	TP_STATE_SECRET = 0x02,
	TP_STATE_FILLED = 0x02, /* the same bit, of an idle buffer */
	TP_STATE_STREAM = 0x04,
	TP_STATE_RECORDED = 0x08,
	TP_STATE_FAILED = 0x10,
	TP_STATE_CAREFUL = 0x20,
	TP_STATE_IDLE = 0x40,
	TP_STATE_RELEASED = 0x80,
};

static inline uint32_t tp_bufstate(unsigned state)
{
	return TP_BUFSTATE_MAGIC << 16 | state << 8;
}

/* Borrowed, and nothing else: the only state that the fast path of put takes. */
#define TP_BUFSTATE_FAST tp_bufstate(TP_STATE_BORROWED)

/* The same if there is no fast path. */
#define TP_BUFSTATE_CAREFUL tp_bufstate(TP_STATE_BORROWED | TP_STATE_CAREFUL)

/* Plain: borrowed, perhaps careful, recorded or consumed; neither secret nor failed, and no stream. */
static inline bool tp_bufstate_is_plain(uint32_t bufstate)
{
	uint32_t may = (uint32_t)(TP_STATE_CAREFUL | TP_STATE_RECORDED) << 8 | TP_BUFSTATE_CONSUMED;

	return (bufstate & ~may) == TP_BUFSTATE_FAST;
}

/*
 * Sets the state of a buffer, and tp_limit, the length up to which the inline append may go. That
 * is the capacity of a plain buffer (modulo 4 GiB), and 0 of any other. So append compares with one
 * number only.
 */
static inline void tp_bufstate_set(tierpool_buf *b, uint32_t bufstate)
{
	b->tp_state = bufstate;
	b->tp_limit = tp_bufstate_is_plain(bufstate) ? (uint32_t)b->cap : 0;
}

/* Both fields, as they lie side by side, so that the fast path sets them with one store. */
struct tp_bufstate_limit {
	uint32_t bufstate, limit;
};

static inline void tp_bufstate_store(tierpool_buf *b, const void *both)
{
	_Static_assert(offsetof(tierpool_buf, tp_limit) == offsetof(tierpool_buf, tp_state) + 4 &&
			       offsetof(tierpool_buf, tp_state) % 8 == 0,
		"side by side, for one store");
	memcpy((char *)b + offsetof(tierpool_buf, tp_state), both, sizeof(uint64_t));
}

/* Sets the state to idle. */
static inline void tp_bufstate_idle(tierpool_buf *b)
{
	static const struct tp_bufstate_limit idle = {
		TP_BUFSTATE_MAGIC << 16 | TP_STATE_IDLE << 8, 0};

	tp_bufstate_store(b, &idle);
}

/* Of a buffer with a new block: notes what the fast path of get sets, in tp_lend. */
static inline void tp_bufstate_lend_note(tierpool_buf *b)
{
	struct tp_bufstate_limit lend = {TP_BUFSTATE_FAST, (uint32_t)b->cap};

	memcpy(&b->tp_lend, &lend, sizeof lend);
}

/*
 * Of an idle buffer: sets the state to borrowed and notes the site, for the fast path of get. By one
 * store: a second one cost 1.3 ns of a pair in use (Intel Xeon 2023).
 */
static inline void tp_bufstate_lend(tierpool_buf *b, uint32_t site_word)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	pair lend = {b->tp_lend, site_word};

	_Static_assert(
		offsetof(tierpool_buf, tp_site_word) == offsetof(tierpool_buf, tp_state) + 8 &&
			offsetof(tierpool_buf, tp_high_water) ==
				offsetof(tierpool_buf, tp_state) + 12 &&
			offsetof(tierpool_buf, tp_state) % 16 == 0,
		"side by side, for one store; the high water becomes 0");
	memcpy((char *)b + offsetof(tierpool_buf, tp_state), &lend, sizeof lend);
}

static inline bool tp_bufstate_is_ours(const tierpool_buf *b)
{
	return b->tp_state >> 16 == TP_BUFSTATE_MAGIC;
}

static inline bool tp_bufstate_has(const tierpool_buf *b, enum tp_state state)
{
	return b->tp_state & (uint32_t)state << 8;
}

/*
 * Whether this is the data of a borrowed buffer; of any one, while its header can be read. Relaxed: of the
 * caller's own both are as they are, and of another's it does not matter.
 */
static inline bool tp_bufstate_is_data(const tierpool_buf *b, const void *data)
{
	return tp_load_relaxed(&b->data) == data &&
	       tp_load_relaxed(&b->tp_state) & (uint32_t)TP_STATE_BORROWED << 8;
}

static inline void tp_bufstate_add(tierpool_buf *b, enum tp_state state)
{
	tp_bufstate_set(b, b->tp_state | (uint32_t)state << 8);
}

static inline void tp_bufstate_remove(tierpool_buf *b, enum tp_state state)
{
	tp_bufstate_set(b, b->tp_state & ~((uint32_t)state << 8));
}

/* ---- what a recorded buffer tells its site, and the profile ---- */

/* Why its put is recorded: bits of tp_growths, beside the number of growths. */
enum tp_record {
	TP_RECORD_SAMPLED = 0x80,  /* its get was sampled for calibration */
	TP_RECORD_NEW = 0x40,      /* its site is new */
	TP_RECORD_FOLLOWED = 0x20, /* by the profile */
};
#define TP_GROWTHS_MOST 0x1f

/* Has the put of a borrowed buffer recorded. why: of enum tp_record, or 0. */
static inline void tp_bufstate_record(tierpool_buf *b, unsigned why)
{
	if (!tp_bufstate_has(b, TP_STATE_RECORDED))
		b->tp_growths = 0;
	b->tp_growths = (uint8_t)(b->tp_growths | why);
	tp_bufstate_add(b, TP_STATE_RECORDED);
}

static inline bool tp_bufstate_is_followed(const tierpool_buf *b)
{
	return tp_bufstate_has(b, TP_STATE_RECORDED) && b->tp_growths & TP_RECORD_FOLLOWED;
}

/* Notes a growth of a buffer that has a site. */
static inline void tp_bufstate_record_growth(tierpool_buf *b)
{
	tp_bufstate_record(b, 0);
	if ((b->tp_growths & TP_GROWTHS_MOST) < TP_GROWTHS_MOST)
		b->tp_growths++;
}

/* ---- a consumed buffer ---- */

static inline bool tp_bufstate_is_consumed(const tierpool_buf *b)
{
	return b->tp_state & TP_BUFSTATE_CONSUMED;
}

/* How far behind the beginning of its block the data of a borrowed buffer lies. */
static inline size_t tp_bufstate_front(const tierpool_buf *b)
{
	return tp_bufstate_is_consumed(b) ? b->tp_lend : 0;
}

/*
 * Sets that. Meanwhile tp_lend has the distance in place of what a get sets, which follows from the
 * capacity.
 */
static inline void tp_bufstate_front_set(tierpool_buf *b, size_t front)
{
	size_t was = tp_bufstate_front(b);
	char *block = b->data - was;
	size_t cap = b->cap + was;

	tp_bufhead_block_set(b, block + front, cap - front);
	tp_bufstate_lend_note(b);
	if (front)
		b->tp_lend = front;
	tp_bufstate_set(
		b, (b->tp_state & ~TP_BUFSTATE_CONSUMED) | (front ? TP_BUFSTATE_CONSUMED : 0));
}

/* ---- how much of a block is used ---- */

static inline void tp_bufstate_note_used(tierpool_buf *b, size_t used)
{
	if (used > b->tp_high_water)
		b->tp_high_water = used < UINT32_MAX ? (uint32_t)used : UINT32_MAX;
}

/*
 * Notes how long the content is before it goes, or moves. Of a buffer that was consumed, what a block must
 * have so that it does not grow: a block that is full is used again from its front if no more moves than
 * was consumed.
 */
static inline void tp_bufstate_note_len(tierpool_buf *b)
{
	size_t front = tp_bufstate_front(b);

	tp_bufstate_note_used(b, b->len + (front < b->len ? front : b->len));
}

/* The largest len that is known; of a buffer that was consumed, as tp_bufstate_note_len. */
static inline size_t tp_bufstate_used(const tierpool_buf *b)
{
	return b->len > b->tp_high_water ? b->len : b->tp_high_water;
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
