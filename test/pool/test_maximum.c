/* SPDX-License-Identifier: MIT */
/*
 * The largest size that a pool keeps: a tier from 64 KiB on is kept while it is asked for again.
 */
#include "pool_checks.h"

#include <string.h>

#include "pool/pool.h"

static struct counting_backing counting; /* each test is a process with one of its own */

static void start(void)
{
	counting_backing_init(&counting);
	stay_on_this_cpu();
}

TestSuite(maximum, .init = start);

#define LARGE (256 * KIB)

/* A pool that does nothing by the clock. */
#define pool_still(...) pool_on(&counting, .decay_ms = TIERPOOL_DECAY_NEVER, __VA_ARGS__)

static size_t idle_of(const tierpool *pool, size_t size)
{
	return tp_tiers_count(&pool->tiers, tp_sizeclass_of(&pool->sizes, size));
}

static void ticks(tierpool *pool, unsigned n)
{
	while (n--)
		tierpool_tick(pool);
}

Test(maximum, a_large_tier_that_was_asked_for_once_is_dropped_and_counted)
{
	tierpool *pool = pool_still();
	struct tierpool_stats s;
	unsigned drops = 0;

	for (size_t size = 64 * KIB; size <= 16 * MIB; size *= 2) {
		cycle(pool, size, 1);
		s = accounted(pool, &counting, 0);
		cr_assert_eq(s.drops_oversize, ++drops);
		cr_assert_eq(s.idle, 0);
	}
	pool_end(pool, &counting);
}

Test(maximum, below_64_KiB_each_tier_is_kept_at_once)
{
	tierpool *pool = pool_still();
	size_t kept = 0;

	for (size_t size = 64; size <= 32 * KIB; size *= 2) {
		cycle(pool, size, 1);
		cr_assert_eq(accounted(pool, &counting, 0).idle, ++kept);
	}
	cr_assert_eq(stats_of(pool).drops_oversize, 0);
	pool_end(pool, &counting);
}

Test(maximum, a_large_tier_that_is_asked_for_again_in_this_tick_or_the_next_is_kept)
{
	for (unsigned between = 0; between < 4; between++) {
		tierpool *pool = pool_still();

		cycle(pool, LARGE, 1);
		ticks(pool, between);
		cycle(pool, LARGE, 1);
		cr_assert_eq(idle_of(pool, LARGE), between <= 1, "%u ticks between", between);
		cr_assert_eq(at_rest(pool).drops_oversize, between <= 1 ? 1 : 2);
		pool_end(pool, &counting);
	}
}

Test(maximum, asks_of_one_tier_keep_no_other)
{
	tierpool *pool = pool_still();

	cycle(pool, LARGE, 2);
	cycle(pool, 2 * LARGE, 1);
	cycle(pool, LARGE / 2, 1);
	cr_assert_eq(at_rest(pool).idle, 2);
	cr_assert_eq(idle_of(pool, LARGE), 2);
	pool_end(pool, &counting);
}

Test(maximum, a_growth_asks_too)
{
	tierpool *pool = pool_still();

	for (unsigned n = 0; n < 2; n++) {
		tierpool_buf *b = (tierpool_get_sized)(pool, KIB);

		cr_assert_eq(tierpool_buf_reserve(b, LARGE), 0);
		tierpool_put(b);
		cr_assert_eq(idle_of(pool, LARGE), n);
	}
	pool_end(pool, &counting);
}

Test(maximum, after_two_ticks_without_an_ask_it_is_dropped_again)
{
	tierpool *pool = pool_still();

	for (unsigned round = 1; round <= 3; round++) {
		cycle(pool, LARGE, 2);
		cr_assert_eq(idle_of(pool, LARGE), 2);
		ticks(pool, 3); /* a buffer on a busy CPU is freed by the third one */
		cr_assert_eq(at_rest(pool).idle, 0);
		cycle(pool, LARGE, 1);
		cr_assert_eq(idle_of(pool, LARGE), 0);
		cr_assert_eq(at_rest(pool).drops_oversize, round);
		ticks(pool, 2);
	}
	pool_end(pool, &counting);
}

/* As if so many ticks had passed, and no slow call. */
static void pass(tierpool *pool, uint64_t many)
{
	pool->tiers.decay.ticks += many;
	pool->tiers.decay.announced += many;
}

