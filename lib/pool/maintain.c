/* SPDX-License-Identifier: MIT */
/*
 * How a pool decays: the piece that a slow call does, a whole tick, and what the reaper calls.
 */
#include "idle/idle.h"
#include "pool/pool.h"

void tp_pool_wake_reaper(tierpool *pool, bool kept)
{
	if (kept || pool->backing.give_back)
		tp_decay_kept(&pool->tiers.decay);
}

void tp_pool_maintain(tierpool *pool)
{
	if (tp_idle_is_due(&pool->tiers))
		tp_idle_maintain(&pool->tiers);
	tp_pool_purge_due(pool, false);
}

size_t tp_pool_tick(tierpool *pool)
{
	size_t bytes = tp_idle_tick(&pool->tiers).bytes;

	tp_pool_purge_due(pool, true);
	return bytes;
}

uint64_t tp_pool_due(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	tp_decay_unwatch(&pool->tiers.decay);
	return tp_decay_watch(&pool->tiers.decay,
		tp_load_relaxed(&pool->tiers.retain.leased) || !tp_pool_is_purged(pool));
}

size_t tp_pool_tick_entry(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	return tp_decay_claim(&pool->tiers.decay, pool->tiers.decay.ms) ? tp_pool_tick(pool) : 0;
}
