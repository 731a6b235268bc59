/* SPDX-License-Identifier: MIT */
/*
 * No get and no put waits for a CPU that another thread has stopped, or is about to stop, as that may
 * have been preempted: it goes elsewhere. Each lock is held meanwhile, so who waits never ends.
 */
#include "pool_checks.h"

#include <unistd.h>

#include "memory/pagemap.h"
#include "pool/pool.h"

#define MOST 200

TestSuite(waits, .timeout = 60);

static void borrow_all_sizes(tierpool *pool)
{
	static tierpool_buf *b[MOST];

	for (unsigned i = 0; i < MOST; i++) {
		b[i] = tierpool_get_sized(pool, (size_t)64 << i % 14);
		cr_assert_not_null(b[i]);
		cr_assert_eq(tierpool_buf_reserve(b[i], b[i]->cap + i), 0);
	}
	for (unsigned i = 0; i < MOST; i++)
		tierpool_put(b[i]);
}

/* A bound of which nothing is free, decay that is due, a CPU without a slab: each slow way. */
static tierpool *bounded_pool(tierpool_budget *budget)
{
	tierpool *pool =
		pool_new(.name = "waits", .retain = 4 * MIB, .decay_ms = 1, .budget = budget);

	for (unsigned nth = 0; pin(nth); nth++)
		borrow_all_sizes(pool);
	return pool;
}

/* Some ticks long, while the locks of all these CPUs are held. */
static void borrow_while_held(tierpool *pool, struct tp_cpus *held)
{
	tp_cpus_lock(held);
	for (unsigned i = 0; i < 20; i++) {
		borrow_all_sizes(pool);
		usleep(1000);
	}
	tp_cpus_unlock(held);
}

Test(waits, of_a_pool_alone)
{
	tierpool *pool = bounded_pool(NULL);

	borrow_while_held(pool, &pool->tiers.cpus);
	at_rest(pool);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(waits, of_pools_that_share_a_bound)
{
	tierpool_budget *budget;
	tierpool *pool, *neighbour;

	cr_assert_eq(tierpool_budget_create(&budget, 4 * MIB), 0);
	neighbour = bounded_pool(budget);
	pool = pool_new(.name = "starved", .budget = budget);
	borrow_while_held(pool, &neighbour->tiers.cpus);
	tierpool_destroy(pool);
	tierpool_destroy(neighbour);
	tierpool_budget_destroy(budget);
}

/* For blocks of this size another CPU is looked at first; and this one has no slab yet. */
Test(waits, of_large_blocks_that_another_cpu_has)
{
	tierpool *pool = pool_new(.name = "large", .retain = 64 * MIB);
	tierpool_buf *b[2];

	if (!pin(1))
		skip("one CPU");
	cycle(pool, 256 * KIB, 2);
	pin(0);
	tp_cpus_lock(&pool->tiers.cpus);
	for (unsigned i = 0; i < 2; i++)
		b[i] = tierpool_get_sized(pool, 256 * KIB);
	for (unsigned i = 0; i < 2; i++)
		tierpool_put(b[i]);
	tp_cpus_unlock(&pool->tiers.cpus);
	at_rest(pool);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* A thread that looks an address up was preempted: the runs that end meanwhile are kept. */
Test(waits, of_lookups)
{
	tierpool *pool = pool_new(.name = "looked up", .retain = TIERPOOL_RETAIN_NONE);
	unsigned shard = tp_pagemap_enter();

	borrow_all_sizes(pool);
	tierpool_trim(pool, 0);
	cr_assert_lt(pool->blocks.spare, 64 * KIB, "what is kept spends no memory");
	borrow_all_sizes(pool);
	tp_pagemap_leave(shard);
	tierpool_trim(pool, 0);
	borrow_all_sizes(pool);
	tierpool_trim(pool, 0);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(pool->blocks.spare, 0, "what was kept went with a later pass");
	cr_assert_eq(tierpool_destroy(pool), 0);
}
