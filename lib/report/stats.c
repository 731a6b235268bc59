/* SPDX-License-Identifier: MIT */
/*
 * Statistics: snapshots of a pool for its users. Reads what the other layers count while they go
 * on. Writes only what it has reported (tp_counters.reported_*).
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

static void stats_read_counts(tierpool *pool, struct tierpool_stats *s)
{
	struct tp_stack_counts fast =
		tp_stack_count(&pool->tiers.cpus, pool->tiers.stack_index, pool->sizes.count);
	/* Gets before misses: the misses of these gets are seen below (pool.h). */
	int64_t gets = (int64_t)tp_pool_counted(pool, TP_SLOW_GETS) + fast.pops;
	int64_t puts = (int64_t)tp_pool_counted(pool, TP_SLOW_PUTS) + fast.pushes;
	/* After the words: an exchange that they have is subtracted. */
	gets -= (int64_t)tp_pool_counted(pool, TP_EXCHANGE_POPS);
	puts -= (int64_t)tp_pool_counted(pool, TP_EXCHANGE_PUSHES);
	s->gets = stats_report(&pool->reported_gets, gets);
	s->puts = stats_report(&pool->reported_puts, puts);
	s->hits = stats_report(
		&pool->reported_hits, gets - (int64_t)tp_pool_counted(pool, TP_MISSES));
	s->borrowed = s->gets > s->puts ? s->gets - s->puts : 0;
	s->allocs = tp_pool_counted(pool, TP_ALLOCS);
	s->grows_pooled =
		tp_pool_counted(pool, TP_EXCHANGE_PUSHES) + tp_pool_counted(pool, TP_GROWS_TAKEN);
	s->grows = s->grows_pooled + tp_pool_counted(pool, TP_GROWS_MISSED);
	s->drops_oversize = tp_pool_counted(pool, TP_DROPPED + TP_DROP_OVERSIZE);
	s->drops_retain = tp_pool_counted(pool, TP_DROPPED + TP_DROP_RETAIN);
	s->drops_idle_count = tp_pool_counted(pool, TP_DROPPED + TP_DROP_IDLE_COUNT);
	s->drops_decay = tp_pool_counted(pool, TP_DROPPED + TP_DROP_DECAY);
	s->drops_trim = tp_pool_counted(pool, TP_DROPPED + TP_DROP_TRIM);
	s->drops_destroy = tp_pool_counted(pool, TP_DROPPED + TP_DROP_DESTROY);
	s->frees = s->drops_oversize + s->drops_retain + s->drops_idle_count + s->drops_decay +
		   s->drops_trim + s->drops_destroy;
	s->calibrations = tp_pool_counted(pool, TP_CALIBRATIONS);
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
	s->idle_bytes_peak = tp_load_relaxed(&tiers->retain.peak);
	s->overhead_bytes =
		pool->bytes + tp_tiers_table_bytes(tiers) + tp_load_relaxed(&pool->heads.bytes) +
		tp_load_relaxed(&pool->blocks.spare) + tp_load_relaxed(&pool->sites.bytes);
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
	if (!tp_registry_hold(pool))
		return -ENOENT;
	s.size = out->size;
	stats_read_counts(pool, &s);
	stats_read_bytes(pool, &s);
	s.percpu = tp_cpu_mode();
	s.backing = pool->backing.name;
	tp_registry_drop(&pool->registered);
	memcpy(out, &s, s.size);
	return 0;
}
