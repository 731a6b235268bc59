/* SPDX-License-Identifier: MIT */
/*
 * A handle whose object is gone, and whose address another one has now: each call that takes handles
 * does nothing to an object of another kind. To the library that is the address of the other one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

#include "cpus.h"
#include "noted_misuse.h"
#include "pool/shared_budget.h"

static unsigned objects_destroyed;

static void object_destroy(void *context, void *object)
{
	(void)context;
	(void)object;
	objects_destroyed++;
}

static tierpool *pool;
static tierpool_cache *cache;
static tierpool_budget *budget;
static FILE *out;

/* One of each kind, with something idle. */
static void start(void)
{
	static int object;
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	struct tierpool_cache_options cache_options = TIERPOOL_CACHE_OPTIONS_INIT;

	stay_on_this_cpu();
	options.decay_ms = cache_options.decay_ms = TIERPOOL_DECAY_NEVER;
	cache_options.destroy = object_destroy;
	cr_assert_eq(tierpool_budget_create(&budget, 1 << 20), 0);
	options.budget = budget;
	cr_assert_eq(tierpool_create(&pool, &options), 0);
	cr_assert_eq(tierpool_cache_create(&cache, &cache_options), 0);
	tierpool_put((tierpool_get)(pool));
	tierpool_cache_put(cache, &object);
	out = tmpfile();
	cr_assert_not_null(out);
}

TestSuite(registry_handles, .init = start);

/* All three are as they were: what is idle stays, they are found, and they work. */
static void expect_all_alive(const char *call)
{
	struct tierpool_stats s = {.size = sizeof s};
	struct tierpool_cache_stats c = {.size = sizeof c};

	cr_assert_eq(tierpool_stats_read(pool, &s), 0, "%s", call);
	cr_assert_eq(s.idle, 1, "%s took the pool's buffer", call);
	cr_assert_eq(s.ticks, 0, "%s ticked the pool", call);
	cr_assert_eq(s.retain, (size_t)64 << 20, "%s set the pool's bound", call);
	cr_assert_eq(tierpool_cache_stats_read(cache, &c), 0, "%s", call);
	cr_assert_eq(c.idle, 1, "%s took the cache's object", call);
	cr_assert_eq(c.ticks, 0, "%s ticked the cache", call);
	cr_assert_eq(objects_destroyed, 0, "%s destroyed the cache's object", call);
}

static void end(void)
{
	cr_assert_eq(tierpool_destroy(pool), 0);
	tierpool_cache_destroy(cache);
	cr_assert_eq(objects_destroyed, 1);
	tierpool_budget_destroy(budget);
}

/* Each call that takes a pool's handle which may be gone; as an int what it returned. */
static int call_tick(tierpool *p)
{
	return (int)tierpool_tick(p);
}

static int call_trim(tierpool *p)
{
	return (int)tierpool_trim(p, 0);
}

static int call_retain_set(tierpool *p)
{
	tierpool_retain_set(p, 0);
	return 0;
}

static int call_destroy(tierpool *p)
{
	return (int)tierpool_destroy(p);
}

static int call_stats_read(tierpool *p)
{
	struct tierpool_stats s = {.size = sizeof s};

	return tierpool_stats_read(p, &s);
}

static int call_stats_tiers(tierpool *p)
{
	struct tierpool_tier_stats tier;

	return tierpool_stats_tiers(p, &tier, 1, sizeof tier);
}

static int call_stats_print(tierpool *p)
{
	return tierpool_stats_print(p, out);
}

static int call_sites_print(tierpool *p)
{
	return tierpool_sites_print(p, out);
}

static const struct call {
	const char *name;
	int (*call)(tierpool *p);
	int answer; /* of a pool that is gone */
} calls[] = {{"tick", call_tick, 0}, {"trim", call_trim, 0}, {"retain_set", call_retain_set, 0},
	{"destroy", call_destroy, 0}, {"stats_read", call_stats_read, -ENOENT},
	{"stats_tiers", call_stats_tiers, -ENOENT}, {"stats_print", call_stats_print, -ENOENT},
	{"sites_print", call_sites_print, -ENOENT}};

static void expect_no_pool(void *handle)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		cr_assert_eq(calls[i].call(handle), calls[i].answer, "%s", calls[i].name);
		expect_all_alive(calls[i].name);
	}
	cr_assert_eq(ftell(out), 0, "printed");
}

Test(registry_handles, of_a_pool_reach_no_cache_and_no_budget)
{
	expect_no_pool(cache);
	expect_no_pool(budget);
	end();
}

static void expect_no_cache(void *handle)
{
	struct tierpool_cache_stats c = {.size = sizeof c};

	cr_assert_eq(tierpool_cache_stats_read(handle, &c), -ENOENT);
	cr_assert_eq(tierpool_cache_tick(handle), 0);
	expect_all_alive("cache_tick");
	tierpool_cache_destroy(handle);
	expect_all_alive("cache_destroy");
}

Test(registry_handles, of_a_cache_reach_no_pool_and_no_budget)
{
	expect_no_cache(pool);
	expect_no_cache(budget);
	end();
}

static void expect_no_budget(void *handle)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool *other;

	options.budget = handle;
	cr_assert_eq(tierpool_create(&other, &options), -EINVAL);
	cr_assert_null(other);
	tierpool_budget_destroy(handle);
	expect_all_alive("budget_destroy");
}

Test(registry_handles, of_a_budget_reach_no_pool_and_no_cache)
{
	expect_no_budget(pool);
	expect_no_budget(cache);
	end();
}

Test(registry_handles, are_dead_after_the_end_for_each_call)
{
	struct tierpool_cache_stats c = {.size = sizeof c};
	tierpool *gone = pool;

	end();
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		cr_assert_eq(calls[i].call(gone), calls[i].answer, "%s", calls[i].name);
	cr_assert_eq(tierpool_cache_stats_read(cache, &c), -ENOENT);
	cr_assert_eq(tierpool_cache_tick(cache), 0);
	tierpool_cache_destroy(cache);
	cr_assert_eq(objects_destroyed, 1);
	tierpool_budget_destroy(budget);
}

Test(registry_handles, a_second_destroy_of_a_budget_takes_it_from_no_pool)
{
	tierpool_budget_destroy(budget);
	tierpool_budget_destroy(budget);
	cr_assert(tp_registry_hold(budget, TP_KIND_BUDGET), "its pool has lost it");
	tp_registry_drop(&budget->registered);
	tierpool_put((tierpool_get_sized)(pool, 5000));
	cr_assert_eq(tierpool_destroy(pool), 0);
	cr_assert_not(tp_registry_hold(budget, TP_KIND_BUDGET));
	tierpool_budget_destroy(budget);
	tierpool_cache_destroy(cache);
}

Test(registry_handles, a_header_whose_pool_is_a_cache_is_that_of_an_unknown_pool)
{
	tierpool_buf *b = (tierpool_get)(pool);

	tierpool_put(b);
	noted_begin("");
	b->tp_pool = (tierpool *)(void *)cache;
	tierpool_put(b);
	expect_noted(b, "unknown pool", "put twice");
	b->tp_pool = pool;
	expect_all_alive("misuse");
	end();
}
