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
	uint64_t stacks = tier == TP_TIER_NONE ? 0 : tp_tiers_colours(&pool->tiers, tier);
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
	tp_pool_count(&pool->counters.allocs);
	*b = (tierpool_buf){.data = block,
		.cap = cap,
		.tp_pool = pool,
		.tp_state = tp_bufstate(TP_STATE_IDLE),
		.tp_tier = (uint8_t)tier};
	if (tier != TP_TIER_NONE)
		b->tp_stack_index = pool->tiers.stack_index[tier];
	return b;
}

void tp_pool_free(tierpool *pool, tierpool_buf *b, enum tp_drop why, bool leased)
{
	unsigned tier = b->tp_tier;

	tp_unpoison(b->data, b->cap);
	tp_backing_free(&pool->backing, b->data, b->cap);
	/* Before the lease ends: the reaper takes "no leases and nothing to purge" for empty. */
	tp_pool_count(&pool->counters.frees);
	/* After the block is freed: the bound is on memory. */
	if (leased && !tp_fault(TP_FAULT_LOST_LEASE))
		tp_tiers_unlease(&pool->tiers, tier, 1);
	tp_pool_count(&pool->counters.drops[why]);
	tp_bufhead_free(&pool->heads, b);
	tp_registry_drop(&pool->registered);
}

size_t tp_pool_free_all(tierpool *pool, struct tp_buflist *victims, enum tp_drop why)
{
	size_t bytes = 0;

	for (tierpool_buf *b; (b = tp_buflist_pop(victims));) {
		bytes += pool->tiers.tier[b->tp_tier].cost;
		tp_pool_free(pool, b, why, true);
	}
	return bytes;
}
