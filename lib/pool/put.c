/* SPDX-License-Identifier: MIT */
/*
 * Put: a push to the caller's CPU, and what follows if there is no room there.
 */
#include <string.h>

#include "idle/idle.h"
#include "pool/fastpath.h"
#include "pool/misuse.h"
#include "pool/pool.h"
#include "pool/shared_budget.h"

void tp_pool_keep(tierpool *pool, tierpool_buf *b)
{
	static const enum tp_drop why[] = {[TP_NO_BYTES] = TP_DROP_RETAIN,
		[TP_NO_COUNT] = TP_DROP_IDLE_COUNT,
		[TP_CLOSED] = TP_DROP_DESTROY};
	struct tp_buflist victims = {NULL, 0};
	enum tp_kept kept;

	if (b->tp_tier == TP_TIER_NONE) {
		tp_pool_free(pool, b, TP_DROP_OVERSIZE, false);
		tp_pool_wake_reaper(pool, false);
		return;
	}
	tp_poison(b->data, b->cap);
	kept = tp_idle_keep(&pool->tiers, b, &victims);
	if (kept == TP_NO_BYTES && tp_pool_reclaim(pool, b->tp_tier))
		kept = tp_idle_keep(&pool->tiers, b, &victims);
	if (kept == TP_NO_BYTES) {
		tierpool_buf *victim = tp_idle_evict(&pool->tiers, b->tp_tier);

		if (victim) {
			tp_pool_free(pool, victim, TP_DROP_RETAIN, true);
			kept = tp_idle_keep(&pool->tiers, b, &victims);
		}
	}
	if (kept != TP_KEPT)
		tp_pool_free(pool, b, why[kept], false);
	tp_pool_wake_reaper(pool, kept == TP_KEPT);
	tp_pool_free_all(pool, &victims, TP_DROP_DESTROY);
}

static tp_cold void put_slow(tierpool_buf *b)
{
	tierpool *pool = b->tp_pool;

	/* Once b is kept another thread may destroy the pool. This reference keeps it here. */
	tp_registry_retain(&pool->registered);
	tp_pool_count(&pool->counters.slow_puts);
	/* First: b must not be aged for a tick that was due before. */
	tp_pool_maintain_slow(pool);
	tp_pool_keep(pool, b);
	tp_registry_drop(&pool->registered);
}

/* For a buffer that is not plain. Returns: false if it may not be put; that is reported. */
static bool put_special(tierpool_buf *b)
{
	if (!tp_misuse_check(b, true))
		return false;
	if (tp_bufstate_has(b, TP_STATE_STREAM)) {
		tp_misuse(b, "put while its stream is open");
		return false;
	}
	if (tp_bufstate_has(b, TP_STATE_SECRET))
		explicit_bzero(b->data, b->cap);
	return true;
}

/* As tierpool_put, for any state, in either mode, and for a tool that watches idle blocks. */
static tp_outline void put_any_mode(tierpool_buf *b)
{
	bool plain = tp_bufstate_is_plain(b->tp_state);

	if (tp_unlikely(!plain && !put_special(b)))
		return;
	tp_bufstate_set(b, tp_bufstate(TP_STATE_IDLE));
	tp_poison(b->data, b->cap);
	if (!plain || !tp_stack_push(&b->tp_pool->tiers.cpus, b->tp_stack_index, b))
		put_slow(b);
}

/* The one try of the fast path found no room, or was aborted. */
static tp_cold void put_again(tierpool_buf *b)
{
	if (!tp_stack_push(&b->tp_pool->tiers.cpus, b->tp_stack_index, b))
		put_slow(b);
}

tp_fastpath void tierpool_put(tierpool_buf *b)
{
	if (tp_unlikely(!b))
		return;
	/* Without a fast path no buffer has this state. */
	if (tp_unlikely(b->tp_state != TP_BUFSTATE_FAST)) {
		put_any_mode(b);
		return;
	}
	tp_bufstate_idle(b);
	/* After a push that succeeds nothing of b or the pool is touched: they may be gone. */
	if (tp_unlikely(!tp_stack_push_fast(&tp_pool_fast, b->tp_pool, b->tp_stack_index, b)))
		put_again(b);
}
