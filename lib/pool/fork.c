/* SPDX-License-Identifier: MIT */
/*
 * What a fork does to a pool. The forking thread holds all locks of the pool meanwhile. In the
 * child, where no other thread is left, leases and counts are made true again.
 */
#include "pool/pool.h"
#include "pool/shared_budget.h"
#include "pool/trace.h"

static void pool_fork_lock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	pthread_mutex_lock(&pool->sites.lock);
	tp_tiers_lock(&pool->tiers);
	tp_blocks_lock(&pool->blocks);
	pthread_mutex_lock(&pool->heads.lock);
}

static void pool_fork_unlock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	pthread_mutex_unlock(&pool->heads.lock);
	tp_blocks_unlock(&pool->blocks);
	tp_tiers_unlock(&pool->tiers);
	pthread_mutex_unlock(&pool->sites.lock);
}

/* Makes the counts fit what the child has, in those of one CPU. */
static void pool_fork_count_lost(tierpool *pool)
{
	uint64_t *n = pool->counters[0].n;
	struct tp_stack_counts fast =
		tp_stack_count(&pool->tiers.cpus, pool->tiers.stack_index, pool->sizes.count);
	int64_t lost = (int64_t)(tp_pool_counted(pool, TP_ALLOCS) - tp_pool_frees(pool) -
				 tp_pool_gets_less_puts(pool)),
		behind;

	for (unsigned tier = 0; tier < pool->sizes.count; tier++)
		lost -= (int64_t)tp_tiers_count(&pool->tiers, tier);
	/* Below 0: a thread had committed a change of a word, and not counted it yet. */
	if (lost < 0)
		n[TP_SLOW_PUTS] += (uint64_t)-lost;
	else
		n[TP_SLOW_GETS] += (uint64_t)lost;
	/*
	 * If that change armed a countdown, or the pop or the push of an exchange was counted and
	 * not done, gets and puts are both behind what was reported.
	 */
	behind = (int64_t)(pool->reported_gets + tp_pool_counted(pool, TP_EXCHANGE_POPS) -
			   tp_pool_counted(pool, TP_SLOW_GETS)) -
		 fast.pops;
	lost = (int64_t)(pool->reported_puts + tp_pool_counted(pool, TP_EXCHANGE_PUSHES) -
			 tp_pool_counted(pool, TP_SLOW_PUTS)) -
	       fast.pushes;
	behind = lost > behind ? lost : behind;
	if (behind > 0) {
		n[TP_SLOW_GETS] += (uint64_t)behind;
		n[TP_SLOW_PUTS] += (uint64_t)behind;
	}
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
}

/* What is the process's, not a pool's: lookups of blocks that are under way, and the trace. */
static void pool_fork_process(enum tp_fork phase)
{
	tp_trace_fork(phase);
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
	case TP_FORK_CHILD_FIRST:
		/* Before any pool leases from it anew. */
		if (tp_pool_of(entry)->budget)
			tp_shared_budget_fork(tp_pool_of(entry)->budget);
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
