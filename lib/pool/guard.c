/* SPDX-License-Identifier: MIT */
#include "pool/guard.h"

#include <stdio.h>
#include <string.h>

#include "base/debug.h"
#include "base/hand_over.h"
#include "memory/bufstate.h"
#include "memory/poison.h"
#include "pool/misuse.h"
#include "pool/pool.h"

/* No character, no small number, and no address as a pointer. */
#define PATTERN 0xdb

bool tp_guarded;

void tp_guard_start(void)
{
	tp_poison_init();
	tp_hand_over_init();
	tp_debug_init();
	tp_guarded = tp_poison_watched || tp_hand_over_watched || tp_debug.poison || tp_debug.check;
}

tp_cold void tp_guard_hide_slow(tierpool_buf *b)
{
	/* What is larger than all tiers is about to be freed. */
	if (tp_debug.poison && b->tp_tier != TP_TIER_NONE && !tp_bufstate_has(b, TP_STATE_FILLED)) {
		memset(b->data, PATTERN, b->cap);
		tp_bufstate_add(b, TP_STATE_FILLED);
	}
	tp_poison(b->data, b->cap);
	/* By the header, for the block too. What is freed goes through a mutex, which detectors see. */
	tp_hand_over(b);
}

/* Where the first byte is that is not of the pattern; n: there is none. */
static size_t guard_find(const char *block, size_t n)
{
	size_t i = 0;

	/* Whether each byte is as the one before it. */
	if ((unsigned char)block[0] == PATTERN && !memcmp(block, block + 1, n - 1))
		return n;
	while (i < n && (unsigned char)block[i] == PATTERN)
		i++;
	return i;
}

static void guard_verify(tierpool_buf *b)
{
	char what[64];
	size_t i;

	tp_unpoison_filled(b->data, b->cap);
	i = guard_find(b->data, b->cap);
	if (i == b->cap)
		return;
	snprintf(what, sizeof what, "written after it was put, at byte %zu", i);
	tp_misuse(b, what);
}

tp_cold void tp_guard_show_slow(tierpool_buf *b)
{
	tp_take_over(b);
	if (tp_bufstate_has(b, TP_STATE_FILLED))
		guard_verify(b);
	tp_unpoison(b->data, b->cap);
}

/* Moves the block of b to another header, if there is memory for one. Returns: the buffer that has it. */
static tierpool_buf *guard_move(tierpool_buf *b)
{
	tierpool *pool = b->tp_pool;
	char *block = b->data;
	tierpool_buf *other = tp_bufhead_alloc(&pool->heads, pool->tiers.colours);

	if (!other)
		return b;
	other->tp_pool = pool;
	other->tp_error = 0;
	other->tp_tier = b->tp_tier;
	other->tp_stack_offset = b->tp_stack_offset;
	tp_bufhead_block_set(other, block, b->cap);
	tp_block_owner_set(&pool->blocks, block, other);
	tp_bufstate_lend_note(other);
	tp_bufhead_free(&pool->heads, b);
	return other;
}

tp_cold tierpool_buf *tp_guard_lend_slow(tierpool_buf *b)
{
	tp_guard_show_slow(b);
	return tp_debug.check ? guard_move(b) : b;
}