Test(maximum, after_any_number_of_ticks_an_ask_of_before_counts_no_more)
{
	for (unsigned bits = 30; bits < 64; bits++) {
		tierpool *pool = pool_still();

		cycle(pool, LARGE, 1);
		pass(pool, UINT64_C(1) << bits);
		cycle(pool, LARGE, 1);
		cr_assert_eq(idle_of(pool, LARGE), 0, "2^%u ticks between", bits);
		pool_end(pool, &counting);
	}
}

Test(maximum, however_often_a_tier_is_asked_for_in_a_tick_it_stays_asked_for)
{
	tierpool *pool = pool_still();
	unsigned tier = tp_sizeclass_of(&pool->sizes, LARGE);
	struct tp_asked *asked = &pool->maximum.asked[tier - pool->maximum.first];

	asked->now = UINT32_MAX - 1;
	for (unsigned i = 0; i < 4; i++) {
		tp_maximum_ask(&pool->maximum, tier);
		cr_assert(tp_maximum_keeps(&pool->maximum, tier), "%u more", i);
	}
	ticks(pool, 1);
	asked->now = 1;
	cr_assert(tp_maximum_keeps(&pool->maximum, tier), "of this tick and the last");
	pool_end(pool, &counting);
}

Test(maximum, a_tier_that_fast_gets_use_keeps_a_second_buffer)
{
	tierpool *pool = pool_still();

	cycle(pool, LARGE, 1);
	cycle(pool, LARGE, 1);
	for (unsigned tick = 0; tick < 10; tick++) {
		uint64_t slow = tp_counts_slow_gets(&pool->tiers);

		cycle(pool, LARGE, 1);
		cr_assert_eq(tp_counts_slow_gets(&pool->tiers), slow);
		ticks(pool, 1);
	}
	cr_assert_eq(idle_of(pool, LARGE), 1);
	cycle(pool, LARGE, 2);
	cr_assert_eq(idle_of(pool, LARGE), 2);
	cr_assert_eq(at_rest(pool).drops_oversize, 1, "the very first one");
	pool_end(pool, &counting);
}

Test(maximum, the_statistics_say_which_tier_is_the_largest_that_is_kept)
{
	tierpool *pool = pool_still(.max_size = MIB);

	cr_assert_eq(stats_of(pool).max_size, 32 * KIB);
	for (size_t size = 64 * KIB; size <= MIB; size *= 2) {
		cycle(pool, size, 1);
		cr_assert_lt(stats_of(pool).max_size, size);
		cycle(pool, size, 1);
		cr_assert_eq(stats_of(pool).max_size, size);
	}
	ticks(pool, 1);
	cr_assert_eq(stats_of(pool).max_size, MIB, "asked for in the last tick");
	ticks(pool, 1);
	cr_assert_eq(stats_of(pool).max_size, 32 * KIB);
	pool_end(pool, &counting);
}

/* ---- programs ---- */

/* A message, as a program fills it. */
static void message(tierpool *pool, tierpool_site *stub, size_t n)
{
	tierpool_buf *b = tierpool_get_at(pool, 0, stub);

	if (tierpool_buf_reserve(b, n))
		cr_assert_fail("reserve");
	memset(b->data, 'm', b->len = n);
	tierpool_put(b);
}

Test(maximum, of_one_large_message_in_a_thousand_at_most_one_block_is_idle)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("thousand");
	tierpool *pool = pool_still();

	for (unsigned n = 1; n <= 10000; n++) {
		message(pool, &stub, n % 1000 ? 1000 : LARGE);
		cr_assert_leq(idle_of(pool, LARGE), 1);
		if (n % 400 == 0)
			ticks(pool, 1);
	}
	ticks(pool, 3);
	cr_assert_eq(idle_of(pool, LARGE), 0);
	cr_assert_leq(stats_of(pool).grows, 10 + TP_LEARN);
	pool_end(pool, &counting);
}

Test(maximum, a_message_above_the_largest_tier_is_never_kept)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("giant");
	tierpool *pool = pool_still();

	for (unsigned n = 1; n <= 10; n++) {
		message(pool, &stub, 1000);
		message(pool, &stub, 32 * MIB);
		cr_assert_lt(accounted(pool, &counting, 0).idle_bytes, 2 * (KIB + HEADER) + 1);
		cr_assert_eq(stats_of(pool).drops_oversize, n);
	}
	pool_end(pool, &counting);
}
