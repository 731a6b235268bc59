/* SPDX-License-Identifier: MIT */
/*
 * Thousands of pools, caches and budgets: what a call with the handle of one costs does not depend on
 * how many there are, and they go in any order. No time is measured: what a call walks is counted.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include <tierpool.h>

#include "cpus.h"
#include "pool/pool.h"
#include "pool/shared_budget.h"

#define MANY 10000

/* Of each pool, cache or budget the registry's part comes first. */
static void *entry[MANY];

static const struct tp_registered *registered(unsigned i)
{
	return entry[i];
}

/*
 * Entries that a call which looks for one of them walks by, on average and at worst: at most those of
 * its bucket. (Behind an entry, the others of its bucket: each pair is counted once.)
 */
static void expect_few_steps(const char *of)
{
	size_t sum = 0, worst = 0;

	for (unsigned i = 0; i < MANY; i++) {
		size_t steps = 0;

		for (const struct tp_registered *at = registered(i); at; at = at->chained)
			steps++;
		sum += steps;
		worst = tp_max(worst, steps);
	}
	cr_assert_lt(sum, 4 * (size_t)MANY, "%s: %zu steps for %u", of, sum, MANY);
	cr_assert_lt(worst, 40, "%s: %zu steps for one", of, worst);
}

/* What the registry walks to its end: a tick of all. */
static unsigned entries(void)
{
	unsigned n = 0;

	for (struct tp_registered *at = NULL; (at = tp_registry_next(at));)
		n++;
	return n;
}

/* The kth that goes: in order, in reverse, or all over the place (7919 is prime to MANY). */
enum order { IN_ORDER, IN_REVERSE, MIXED, ORDERS };

static unsigned nth(enum order order, unsigned k)
{
	return order == IN_ORDER ? k : order == IN_REVERSE ? MANY - 1 - k : k * 7919 % MANY;
}

static void expect_stats_of_each(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		struct tierpool_stats s = {.size = sizeof s};

		cr_assert_eq(tierpool_stats_read(entry[i], &s), 0);
		cr_assert_eq(s.idle, i % 10 == 0, "pool %u", i);
	}
}

/* While half of them are there, and in the end, the others are gone, and only these. */
static void expect_gone(unsigned i)
{
	struct tierpool_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_stats_read(entry[i], &s), -ENOENT, "pool %u", i);
}

static void pools(enum order order, tierpool_budget *budget)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	unsigned before = entries();

	options.budget = budget;
	for (unsigned i = 0; i < MANY; i++) {
		tierpool *pool;

		cr_assert_eq(tierpool_create(&pool, &options), 0);
		entry[i] = pool;
		if (i % 10 == 0)
			tierpool_put((tierpool_get_sized)(pool, 1000));
	}
	expect_few_steps("pools");
	expect_stats_of_each();
	cr_assert_eq(entries(), before + MANY);
	for (unsigned k = 0; k < MANY; k++) {
		cr_assert_eq(tierpool_destroy(entry[nth(order, k)]), 0);
		if (k == MANY / 2)
			for (unsigned gone = 0; gone <= k; gone += 100)
				expect_gone(nth(order, gone));
	}
	cr_assert_eq(entries(), before);
}

Test(registry_many, pools_are_found_in_few_steps_and_go_in_any_order)
{
	for (enum order order = IN_ORDER; order < ORDERS; order++)
		pools(order, NULL);
}

Test(registry_many, pools_of_one_budget_too)
{
	tierpool_budget *budget;

	cr_assert_eq(tierpool_budget_create(&budget, (size_t)64 << 20), 0);
	for (enum order order = IN_ORDER; order < ORDERS; order++)
		pools(order, budget);
	cr_assert_eq(budget->budget.leased, 0);
	cr_assert_null(budget->pools.next);
	tierpool_budget_destroy(budget);
	cr_assert_eq(entries(), 0);
}

Test(registry_many, caches_and_budgets_too)
{
	for (enum order order = IN_ORDER; order < ORDERS; order++) {
		for (unsigned i = 0; i < MANY; i++) {
			tierpool_cache *cache;

			cr_assert_eq(tierpool_cache_create(&cache, NULL), 0);
			entry[i] = cache;
		}
		expect_few_steps("caches");
		for (unsigned k = 0; k < MANY; k++)
			tierpool_cache_destroy(entry[nth(order, k)]);
		cr_assert_eq(entries(), 0);
		for (unsigned i = 0; i < MANY; i++) {
			tierpool_budget *budget;

			cr_assert_eq(tierpool_budget_create(&budget, 1), 0);
			entry[i] = budget;
		}
		expect_few_steps("budgets");
		for (unsigned k = 0; k < MANY; k++)
			tierpool_budget_destroy(entry[nth(order, k)]);
		cr_assert_eq(entries(), 0);
	}
}
