/* SPDX-License-Identifier: MIT */
/*
 * The bound on idle bytes: leases up to the limit and never beyond, at every instant. The budget
 * that pools share: test_shared_budget.c.
 */
#include "memory/budget.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>

#include "base/atomic.h"
#include "pool/shared_budget.h"
#include "step_through.h"

#define THREADS 4

static struct tp_budget budget;

static void start(void)
{
	tp_budget_init(&budget, 100);
}

TestSuite(budget, .init = start);

static size_t leased(void)
{
	return budget.leased;
}

Test(budget, leases_reach_the_limit_exactly)
{
	cr_assert(tp_budget_lease(&budget, 60));
	cr_assert(tp_budget_lease(&budget, 39));
	cr_assert(tp_budget_lease(&budget, 1));
	cr_assert_eq(leased(), 100);
	cr_assert(tp_budget_lease(&budget, 0), "nothing always fits");
	cr_assert_not(tp_budget_lease(&budget, 1));
	tp_budget_release(&budget, 1);
	cr_assert_eq(leased(), 99);
	cr_assert(tp_budget_lease(&budget, 1));
}

Test(budget, a_refused_lease_changes_nothing)
{
	cr_assert(tp_budget_lease(&budget, 50));
	cr_assert_not(tp_budget_lease(&budget, 51));
	cr_assert_eq(leased(), 50);
	cr_assert_eq(budget.peak, 50);
	cr_assert_eq(budget.limit, 100);
}

Test(budget, a_lease_that_would_overflow_is_refused)
{
	static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 99, SIZE_MAX - 100,
		(size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, PTRDIFF_MAX - 1};

	cr_assert(tp_budget_lease(&budget, 1));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		cr_assert_not(tp_budget_lease(&budget, sizes[i]), "%zu", sizes[i]);
		cr_assert_eq(leased(), 1);
	}
	/* Beyond PTRDIFF_MAX no limit is larger, and no count is wrong. */
	tp_budget_limit_set(&budget, SIZE_MAX);
	cr_assert_eq(leased(), 1);
	cr_assert_not(tp_budget_lease(&budget, SIZE_MAX));
	cr_assert_not(tp_budget_lease(&budget, PTRDIFF_MAX));
	cr_assert(tp_budget_lease(&budget, PTRDIFF_MAX - 1));
	cr_assert_eq(leased(), PTRDIFF_MAX);
	cr_assert_not(tp_budget_lease(&budget, 1));
	tp_budget_limit_set(&budget, 0);
	cr_assert_eq(leased(), PTRDIFF_MAX);
	cr_assert_eq(tp_budget_excess(&budget), PTRDIFF_MAX);
	tp_budget_limit_set(&budget, (size_t)PTRDIFF_MAX + 5);
	cr_assert_eq(leased(), PTRDIFF_MAX);
	cr_assert_eq(tp_budget_excess(&budget), 0);
}

Test(budget, a_lowered_limit_leaves_leases_and_refuses_new_ones)
{
	cr_assert(tp_budget_lease(&budget, 80));
	tp_budget_limit_set(&budget, 50);
	cr_assert_eq(tp_budget_excess(&budget), 30);
	cr_assert_eq(leased(), 80);
	cr_assert_not(tp_budget_lease(&budget, 1));
	cr_assert_not(tp_budget_lease(&budget, 0), "not even nothing, until the limit holds");
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
	cr_assert_not(tp_budget_lease(&budget, 1));
}

Test(budget, a_raised_limit_can_be_leased_up_to)
{
	cr_assert(tp_budget_lease(&budget, 100));
	tp_budget_limit_set(&budget, 130);
	cr_assert_eq(leased(), 100);
	cr_assert_not(tp_budget_lease(&budget, 31));
	cr_assert(tp_budget_lease(&budget, 30));
}

Test(budget, a_recount_says_what_is_leased)
{
	cr_assert(tp_budget_lease(&budget, 60));
	tp_budget_recount(&budget, 10);
	cr_assert_eq(leased(), 10);
	cr_assert_not(tp_budget_lease(&budget, 91));
	cr_assert(tp_budget_lease(&budget, 90));
	tp_budget_recount(&budget, 120);
	cr_assert_eq(tp_budget_excess(&budget), 20);
}

Test(budget, the_peak_is_the_most_that_was_leased)
{
	cr_assert(tp_budget_lease(&budget, 30));
	cr_assert(tp_budget_lease(&budget, 40));
	tp_budget_release(&budget, 70);
	cr_assert(tp_budget_lease(&budget, 60));
	cr_assert_eq(budget.peak, 70);
	cr_assert(tp_budget_lease(&budget, 11));
	cr_assert_eq(budget.peak, 71);
	tp_budget_limit_set(&budget, 1000);
	cr_assert(tp_budget_lease(&budget, 1));
	cr_assert_eq(budget.peak, 72);
}

static struct {
	size_t held;      /* the sum of what the threads hold: never more than is leased */
	uint32_t running; /* threads that are not yet done */
	uint64_t leases;
} shared;

