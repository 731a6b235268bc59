/* SPDX-License-Identifier: MIT */
/*
 * The bound on idle bytes: leases up to the limit and never beyond, whoever looks and whenever.
 */
#include "budget.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>

#include <tierpool/pool.h>

#include "atomic.h"

#define THREADS 4

static struct tp_budget budget_of(size_t limit)
{
	struct tp_budget budget;

	tp_budget_init(&budget, limit);
	return budget;
}

Test(budget, leases_reach_the_limit_exactly)
{
	struct tp_budget budget = budget_of(100);

	cr_assert(tp_budget_lease(&budget, 60));
	cr_assert(tp_budget_lease(&budget, 39));
	cr_assert(tp_budget_lease(&budget, 1));
	cr_assert_eq(tp_budget_leased(&budget), 100);
	cr_assert(tp_budget_lease(&budget, 0), "nothing always fits");
	cr_assert_not(tp_budget_lease(&budget, 1));
	tp_budget_release(&budget, 1);
	cr_assert(tp_budget_lease(&budget, 1));
}

Test(budget, a_refused_lease_changes_nothing)
{
	struct tp_budget budget = budget_of(100);

	cr_assert(tp_budget_lease(&budget, 50));
	cr_assert_not(tp_budget_lease(&budget, 51));
	cr_assert_eq(tp_budget_leased(&budget), 50);
	cr_assert_eq(budget.peak, 50);
	cr_assert_eq(budget.limit, 100);
}

Test(budget, a_lease_that_would_overflow_is_refused)
{
	struct tp_budget budget = budget_of(100);

	cr_assert(tp_budget_lease(&budget, 1));
	cr_assert_not(tp_budget_lease(&budget, SIZE_MAX));
	cr_assert_not(tp_budget_lease(&budget, SIZE_MAX - 1));
	cr_assert_eq(tp_budget_leased(&budget), 1);
	tp_budget_limit_set(&budget, SIZE_MAX);
	cr_assert_not(tp_budget_lease(&budget, SIZE_MAX));
	cr_assert_not(tp_budget_lease(&budget, (size_t)PTRDIFF_MAX));
	cr_assert(tp_budget_lease(&budget, (size_t)PTRDIFF_MAX - 1));
	cr_assert_eq(tp_budget_leased(&budget), PTRDIFF_MAX);
	cr_assert_not(tp_budget_lease(&budget, 1));
}

Test(budget, a_lowered_limit_leaves_leases_and_refuses_new_ones)
{
	struct tp_budget budget = budget_of(100);

	cr_assert(tp_budget_lease(&budget, 80));
	tp_budget_limit_set(&budget, 50);
	cr_assert_eq(tp_budget_excess(&budget), 30);
	cr_assert_eq(tp_budget_leased(&budget), 80);
	cr_assert_not(tp_budget_lease(&budget, 1));
	tp_budget_release(&budget, 30);
	cr_assert_eq(tp_budget_excess(&budget), 0);
	cr_assert_not(tp_budget_lease(&budget, 1));
	tp_budget_release(&budget, 10);
	cr_assert_not(tp_budget_lease(&budget, 11));
	cr_assert(tp_budget_lease(&budget, 10));
	tp_budget_limit_set(&budget, 0);
	tp_budget_release(&budget, 50);
	cr_assert_not(tp_budget_lease(&budget, 1));
	tp_budget_limit_set(&budget, 7);
	cr_assert(tp_budget_lease(&budget, 7));
}

Test(budget, the_peak_is_the_most_that_was_leased)
{
	struct tp_budget budget = budget_of(100);

	cr_assert(tp_budget_lease(&budget, 30));
	cr_assert(tp_budget_lease(&budget, 40));
	tp_budget_release(&budget, 70);
	cr_assert(tp_budget_lease(&budget, 60));
	cr_assert_eq(budget.peak, 70);
	cr_assert(tp_budget_lease(&budget, 11));
	cr_assert_eq(budget.peak, 71);
}

static struct {
	struct tp_budget budget;
	size_t held;      /* what the threads know that they hold: never more than leased */
	uint32_t running; /* threads that lease still */
	uint32_t stop;
	uint64_t leases;
} shared;

static void *lease_and_release(void *seed)
{
	uint64_t random = (uintptr_t)seed;
	size_t mine[8] = {0};

	for (unsigned i = 0; i < 200000; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		size_t *slot = &mine[random >> 61], wanted = 1 + (random >> 33) % 40;

		if (*slot) {
			tp_sub_relaxed(&shared.held, *slot);
			tp_budget_release(&shared.budget, *slot);
			*slot = 0;
		} else if (tp_budget_lease(&shared.budget, wanted)) {
			tp_add_relaxed(&shared.held, wanted);
			tp_add_relaxed(&shared.leases, 1u);
			*slot = wanted;
		}
	}
	for (size_t *slot = mine; slot < mine + 8; slot++) {
		tp_sub_relaxed(&shared.held, *slot);
		tp_budget_release(&shared.budget, *slot);
	}
	tp_sub_relaxed(&shared.running, 1u);
	return NULL;
}

