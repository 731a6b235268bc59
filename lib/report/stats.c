/* SPDX-License-Identifier: MIT */
/*
 * Statistics: snapshots of a pool, and of each of its tiers, for its users. Reads what the other
 * layers count while they go on. Writes only what it has reported (struct tp_reported).
 */
#include <tierpool/stats.h>

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "percpu/cpu.h"
#include "pool/pool.h"

/* Reports a sum whose parts may have moved while it was taken: never less than before. */
static uint64_t stats_report(uint64_t *highest, int64_t sum)
{
	return tp_raise_relaxed(highest, sum > 0 ? (uint64_t)sum : 0);
}

/*
 * The most that was leased: at least what was read. The thread that has leased it may not have raised the
 * peak yet.
 */
static size_t stats_peak(struct tp_budget *budget, size_t leased)
{
	return tp_raise_relaxed(&budget->peak, leased);
}

/* ---- a tier ---- */

/* What a tier, or TP_TIER_NONE, has counted; grows without exchanges. */
static struct tierpool_tier_stats stats_tier_counts(const struct tp_tiers *tiers, unsigned tier)
{
	const struct tp_counts *counts = tp_counts_of(tiers, tier);
	struct tierpool_tier_stats t = {0};
	struct tp_reported *reported;
	struct tp_moves moves;

	if (!counts)
		return t;
#define COUNT(name) tp_load_acquire(&counts->n[TP_##name]) /* as tp_counts_read */
	t = (struct tierpool_tier_stats){.hits_depot = COUNT(HITS_DEPOT),
		.hits_other_cpu = COUNT(HITS_OTHER_CPU),
		.hits_larger = COUNT(HITS_LARGER),
		.gets = COUNT(MISSES),
		.grows = COUNT(GROWS_MISSED),
		.grows_pooled = COUNT(GROWS_TAKEN),
		.grow_bytes = COUNT(GROW_BYTES),
		.drops_oversize = COUNT(DROPPED + TP_DROP_OVERSIZE),
		.drops_retain = COUNT(DROPPED + TP_DROP_RETAIN),
		.drops_idle_count = COUNT(DROPPED + TP_DROP_IDLE_COUNT),
		.drops_decay = COUNT(DROPPED + TP_DROP_DECAY),
		.drops_trim = COUNT(DROPPED + TP_DROP_TRIM),
		.drops_destroy = COUNT(DROPPED + TP_DROP_DESTROY),
		.allocs = COUNT(ALLOCS)};
#undef COUNT
	t.grows += t.grows_pooled;
	t.gets += t.hits_depot + t.hits_other_cpu + t.hits_larger;
	t.frees = t.drops_oversize + t.drops_retain + t.drops_idle_count + t.drops_decay +
		  t.drops_trim + t.drops_destroy;
	/* No CPU has had a block of this tier. What is above them all may have grown there. */
	if (!t.allocs && tier < tiers->count)
		return t;
	reported = tp_counts_reported(tiers, tier);
	moves = tp_counts_moves(tiers, tier);
	t.hits_cpu = stats_report(&reported->hits_cpu, moves.hits_cpu);
	t.gets += t.hits_cpu;
	t.puts = stats_report(&reported->puts, moves.puts);
	if (tier < tiers->count)
		t.grow_bytes += tp_stack_owner_count(&tiers->cpus, tier, TP_EXCHANGE_BYTES);
	return t;
}

/* exchanges: that led to the tier, by tp_counts_exchanges. */
static struct tierpool_tier_stats stats_tier_read(tierpool *pool, unsigned tier, uint64_t exchanges)
{
	const struct tp_tier *lies = &pool->tiers.tier[tier];
	struct tierpool_tier_stats t = stats_tier_counts(&pool->tiers, tier);
	uint64_t live;

	if (tp_counts_of(&pool->tiers, tier))
		exchanges = stats_report(
			&tp_counts_reported(&pool->tiers, tier)->exchanges, (int64_t)exchanges);
	t.grows_pooled += exchanges;
	t.grows += exchanges;
	t.frees += tp_counts_read(&pool->tiers, tier, TP_GROWN_AWAY);
	t.block_size = pool->sizes.size[tier];
	t.cost = lies->cost;
	t.idle = tp_tiers_count(&pool->tiers, tier);
	t.leased = tp_load_relaxed(&lies->many.leased);
	t.leased_peak = stats_peak(&pool->tiers.tier[tier].many, t.leased);
	/* Below, or less than is idle, if calls went on meanwhile. */
	live = t.allocs > t.frees ? t.allocs - t.frees : 0;
	t.borrowed = live > t.idle ? live - t.idle : 0;
	return t;
}

