/* SPDX-License-Identifier: MIT */
/*
 * A buffer's first step and its last: from the backing, with a reference to the pool, and back.
 */
#include "base/colour.h"
#include "base/inject.h"
#include "memory/bufstate.h"
#include "memory/poison.h"
#include "pool/pool.h"

tierpool_buf *tp_pool_alloc(tierpool *pool, unsigned tier, size_t n)
{
	size_t cap = tier == TP_TIER_NONE ? n : pool->sizes.size[tier];
	uint64_t stacks = tier == TP_TIER_NONE ? 0 : pool->tiers.tier[tier].colours;
	tierpool_buf *b = tp_bufhead_alloc(
		&pool->heads, &pool->backing, stacks | pool->tiers.colours | tp_cpu_rseq_colour());
	char *block;

	if (!b)
		return NULL;
	block = tp_backing_alloc(&pool->backing, cap);
	if (!block) {
		tp_bufhead_free(&pool->heads, b);
		return NULL;
	}
	tp_registry_retain(&pool->registered);
	tp_pool_count(pool, TP_ALLOCS);
	*b = (tierpool_buf){.data = block,
		.cap = cap,
		.tp_pool = pool,
		.tp_stack_offset = pool->tiers.stack_index[tier] * (uint32_t)sizeof(uint64_t),
		.tp_tier = (uint8_t)tier};
	tp_bufstate_idle(b);
	tp_bufstate_lend_note(b);
	return b;
}

void tp_pool_free(tierpool *pool, tierpool_buf *b, enum tp_drop why, bool leased)
{
	unsigned tier = b->tp_tier;

	tp_unpoison(b->data, b->cap);
	tp_backing_free(&pool->backing, b->data, b->cap);
	tp_pool_count(pool, TP_DROPPED + why);
	/* Before the lease ends: the reaper takes "no leases and nothing to purge" for empty. */
	if (!tp_load_relaxed(&pool->unpurged))
		tp_store_relaxed(&pool->unpurged, 1u);
	/* After the block is freed: the bound is on memory. */
	if (leased && !tp_fault(TP_FAULT_LOST_LEASE))
		tp_tiers_unlease(&pool->tiers, tier, 1);
	tp_bufhead_free(&pool->heads, b);
	tp_registry_drop(&pool->registered);
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
