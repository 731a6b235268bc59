/* SPDX-License-Identifier: MIT */
/*
 * A buffer's first step and its last: from the backing, with a reference to the pool, and back.
 */
#include "base/colour.h"
#include "base/debug.h"
#include "base/inject.h"
#include "base/probe.h"
#include "memory/bufstate.h"
#include "pool/guard.h"
#include "pool/pool.h"

tierpool_buf *tp_pool_alloc(tierpool *pool, unsigned tier, size_t n)
{
	size_t cap = tier == TP_TIER_NONE ? n : pool->sizes.size[tier];
	uint64_t stacks = tier == TP_TIER_NONE ? 0 : pool->tiers.tier[tier].colours;
	tierpool_buf *b =
		tp_bufhead_alloc(&pool->heads, stacks | pool->tiers.colours | tp_cpu_rseq_colour());
	char *block;

	if (!b)
		return NULL;
	block = tp_block_alloc(&pool->blocks, tier, cap);
	if (!block) {
		tp_bufhead_free(&pool->heads, b);
		return NULL;
	}
	tp_registry_retain(&pool->registered);
	tp_pool_count(pool, tier, TP_ALLOCS);
	b->tp_pool = pool;
	b->len = 0;
	b->tp_error = 0;
	b->tp_tier = (uint8_t)tier;
	b->tp_stack_offset = tp_tiers_stack_offset(&pool->tiers, tier);
	tp_bufhead_block_set(b, block, cap);
	tp_block_owner_set(&pool->blocks, block, b);
	tp_bufstate_idle(b);
	tp_bufstate_lend_note(b);
	return b;
}

tierpool_buf *tp_pool_alloc_hard(tierpool *pool, unsigned tier, size_t n)
{
	tierpool_buf *b = tp_pool_alloc(pool, tier, n);

	/* If far more is wanted than lies idle, that would not be enough, and is kept. */
	if (tp_likely(b) || n / 2 > tp_tiers_bytes(&pool->tiers))
		return b;
	/* Not those of other pools: it may be one of their backings that is short, and calls this. */
	tp_pool_trim(pool, 0);
	return tp_pool_alloc(pool, tier, n);
}

static tp_cold void alloc_report_drop(const tierpool *pool, const tierpool_buf *b, enum tp_drop why)
{
	static const char *const reason[] = {
		[TP_DROP_OVERSIZE] = "oversize",
		[TP_DROP_RETAIN] = "retain",
		[TP_DROP_IDLE_COUNT] = "idle_count",
		[TP_DROP_DECAY] = "decay",
		[TP_DROP_TRIM] = "trim",
		[TP_DROP_DESTROY] = "destroy",
	};

	tp_probe(drop, tp_probe_text(pool->registered.name), b->cap, tp_probe_text(reason[why]),
		tp_tiers_bytes(&pool->tiers), tp_budget_bound(&pool->tiers.retain));
}

void tp_pool_free(tierpool *pool, tierpool_buf *b, enum tp_drop why, bool leased)
{
	unsigned tier = b->tp_tier;

	if (tp_probe_wanted(drop))
		alloc_report_drop(pool, b, why);
	tp_guard_show(b);
	tp_block_free(&pool->blocks, tier, b->data, b->cap);
	tp_pool_count(pool, tier, TP_DROPPED + why);
	/* One for all CPUs, for a reader who does not want to look at each. */
	if (why == TP_DROP_RETAIN && !tp_debug.unpooled)
		tp_add_relaxed(&pool->crowded, 1u);
	tp_bufhead_free(&pool->heads, b);
	/* Before the lease ends: the reaper takes "no leases and nothing to purge" for empty. */
	if (!tp_load_relaxed(&pool->unpurged))
		tp_store_relaxed(&pool->unpurged, 1u);
	/* After the block is freed: the bound is on memory. */
	if (leased && !tp_fault(TP_FAULT_LOST_LEASE))
		tp_tiers_unlease(&pool->tiers, tier, 1);
	tp_registry_drop(&pool->registered);
}

uint32_t tp_pools_without_runs;

tierpool_buf *tp_pool_find(const void *data)
{
	tierpool_buf *b = tp_block_owner(data);
	struct tp_registered *entry = NULL;

	/* Relaxed: who has a buffer of such a pool came to it after the pool was made. */
	if (b || !tp_load_relaxed(&tp_pools_without_runs))
		return b;
	while (!b && (entry = tp_registry_next_held(entry, TP_KIND_POOL)))
		if (!tp_pool_of(entry)->blocks.class)
			b = tp_bufheads_find(&tp_pool_of(entry)->heads, data);
	if (entry)
		tp_registry_let_go(entry);
	return b;
}

static tierpool *alloc_pool_of(struct tp_tiers *tiers)
{
	return (tierpool *)(void *)((char *)tiers - offsetof(tierpool, tiers));
}

void tp_pool_release(struct tp_tiers *tiers, void *const *items, unsigned count, enum tp_drop why)
{
	tierpool *pool = alloc_pool_of(tiers);

	for (unsigned i = 0; i < count; i++)
		tp_pool_free(pool, items[i], why, true);
	/* The reaper may have looked while these were in our hands, and not seen the frees. */
	tp_pool_wake_reaper(pool, false);
}
