/* SPDX-License-Identifier: MIT */
/*
 * Pages of freed blocks, which jemalloc keeps for a while: decides when to ask it to give them back
 * to the system. Owns purged_ms and purging of the pool; a free sets unpurged.
 */
#include "base/clock.h"
#include "pool/pool.h"

/* Slow calls ask for pages at most this often between two ticks. */
#define PARTS 16

bool tp_pool_is_purged(const tierpool *pool)
{
	return !pool->backing.give_back ||
	       (!tp_load_relaxed(&pool->purging) && !tp_load_relaxed(&pool->unpurged));
}

void tp_pool_purge(tierpool *pool)
{
	tp_store_relaxed(&pool->unpurged, 0u);
	tp_store_relaxed(&pool->purging, 0);
	tp_backing_give_back(&pool->backing, true);
}

/*
 * jemalloc gives pages back by itself only while their arena is used; a quiet pool's is not. So:
 *
 *   a slow call   asks for what is due, at most sixteen times a period, so that each is short,
 *                 until two periods after the last free: jemalloc keeps pages for one
 *   a whole tick  asks for what is due; if it has left nothing idle, for all pages, since a pool
 *                 at rest will not need them soon
 */
void tp_pool_purge_due(tierpool *pool, bool in_tick)
{
	uint64_t now;
	const struct tp_decay *decay = &pool->tiers.decay;
	bool all;

	/* Relaxed, all of it: if two threads come at once, jemalloc is asked once more. */
	if (tp_likely(tp_pool_is_purged(pool)))
		return;
	now = tp_clock_ms();
	if (!in_tick && now - tp_load_relaxed(&pool->purged_ms) < tp_max(decay->ms / PARTS, 1))
		return;
	all = in_tick && !tp_tiers_bytes(&pool->tiers);
	tp_store_relaxed(&pool->purged_ms, now);
	if (tp_exchange_relaxed(&pool->unpurged, 0u))
		tp_store_relaxed(&pool->purging, now + 2 * (uint64_t)decay->ms);
	if (all) {
		tp_pool_purge(pool);
		return;
	}
	if (now >= tp_load_relaxed(&pool->purging))
		tp_store_relaxed(&pool->purging, 0);
	tp_backing_give_back(&pool->backing, false);
}
