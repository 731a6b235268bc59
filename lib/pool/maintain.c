/* SPDX-License-Identifier: MIT */
/*
 * How a pool decays: the piece that a slow call does, a whole tick, and what the reaper calls; and
 * when the pages of what was freed go back to the system. Owns purged_tick of the pool.
 */
#include <limits.h>

#include "base/probe.h"
#include "idle/idle.h"
#include "pool/pool.h"

/* Runs whose pages one slow call gives back: each takes up to thirty microseconds. */
#define PURGE_RUNS 4

void tp_pool_wake_reaper(tierpool *pool, bool kept)
{
	if (kept || !tp_pool_is_purged(pool))
		tp_decay_kept(&pool->tiers.decay);
}

/* ---- pages ---- */

bool tp_pool_is_purged(const tierpool *pool)
{
	return !tp_load_relaxed(&pool->unpurged) && !tp_load_relaxed(&pool->blocks.passing);
}

static void maintain_purge_begin(tierpool *pool)
{
	/* Acquire: what was freed before it was set is seen by the pass. */
	(void)tp_exchange_acquire(&pool->unpurged, 0u);
	tp_tiers_shrink(&pool->tiers);
	tp_bufheads_purge(&pool->heads);
	tp_blocks_pass_begin(&pool->blocks);
}

void tp_pool_purge(tierpool *pool)
{
	if (!tp_pool_is_purged(pool))
		maintain_purge_begin(pool);
	tp_blocks_pass(&pool->blocks, UINT_MAX);
}

/*
 * Once a tick at most, when nothing that has expired is left and any buffer was freed since the last
 * pass began: slow calls give the pages back, a piece each.
 */
static void maintain_purge(tierpool *pool)
{
	uint64_t tick = tp_load_relaxed(&pool->tiers.decay.ticks);

	/* Relaxed, all of it: if two threads come at once, the second finds little to do. */
	if (tp_load_relaxed(&pool->unpurged) && tp_load_relaxed(&pool->purged_tick) != tick &&
		!tp_load_relaxed(&pool->tiers.expired)) {
		tp_store_relaxed(&pool->purged_tick, tick);
		maintain_purge_begin(pool);
	}
	tp_blocks_pass(&pool->blocks, PURGE_RUNS);
}

/* ---- decay ---- */

tp_cold void tp_pool_report_tick(const tierpool *pool, size_t bytes, bool whole)
{
	tp_probe(tick, tp_probe_text(pool->registered.name),
		tp_load_relaxed(&pool->tiers.decay.ticks), bytes, (int)whole);
}

void tp_pool_maintain(tierpool *pool)
{
	if (tp_idle_is_due(&pool->tiers) && tp_idle_maintain(&pool->tiers))
		tp_pool_report_tick(pool, 0, false);
	tp_maximum_tick(&pool->maximum);
	if (tp_unlikely(!tp_pool_is_purged(pool)))
		maintain_purge(pool);
}

size_t tp_pool_tick(tierpool *pool)
{
	size_t bytes = tp_idle_tick(&pool->tiers).bytes;

	tp_maximum_tick(&pool->maximum);
	tp_pool_purge(pool);
	tp_pool_report_tick(pool, bytes, true);
	return bytes;
}

uint64_t tp_pool_due(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	tp_decay_unwatch(&pool->tiers.decay);
	return tp_decay_watch(&pool->tiers.decay,
		tp_load_relaxed(&pool->tiers.retain.leased) || !tp_pool_is_purged(pool) ||
			tp_load_relaxed(&pool->tiers.slabs_spent));
}

size_t tp_pool_tick_entry(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	return tp_decay_claim(&pool->tiers.decay, pool->tiers.decay.ms) ? tp_pool_tick(pool) : 0;
}