static void *lease_and_release(void *seed)
{
	uint64_t random = (uintptr_t)seed;
	size_t mine[8] = {0};

	for (unsigned i = 0; i < 100000; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		size_t *slot = &mine[random >> 61], wanted = 1 + (random >> 33) % 40;

		if (*slot) {
			tp_sub_relaxed(&shared.held, *slot);
			tp_budget_release(&budget, *slot);
			*slot = 0;
		} else if (tp_budget_lease(&budget, wanted)) {
			tp_add_relaxed(&shared.held, wanted);
			tp_add_relaxed(&shared.leases, 1u);
			*slot = wanted;
		}
	}
	for (size_t *slot = mine; slot < mine + 8; slot++) {
		tp_sub_relaxed(&shared.held, *slot);
		tp_budget_release(&budget, *slot);
	}
	tp_sub_relaxed(&shared.running, 1u);
	return NULL;
}

Test(budget, threads_together_never_hold_more_than_the_limit_and_none_is_lost)
{
	pthread_t thread[THREADS];
	size_t highest = 0;

	shared.running = THREADS;
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(
			pthread_create(&thread[i], NULL, lease_and_release, (void *)(i + 1)), 0);
	while (tp_load_relaxed(&shared.running)) {
		size_t seen = leased();
		size_t held = tp_load_relaxed(&shared.held);

		cr_assert_leq(seen, 100);
		cr_assert_leq(held, 100);
		highest = seen > highest ? seen : highest;
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(shared.held, 0);
	cr_assert_eq(leased(), 0);
	cr_assert_gt(shared.leases, 1000, "hardly a lease went through");
	cr_assert_leq(budget.peak, 100);
	cr_assert_geq(budget.peak, highest);
}

/* ---- single-stepped: at one instruction another thread does something in between ---- */

static unsigned between; /* the step at which it does so */
static bool granted, granted_between;

static void lease_60(void)
{
	granted = tp_budget_lease(&budget, 60);
}

static void lease_60_between(unsigned step)
{
	if (step == between)
		granted_between = tp_budget_lease(&budget, 60);
}

Test(budget, of_two_leases_for_which_there_is_room_for_one_one_is_granted_whatever_the_step)
{
	unsigned steps;

	for (between = 1, steps = 1; between <= steps; between++) {
		tp_budget_init(&budget, 100);
		granted = granted_between = false;
		steps = step_through(lease_60, lease_60_between);
		cr_assert(granted != granted_between, "at step %u of %u", between, steps);
		cr_assert_eq(leased(), 60);
		cr_assert_eq(budget.peak, 60);
	}
}

static void limit_10_between(unsigned step)
{
	if (step == between)
		tp_budget_limit_set(&budget, 10);
}

/* tierpool_retain_set relies on this: its bound "holds when the call returns". */
Test(budget, a_lease_sees_the_new_limit_or_the_limit_sees_the_lease_whatever_the_step)
{
	unsigned steps;

	for (between = 1, steps = 1; between <= steps; between++) {
		tp_budget_init(&budget, 100);
		steps = step_through(lease_60, limit_10_between);
		cr_assert_eq(tp_budget_excess(&budget), granted ? 50 : 0, "at step %u of %u",
			between, steps);
		cr_assert_eq(leased(), granted ? 60 : 0);
		cr_assert_eq(budget.peak, leased());
	}
}

static size_t limit;

static void limit_change(void)
{
	tp_budget_limit_set(&budget, limit);
}

Test(budget, a_change_of_the_limit_loses_no_lease_whatever_the_step)
{
	static const size_t limits[] = {10, 100, 1000};
	unsigned steps;

	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		for (between = 1, steps = 1; between <= steps; between++) {
			tp_budget_init(&budget, 100);
			granted_between = false;
			limit = limits[i];
			steps = step_through(limit_change, lease_60_between);
			cr_assert_eq(leased(), granted_between ? 60 : 0);
			if (leased() > limit)
				cr_assert_eq(tp_budget_excess(&budget), leased() - limit);
			else
				cr_assert(tp_budget_lease(&budget, limit - leased()));
			cr_assert_not(
				tp_budget_lease(&budget, 1), "at step %u of %u", between, steps);
		}
}

static void lease_and_release_between(unsigned step)
{
	if (step == between && tp_budget_lease(&budget, 60))
		tp_budget_release(&budget, 60);
}

Test(budget, the_peak_is_true_at_whichever_step_of_a_change_of_the_limit_it_is_taken)
{
	static const size_t limits[] = {1000000, 100, 0, SIZE_MAX};
	unsigned steps;

	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		for (between = 1, steps = 1; between <= steps; between++) {
			tp_budget_init(&budget, 200);
			cr_assert(tp_budget_lease(&budget, 10));
			limit = limits[i];
			steps = step_through(limit_change, lease_and_release_between);
			cr_assert(budget.peak == 10 || budget.peak == 70,
				"at step %u of %u the peak was said to be %llu", between, steps,
				(unsigned long long)budget.peak);
			cr_assert_eq(leased(), 10);
		}
}

static size_t most;

static void release_60_between(unsigned step)
{
	most = leased() > most ? leased() : most;
	if (step == between)
		tp_budget_release(&budget, 60);
}

static void lease_40(void)
{
	granted = tp_budget_lease(&budget, 40);
}

Test(budget, the_peak_misses_no_lease_that_was_granted_whatever_the_step)
{
	unsigned steps;

	for (between = 1, steps = 1; between <= steps; between++) {
		tp_budget_init(&budget, 100);
		cr_assert(tp_budget_lease(&budget, 60));
		most = 60;
		steps = step_through(lease_40, release_60_between);
		cr_assert(granted);
		cr_assert_eq(budget.peak, most, "at step %u of %u: %llu and not %zu", between,
			steps, (unsigned long long)budget.peak, most);
		cr_assert_eq(leased(), 40);
	}
}