int tierpool_stats_tiers(tierpool *pool, struct tierpool_tier_stats *out, size_t n, size_t stride)
{
	uint64_t exchanges[TP_TIERS_MAX];
	unsigned count;

	if (!pool || (!out && n) || stride % sizeof(uint64_t) || stride > sizeof *out)
		return -EINVAL;
	if (!tp_registry_hold(pool, TP_KIND_POOL))
		return -ENOENT;
	count = pool->sizes.count;
	tp_counts_exchanges(&pool->tiers, exchanges);
	for (unsigned tier = 0; tier < tp_min(n, count); tier++) {
		struct tierpool_tier_stats t = stats_tier_read(pool, tier, exchanges[tier]);

		memcpy((char *)out + tier * stride, &t, stride);
	}
	tp_registry_let_go(&pool->registered);
	return (int)count;
}

/* ---- a pool ---- */

static void stats_add(struct tierpool_stats *s, const struct tierpool_tier_stats *t)
{
#define ADD(name) s->name += t->name
	ADD(gets);
	ADD(puts);
	ADD(hits_cpu);
	ADD(hits_depot);
	ADD(hits_other_cpu);
	ADD(hits_larger);
	ADD(allocs);
	ADD(frees);
	ADD(grows);
	ADD(grows_pooled);
	ADD(grow_bytes);
	ADD(drops_oversize);
	ADD(drops_retain);
	ADD(drops_idle_count);
	ADD(drops_decay);
	ADD(drops_trim);
	ADD(drops_destroy);
#undef ADD
}

static void stats_read_counts(tierpool *pool, struct tierpool_stats *s)
{
	uint64_t exchanges = tp_counts_exchange_sum(&pool->tiers, TP_EXCHANGE_PUSHES);

	for (unsigned tier = 0; tier <= pool->tiers.count; tier++) {
		struct tierpool_tier_stats t = stats_tier_counts(&pool->tiers, tier);

		stats_add(s, &t);
	}
	s->grows_pooled += exchanges;
	s->grows += exchanges;
	s->hits = s->hits_cpu + s->hits_depot + s->hits_other_cpu + s->hits_larger;
	s->borrowed = s->gets > s->puts ? s->gets - s->puts : 0;
	s->calibrations = tp_load_relaxed(&pool->calibrations);
	s->ticks = tp_load_relaxed(&pool->tiers.decay.ticks);
	s->fences = tp_load_relaxed(&pool->tiers.cpus.fences);
	s->fence_lost = tp_load_relaxed(&pool->tiers.cpus.fence_lost);
}

static void stats_read_bytes(tierpool *pool, struct tierpool_stats *s)
{
	const struct tp_tiers *tiers = &pool->tiers;
	uint64_t settings;
	size_t live = s->allocs > s->frees ? s->allocs - s->frees : 0;

	for (unsigned tier = 0; tier < pool->sizes.count; tier++)
		s->idle += tp_tiers_count(tiers, tier);
	/*
	 * Again if retain was changed meanwhile: the two belong together. Partners of the acquires:
	 * the releases in tp_tiers_retain_set. settings is odd during a change, whose thread may be
	 * off its CPU: then the larger of two readings of the bound is taken, without waiting.
	 */
	do {
		settings = tp_load_acquire(&tiers->settings);
		s->retain = tp_budget_bound(&tiers->retain);
		s->idle_bytes = tp_tiers_bytes(tiers);
		if (settings % 2)
			s->retain = tp_max(s->retain, tp_budget_bound(&tiers->retain));
	} while (tp_load_acquire(&tiers->settings) != settings);
	s->leased_bytes = tp_load_relaxed(&tiers->retain.leased);
	s->idle_bytes_peak =
		stats_peak(&pool->tiers.retain, tp_max(s->leased_bytes, s->idle_bytes));
	s->overhead_bytes = pool->bytes + tp_tiers_table_bytes(tiers) + tp_tiers_page_bytes(tiers) +
			    tp_load_relaxed(&pool->heads.bytes) +
			    tp_load_relaxed(&pool->blocks.spare) +
			    tp_load_relaxed(&pool->sites.bytes);
	/* The header of a buffer with a block counts with the buffer, not as overhead. */
	s->overhead_bytes -= tp_min(s->overhead_bytes, live * sizeof(tierpool_buf));
	s->default_size = pool->sizes.size[tp_calibration_tier(&pool->sites.own.sizes)];
	s->max_size = tp_maximum_size(&pool->maximum, &pool->sizes);
}

int tierpool_stats_read(tierpool *pool, struct tierpool_stats *out)
{
	struct tierpool_stats s = {0};

	if (!pool || !out || out->size < sizeof out->size || out->size > sizeof s)
		return -EINVAL;
	if (!tp_registry_hold(pool, TP_KIND_POOL))
		return -ENOENT;
	s.size = out->size;
	stats_read_counts(pool, &s);
	stats_read_bytes(pool, &s);
	s.percpu = tp_cpu_mode();
	s.backing = pool->backing.name;
	tp_registry_let_go(&pool->registered);
	memcpy(out, &s, s.size);
	return 0;
}
