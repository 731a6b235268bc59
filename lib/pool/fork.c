/* SPDX-License-Identifier: MIT */
/*
 * What a fork makes of a pool.
 */
#include "pool/pool.h"
#include "pool/shared_budget.h"

static void pool_lock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	pthread_mutex_lock(&pool->sites.lock);
	tp_tiers_lock(&pool->tiers);
	pthread_mutex_lock(&pool->headers.lock);
}

static void pool_unlock(struct tp_registered *entry)
{
	tierpool *pool = tp_pool_of(entry);

	pthread_mutex_unlock(&pool->headers.lock);
	tp_tiers_unlock(&pool->tiers);
	pthread_mutex_unlock(&pool->sites.lock);
}

/* In the child of a fork: makes the counts fit what is there. */
static void lost_count(tierpool *pool)
{
	struct tp_counters *c = &pool->counters;
	struct tp_cpucache_counts fast =
		tp_cpucache_count(&pool->tiers.doors, pool->tiers.at, pool->sizes.count);
	int64_t lost = (int64_t)(c->allocs - c->frees - tp_pool_gets_less_puts(pool)), told;

	for (unsigned tier = 0; tier < pool->sizes.count; tier++)
		lost -= (int64_t)tp_tiers_count(&pool->tiers, tier);
	/* Below zero where a change of a word was lost between its commit and its count. */
	if (lost < 0)
		c->slow_puts += (uint64_t)-lost;
	else
		c->slow_gets += (uint64_t)lost;
	/* And where that was an arming, both are fewer than have been told of. */
	told = (int64_t)(c->told_gets - c->slow_gets) - fast.pops;
	lost = (int64_t)(c->told_puts - c->slow_puts) - fast.pushes;
	told = lost > told ? lost : told;
	if (told > 0) {
		c->slow_gets += (uint64_t)told;
		c->slow_puts += (uint64_t)told;
	}
}

/*
 * What slow calls of the parent's other threads had in hand is lost with them. Its leases end, by
 * leasing anew what is there; its buffers count as borrowed, like all that those threads held.
 */
static void pool_forked(struct tp_registered *entry)
{
	tp_tiers_recount(&tp_pool_of(entry)->tiers);
	tp_decay_forked(&tp_pool_of(entry)->tiers.decay);
	lost_count(tp_pool_of(entry));
}

void tp_pool_fork(struct tp_registered *entry, enum tp_fork phase)
{
	switch (phase) {
	case TP_FORK_PREPARE:
		pool_lock(entry);
		break;
	case TP_FORK_CHILD_FIRST:
		/* Before any pool leases anew of it. */
		if (tp_pool_of(entry)->budget)
			tp_shared_budget_fork(tp_pool_of(entry)->budget);
		break;
	case TP_FORK_CHILD:
		pool_forked(entry);
		pool_unlock(entry);
		break;
	case TP_FORK_PARENT:
		pool_unlock(entry);
		break;
	}
}
