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

bool tp_pool_maintain(tierpool *pool)
{
	struct tp_buflist victims = {NULL, 0};
	bool more = tp_idle_age_some(&pool->tiers, &victims);

	/* The reaper may have looked while these were in our hands, and not seen the frees. */
	if (tp_pool_free_all(pool, &victims, TP_DROP_DECAY))
		tp_pool_wake_reaper(pool, false);
	tp_pool_purge_due(pool, false);
	return more;
}

void tp_pool_maintain_slow(tierpool *pool)
{
	tp_pool_maintain(pool);
	tp_decay_shorten(&pool->tiers.decay);
}

size_t tp_pool_tick(tierpool *pool, bool asked)
{
	struct tp_buflist victims = {NULL, 0};
	size_t bytes;

	tp_idle_tick(&pool->tiers, asked, &victims);
	bytes = tp_pool_free_all(pool, &victims, TP_DROP_DECAY);
	tp_pool_purge_due(pool, true);
	return bytes;
}

uint64_t tp_pool_due(struct tp_registered *entry)
{
	struct tp_tiers *tiers = &tp_pool_of(entry)->tiers;

	tp_decay_unwatch(&tiers->decay);
	return tp_decay_due(&tiers->decay,
		tp_load_relaxed(&tiers->retain.leased) || !tp_pool_is_purged(tp_pool_of(entry)));
}

size_t tp_pool_tick_entry(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	return tp_decay_claim(&pool->tiers.decay) ? tp_pool_tick(pool, false) : 0;
}
