/* SPDX-License-Identifier: MIT */
/*
 * What a fork does to a pool. The forking thread holds all locks of the pool meanwhile. In the
 * child, where no other thread is left, leases and counts are made true again.
 */
#include "pool/pool.h"
#include "pool/trace.h"
#include "profile/control.h"

static void pool_fork_lock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	tp_lock_take(&pool->sites.lock);
	tp_tiers_lock(&pool->tiers);
	tp_blocks_lock(&pool->blocks);
	tp_lock_take(&pool->heads.lock);
}

static void pool_fork_unlock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	tp_lock_give(&pool->heads.lock);
	tp_blocks_unlock(&pool->blocks);
	tp_tiers_unlock(&pool->tiers);
	tp_lock_give(&pool->sites.lock);
}

/*
 * Another thread had armed a countdown or moved pointers, and not counted it yet; or it had counted
 * the pop or the push of an exchange, and not done it. So what a tier has counted may be behind what
 * was reported of it. This is made up for in the counters of one CPU: pops as if a countdown had been
 * armed, pushes as if pointers had been moved.
 */
static void pool_fork_count_behind(const struct tp_tiers *tiers, unsigned tier)
{
	const struct tp_reported *reported = tp_counts_reported(tiers, tier);
	struct tp_stack_counters *counters = tp_stack_counters(&tiers->cpus, 0, tier);
	struct tp_moves moves = tp_counts_moves(tiers, tier);
	int64_t hits = (int64_t)reported->hits_cpu - moves.hits_cpu;
	int64_t puts = (int64_t)reported->puts - moves.puts;

	if (hits > 0) {
		counters->armed += (uint64_t)hits;
		counters->moved_in += (uint64_t)hits;
	}
	if (puts > 0)
		counters->moved_out += (uint64_t)puts;
}

/* Exchanges that other threads had under way count as done, but not as puts. */
static void pool_fork_exchanges_end(const struct tp_tiers *tiers)
{
	struct tp_stack_counters *counters = tp_stack_counters(&tiers->cpus, 0, 0);
	uint64_t under_way = tp_counts_exchange_sum(tiers, TP_EXCHANGE_POPS) -
			     tp_counts_exchange_sum(tiers, TP_EXCHANGE_PUSHES);

	counters->owner[TP_EXCHANGE_PUSHES] += under_way;
	counters->moved_out += under_way;
}

/* Makes the counts fit what the child has: first of each tier; the rest with TP_TIER_NONE. */
static void pool_fork_count_lost(tierpool *pool)
{
	struct tp_tiers *tiers = &pool->tiers;
	struct tp_counts *rest = tp_counts_of(tiers, TP_TIER_NONE);
	int64_t lost;

	if (!rest)
		return;
	pool_fork_exchanges_end(tiers);
	for (unsigned tier = 0; tier < tiers->count; tier++)
		pool_fork_count_behind(tiers, tier);
	lost = (int64_t)(tp_counts_sum(tiers, TP_ALLOCS) - tp_counts_drops(tiers)) -
	       tp_counts_borrowed(tiers);
	for (unsigned tier = 0; tier < tiers->count; tier++)
		lost -= (int64_t)tp_tiers_count(tiers, tier);
	/* What slow calls had in their hands counts as a get; below 0, what they had as a put. */
	if (lost > 0)
		rest->n[TP_HITS_DEPOT] += (uint64_t)lost;
	else
		rest->n[TP_SLOW_PUTS] += (uint64_t)-lost;
}

/* Those of the handle and of buffers. A pool whose destroy was under way has none of its handle. */
static void pool_fork_count_references(tierpool *pool)
{
	const struct tp_tiers *tiers = &pool->tiers;

	if (!pool->closing)
		tp_registry_recount(&pool->registered,
			1 + tp_counts_sum(tiers, TP_ALLOCS) - tp_counts_drops(tiers));
}

/*
 * What slow calls of the parent's other threads had in their hands is lost. Its leases end, because
 * the pool leases anew what is there; its buffers count as borrowed, like all of those threads.
 */
static void pool_fork_recount(struct tp_registered *entry)
{
	tp_tiers_recount(&tp_pool_of(entry)->tiers);
	tp_decay_forked(&tp_pool_of(entry)->tiers.decay);
	tp_pool_of(entry)->unpurged = 1; /* a thread may have been about to begin a pass */
	tp_sites_forked(&tp_pool_of(entry)->sites);
	pool_fork_count_lost(tp_pool_of(entry));
	pool_fork_count_references(tp_pool_of(entry));
}

/* What is the process's, not a pool's: lookups of blocks that are under way, the trace, the profile. */
static void pool_fork_process(enum tp_fork phase)
{
	tp_trace_fork(phase);
	tp_profile_fork(phase);
	if (phase == TP_FORK_CHILD)
		tp_pagemap_forked();
}

TP_ATFORK_ADD_REGISTRY static void pool_fork_add(void)
{
	static struct tp_atfork_handler handler = {.handle = pool_fork_process};

	tp_atfork_add(&handler);
}

void tp_pool_fork(struct tp_registered *entry, enum tp_fork phase)
{
	switch (phase) {
	case TP_FORK_PREPARE:
		pool_fork_lock(entry);
		break;
	case TP_FORK_CHILD_FIRST: /* shared budgets end their leases, which the pools take anew */
		break;
	case TP_FORK_CHILD:
		pool_fork_recount(entry);
		pool_fork_unlock(entry);
		break;
	case TP_FORK_PARENT:
		pool_fork_unlock(entry);
		break;
	}
}