Test(budget, threads_together_never_hold_more_than_the_limit_and_none_is_lost)
{
	pthread_t thread[THREADS];
	size_t limit = 100, most = 0;

	tp_budget_init(&shared.budget, limit);
	shared.running = THREADS;
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(
			pthread_create(&thread[i], NULL, lease_and_release, (void *)(i + 1)), 0);
	while (tp_load_relaxed(&shared.running)) {
		size_t leased = tp_budget_leased(&shared.budget);
		size_t held = tp_load_relaxed(&shared.held);

		cr_assert_leq(leased, limit);
		cr_assert_leq(held, limit);
		most = leased > most ? leased : most;
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(shared.held, 0);
	cr_assert_eq(tp_budget_leased(&shared.budget), 0);
	cr_assert_gt(shared.leases, 1000, "hardly a lease went through");
	cr_assert_leq(shared.budget.peak, limit);
	cr_assert_geq(shared.budget.peak, most);
}

static void *lease_one(void *unused)
{
	(void)unused;
	while (!tp_load_relaxed(&shared.stop))
		if (tp_budget_lease(&shared.budget, 8)) {
			tp_store_relaxed(&shared.held, 8u);
			for (volatile unsigned i = 0; i < 50; i++)
				;
			tp_store_relaxed(&shared.held, 0u);
			tp_budget_release(&shared.budget, 8);
			tp_add_relaxed(&shared.leases, 1u);
		}
	return NULL;
}

/* For a little under half a second: rounds take a microsecond on two CPUs, milliseconds on one. */
static bool time_is_left(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000 < 400;
}

/* What tierpool_retain_set leans on, whose bound "holds when the call returns". */
Test(budget, no_lease_goes_beyond_a_limit_once_it_holds)
{
	struct timespec start;
	pthread_t thread;
	unsigned broken = 0, rounds;

	tp_budget_limit_set(&shared.budget, 100);
	cr_assert_eq(pthread_create(&thread, NULL, lease_one, NULL), 0);
	while (!tp_load_relaxed(&shared.leases))
		sched_yield();
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (rounds = 0; rounds < 200000 && time_is_left(&start); rounds++) {
		tp_budget_limit_set(&shared.budget, 100);
		for (volatile unsigned i = 0; i < rounds % 200; i++)
			;
		tp_budget_limit_set(&shared.budget, 0);
		while (tp_budget_excess(&shared.budget))
			;
		/* Nothing is held and nothing may be: what appears now went beyond the limit. */
		for (unsigned i = 0; i < 1000; i++)
			if (tp_load_relaxed(&shared.held)) {
				broken++;
				break;
			}
	}
	tp_store_relaxed(&shared.stop, 1u);
	pthread_join(thread, NULL);
	cr_assert_eq(
		broken, 0, "in %u of %u rounds a lease went beyond a limit of 0", broken, rounds);
	cr_assert_eq(tp_budget_leased(&shared.budget), 0);
}

Test(budget, create_refuses_nothing_to_write_to_and_nothing_to_bound)
{
	tierpool_budget *budget = (tierpool_budget *)&shared;

	cr_assert_eq(tierpool_budget_create(NULL, 100), -EINVAL);
	cr_assert_eq(tierpool_budget_create(&budget, 0), -EINVAL);
	cr_assert_null(budget, "*out must be NULL on failure");
	tierpool_budget_destroy(NULL);
}

Test(budget, a_destroyed_budget_lives_as_long_as_a_pool_uses_it)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool *pool[2];
	tierpool_buf *b;

	cr_assert_eq(tierpool_budget_create(&options.budget, 1 << 20), 0);
	cr_assert_eq(options.budget->budget.limit, 1 << 20);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(tierpool_create(&pool[i], &options), 0);
	tierpool_budget_destroy(options.budget);
	for (int i = 0; i < 2; i++) {
		b = (tierpool_get_sized)(pool[i], 1000);
		tierpool_put(b);
		cr_assert_gt(tp_budget_leased(&options.budget->budget), 1000,
			"the pool does not lease from it");
		cr_assert_eq((tierpool_get_sized)(pool[i], 1000), b);
		tierpool_put(b);
		if (i == 0)
			tierpool_destroy(pool[0]);
	}
	/* Pool 1's own leases are all that is left of the two. */
	tierpool_trim(pool[1], 0);
	cr_assert_eq(tp_budget_leased(&options.budget->budget), 0);
	cr_assert_eq(options.budget->users, 1);
	tierpool_destroy(pool[1]);
}
