/* SPDX-License-Identifier: MIT */
/*
 * Pages of blocks that were freed, which jemalloc keeps for a while: when it is asked to give them
 * back to the system.
 */
#include "base/clock.h"
#include "pool/pool.h"

bool tp_pool_is_purged(const tierpool *pool)
{
	return !pool->backing.give_back ||
	       (!tp_load_relaxed(&pool->purging) && tp_load_relaxed(&pool->purged_frees) ==
							    tp_load_relaxed(&pool->counters.frees));
}

void tp_pool_purge(tierpool *pool)
{
	tp_store_relaxed(&pool->purged_frees, tp_load_relaxed(&pool->counters.frees));
	tp_store_relaxed(&pool->purging, 0);
	tp_backing_give_back(&pool->backing, true);
}

/*
 * Has jemalloc give back the pages whose time has come: by itself it does so only where its arena
 * goes on to be used, which a quiet pool's is not. Through two of our periods after the last block
 * was freed, since its own is one of ours; and many times in a period, a little each time, since
 * what it has to give back is given back in the call. After a tick that was asked for: once, and
 * all of it where that has left nothing idle; a pool that has come to rest will not need it soon.
 */
void tp_pool_purge_due(tierpool *pool, bool asked)
{
	uint64_t frees = tp_load_relaxed(&pool->counters.frees), now;
	const struct tp_decay *decay = &pool->tiers.decay;
	bool all;

	/* Relaxed, all of it: where two come at once jemalloc is asked once more. */
	if (tp_likely(tp_pool_is_purged(pool)))
		return;
	now = tp_clock_ms();
	if (!asked && now - tp_load_relaxed(&pool->purged_ms) < tp_decay_part(decay))
		return;
	all = asked && !tp_tiers_bytes(&pool->tiers);
	tp_store_relaxed(&pool->purged_ms, now);
	if (tp_exchange_relaxed(&pool->purged_frees, frees) != frees)
		tp_store_relaxed(&pool->purging, now + 2 * (uint64_t)decay->ms);
	if (all) {
		tp_pool_purge(pool);
		return;
	}
	if (now >= tp_load_relaxed(&pool->purging))
		tp_store_relaxed(&pool->purging, 0);
	tp_backing_give_back(&pool->backing, false);
}
