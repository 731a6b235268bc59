/* SPDX-License-Identifier: MIT */
/*
 * What a fork makes of a pool.
 */
#include "pool/pool.h"
#include "pool/shared_budget.h"

static void pool_fork_lock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	pthread_mutex_lock(&pool->sites.lock);
	tp_tiers_lock(&pool->tiers);
	pthread_mutex_lock(&pool->heads.lock);
}

static void pool_fork_unlock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	pthread_mutex_unlock(&pool->heads.lock);
	tp_tiers_unlock(&pool->tiers);
	pthread_mutex_unlock(&pool->sites.lock);
}

/* In the child of a fork: makes the counts fit what is there. */
static void pool_fork_count_lost(tierpool *pool)
{
	struct tp_counters *c = &pool->counters;
	struct tp_stack_counts fast =
		tp_stack_count(&pool->tiers.cpus, pool->tiers.stack_index, pool->sizes.count);
	int64_t lost = (int64_t)(c->allocs - c->frees - tp_pool_gets_less_puts(pool)), reported;

	for (unsigned tier = 0; tier < pool->sizes.count; tier++)
		lost -= (int64_t)tp_tiers_count(&pool->tiers, tier);
	/* Below zero where a change of a word was lost between its commit and its count. */
	if (lost < 0)
		c->slow_puts += (uint64_t)-lost;
	else
		c->slow_gets += (uint64_t)lost;
	/* And where that was an arming, both are fewer than have been told of. */
	reported = (int64_t)(c->reported_gets - c->slow_gets) - fast.pops;
	lost = (int64_t)(c->reported_puts - c->slow_puts) - fast.pushes;
	reported = lost > reported ? lost : reported;
	if (reported > 0) {
		c->slow_gets += (uint64_t)reported;
		c->slow_puts += (uint64_t)reported;
	}
}

/*
 * What slow calls of the parent's other threads had in hand is lost with them. Its leases end, by
 * leasing anew what is there; its buffers count as borrowed, like all that those threads held.
 */
static void pool_fork_recount(struct tp_registered *entry)
{
	tp_tiers_recount(&tp_pool_of(entry)->tiers);
	tp_decay_forked(&tp_pool_of(entry)->tiers.decay);
	pool_fork_count_lost(tp_pool_of(entry));
}

void tp_pool_fork(struct tp_registered *entry, enum tp_fork phase)
{
	switch (phase) {
	case TP_FORK_PREPARE:
		pool_fork_lock(entry);
		break;
	case TP_FORK_CHILD_FIRST:
		/* Before any pool leases anew of it. */
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
