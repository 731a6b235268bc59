/* SPDX-License-Identifier: MIT */
/*
 * What places of a program learn from the gets and puts of a real pool: what counts, and what does
 * not; that places learn apart, and share the memory. The rule itself: test_calibrate.c. When memory
 * runs out, forks, threads, many places: test_learn_hard.c.
 */
#include "pool_checks.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "pool/pool.h"

static struct counting_backing counting; /* each test is a process with one of its own */
static char text[256 * KIB];

static void start(void)
{
	counting_backing_init(&counting);
	stay_on_this_cpu();
	memset(text, 't', sizeof text);
}

TestSuite(learn, .init = start);

/* A pool that does nothing by the clock. */
#define pool_still(...) pool_on(&counting, .decay_ms = TIERPOOL_DECAY_NEVER, __VA_ARGS__)

static void fill_to(tierpool_buf *b, size_t n)
{
	if (tierpool_buf_append(b, text, n))
		cr_assert_fail("append");
}

static void borrow(tierpool *pool, tierpool_site *stub, size_t n, unsigned times)
{
	while (times--) {
		tierpool_buf *b = tierpool_get_at(pool, 0, stub);

		fill_to(b, n);
		tierpool_put(b);
	}
}

/* The capacity of a get there, whose put counts nothing. */
static size_t default_at(tierpool *pool, tierpool_site *stub)
{
	tierpool_buf *b = tierpool_get_at(pool, 0, stub);
	size_t cap = b->cap;

	tierpool_put(b);
	return cap;
}

/* To what a buffer of the default there grows, if one byte more is wanted. */
static size_t step_at(tierpool *pool, tierpool_site *stub)
{
	tierpool_buf *b = tierpool_get_at(pool, 0, stub);
	size_t cap;

	cr_assert_eq(tierpool_buf_reserve(b, b->cap + 1), 0);
	cap = b->cap;
	tierpool_put(b);
	return cap;
}

static struct tp_site *node(tierpool *pool, tierpool_site *stub)
{
	return tp_site_of_stub(&pool->sites, stub);
}

static uint64_t counted(const struct tp_site *site)
{
	uint64_t sum = 0;

	for (unsigned class = 0; class <= TP_CLASSES; class ++)
		sum += site->sizes.count[class];
	return sum;
}

/* ---- what is learned ---- */

Test(learn, each_use_of_the_macro_has_its_own_default_after_64_puts)
{
	static const size_t n[3] = {100, 5000, 60000}, learned[3] = {128, 8 * KIB, 64 * KIB};
	tierpool *pool = pool_still();

	for (unsigned round = 0; round <= TP_LEARN; round++) {
		tierpool_buf *b[3];

		b[0] = tierpool_get(pool);
		b[1] = tierpool_get(pool); /* of what stands in one line the place is one */
		b[2] = tierpool_get(pool);
		for (unsigned i = 0; i < 3; i++) {
			cr_assert_eq(b[i]->cap == learned[i], round > 0, "round %u, place %u: %zu",
				round, i, b[i]->cap);
			fill_to(b[i], n[i]);
			tierpool_put(b[i]);
		}
	}
	cr_assert_eq(pool->sites.count, 3);
	cr_assert_eq(stats_of(pool).calibrations, 3 * 7, "at each power of two");
	cr_assert_eq(stats_of(pool).default_size, KIB, "that of calls without a site");
	pool_end(pool, &counting);
}

Test(learn, while_new_a_place_looks_into_no_stack_and_then_into_that_of_its_default)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("looks");
	tierpool *pool = pool_still();
	struct tp_site *site = node(pool, &stub);

	for (unsigned puts = 0; puts < 20000; puts++) {
		unsigned tier = puts < TP_LEARN ? TP_TIER_NONE : tp_calibration_tier(&site->sizes);

		cr_assert_eq(tp_site_word_offset(tp_site_word_half(site->word)),
			tp_tiers_stack_offset(&pool->tiers, tier), "after %u puts", puts);
		borrow(pool, &stub, puts < 10000 ? 100 : 5000, 1);
	}
	/* Its stub learns of a new default by a get that is sampled, or slow. */
	cr_assert_eq(default_at(pool, &stub), 8 * KIB);
	cr_assert_eq(tp_site_half(&pool->sites, &stub), tp_site_word_half(site->word));
	pool_end(pool, &counting);
}

Test(learn, calls_without_a_site_learn_together)
{
	tierpool *pool = pool_still();

	borrow(pool, NULL, 3000, TP_LEARN);
	cr_assert_eq(stats_of(pool).default_size, 4 * KIB);
	cr_assert_eq(default_at(pool, NULL), 4 * KIB);
	cr_assert_eq(pool->sites.count, 0);
	pool_end(pool, &counting);
}

Test(learn, places_that_learn_apart_share_the_memory)
{
	tierpool_site a = TIERPOOL_SITE_INIT("a"), b = TIERPOOL_SITE_INIT("b");
	tierpool *pool = pool_still();
	struct tierpool_stats before;

	borrow(pool, &a, 5000, 2 * TP_LEARN);
	before = at_rest(pool);
	borrow(pool, &b, 5000, 2 * TP_LEARN);
	cr_assert_eq(at_rest(pool).allocs, before.allocs);
	cr_assert_eq(at_rest(pool).idle_bytes, before.idle_bytes);
	pool_end(pool, &counting);
}

Test(learn, two_places_with_one_default_and_other_tails_grow_to_other_sizes)
{
	tierpool_site a = TIERPOOL_SITE_INIT("a"), b = TIERPOOL_SITE_INIT("b");
	tierpool *pool = pool_still();

	for (unsigned i = 0; i < 300; i++) {
		borrow(pool, &a, i % 50 ? 200 : 10000, 1);
		borrow(pool, &b, i % 50 ? 200 : 100000, 1);
	}
	cr_assert_eq(default_at(pool, &a), 256);
	cr_assert_eq(default_at(pool, &b), 256);
	cr_assert_eq(step_at(pool, &a), 16 * KIB);
	cr_assert_eq(step_at(pool, &b), 128 * KIB);
	pool_end(pool, &counting);
}

Test(learn, above_the_largest_tier_a_buffer_grows_to_what_is_typical_there)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("beyond");
	tierpool *pool = pool_still(.max_size = 16 * KIB);

	for (unsigned i = 0; i < 100; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &stub);

		for (unsigned chunk = 0; chunk < 100; chunk++)
			fill_to(b, 2000);
		tierpool_put(b);
	}
	for (unsigned i = 0; i < 2; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &stub);

		cr_assert_eq(tierpool_buf_reserve(b, 16 * KIB + 1), 0);
		cr_assert(b->cap >= 200000 - 4 && b->cap <= 200000, "%zu", b->cap);
		b->len = 200000 - 4;
		tierpool_put(b);
	}
	pool_end(pool, &counting);
}

/* ---- what counts ---- */

Test(learn, a_buffer_that_was_asked_for_by_size_trains_nothing_though_it_grows)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("sized");
	tierpool *pool = pool_still();

	for (unsigned i = 0; i < 2000; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 100, &stub);

		fill_to(b, 5000);
		tierpool_put(b);
	}
	cr_assert_eq(counted(node(pool, &stub)), 0);
	cr_assert_eq(node(pool, &stub)->growths, 0);
	cr_assert_eq(stats_of(pool).grows, 2000);
	cr_assert_eq(stats_of(pool).calibrations, 0);
	cr_assert_eq(default_at(pool, &stub), KIB);
	pool_end(pool, &counting);
}

Test(learn, an_empty_buffer_trains_nothing)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("empty");
	tierpool *pool = pool_still();

	borrow(pool, &stub, 0, 500);
	cr_assert_eq(counted(node(pool, &stub)), 0);
	borrow(pool, &stub, 5000, TP_LEARN);
	cr_assert_eq(default_at(pool, &stub), 8 * KIB);
	pool_end(pool, &counting);
}

Test(learn, a_buffer_that_is_reset_before_its_put_trains_with_the_most_it_held)
{
	tierpool_site fresh = TIERPOOL_SITE_INIT("fresh"), grown = TIERPOOL_SITE_INIT("grown");
	tierpool *pool = pool_still();
	uint32_t before;

	for (unsigned i = 0; i < TP_LEARN; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &fresh);

		fill_to(b, 5000);
		tierpool_buf_reset(b);
		fill_to(b, 10);
		tierpool_buf_reset(b);
		tierpool_put(b);
	}
	cr_assert_eq(default_at(pool, &fresh), 8 * KIB);
	borrow(pool, &grown, 100, TP_LEARN);
	before = node(pool, &grown)->sizes.count[7];
	for (unsigned i = 0; i < 10; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &grown);

		fill_to(b, 5000);
		tierpool_buf_reset(b);
		tierpool_put(b);
	}
	cr_assert_eq(node(pool, &grown)->sizes.count[7], before + 10);
	pool_end(pool, &counting);
}

Test(learn, a_put_of_a_buffer_that_grew_is_always_counted_with_its_growths)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("grows");
	tierpool *pool = pool_still(.calibrate_every = 1u << 20);
	struct tp_site *site;

	borrow(pool, &stub, 200, TP_LEARN);
	site = node(pool, &stub);
	cr_assert_eq(site->growths, 0);
	for (unsigned i = 1; i <= 1000; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &stub);

		cr_assert_eq(tierpool_buf_reserve(b, 257), 0);
		cr_assert_eq(tierpool_buf_reserve(b, b->cap + 1), 0);
		fill_to(b, 100000);
		cr_assert_eq(site->sizes.count[11], i - 1);
		tierpool_put(b);
		cr_assert_eq(site->sizes.count[11], i);
		cr_assert_eq(site->growths, stats_of(pool).grows);
	}
	cr_assert_geq(site->growths, 2000);
	pool_end(pool, &counting);
}

#define GETS 20000u

Test(learn, of_puts_that_did_not_grow_one_in_256_is_counted_for_all_of_them)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("sampled");
	tierpool *pool = pool_still(.calibrate_every = 1u << 20);
	struct tp_site *site;

	borrow(pool, &stub, 200, TP_LEARN);
	borrow(pool, &stub, 200, GETS);
	site = node(pool, &stub);
	/* A gap deviates from 256 by 148; the sum of 78, by 6.5 % of it: this is five times that. */
	cr_assert(
		site->gets > GETS * 2 / 3 && site->gets < GETS * 4 / 3, "%zu", (size_t)site->gets);
	cr_assert_eq(site->gets % TP_SAMPLE, TP_LEARN % TP_SAMPLE);
	cr_assert_eq(site->sizes.count[2], TP_LEARN * TP_SAMPLE + site->gets - TP_LEARN);
	pool_end(pool, &counting);
}

/* ---- in each run the same ---- */

/* What became of a sequence: all that two places learned, and what each of their gets gave. */
struct verdicts {
	uint64_t caps, gets[2], growths[2], calibrations;
	struct tp_calibration sizes[2];
};

static struct verdicts play(void)
{
	tierpool_site stub[2] = {TIERPOOL_SITE_INIT("one"), TIERPOOL_SITE_INIT("other")};
	tierpool *pool = pool_still(.retain = MIB);
	struct verdicts v = {0};
	uint64_t random = 1;

	for (unsigned i = 0; i < (SANITIZED ? 20000u : 100000u); i++) {
		unsigned which = next_random(&random) % 2;
		size_t n = next_random(&random) % 20 ? (size_t)300 << which
						     : next_random(&random) % 90000;
		tierpool_buf *b = tierpool_get_at(pool, 0, &stub[which]);

		v.caps = v.caps * 31 + b->cap;
		fill_to(b, n);
		v.caps = v.caps * 31 + b->cap;
		tierpool_put(b);
	}
	for (unsigned which = 0; which < 2; which++) {
		struct tp_site *site = node(pool, &stub[which]);

		v.gets[which] = site->gets;
		v.growths[which] = site->growths;
		v.sizes[which] = site->sizes;
	}
	v.calibrations = stats_of(pool).calibrations;
	pool_end(pool, &counting);
	return v;
}

Test(learn, one_sequence_played_in_two_pools_has_one_verdict)
{
	struct verdicts a = play(), b = play();

	cr_assert_gt(a.calibrations, 14);
	cr_assert_eq(a.calibrations, b.calibrations);
	cr_assert_eq(a.caps, b.caps);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(a.gets[i], b.gets[i]);
		cr_assert_eq(a.growths[i], b.growths[i]);
		/* All but the padding behind it. */
		cr_assert_eq(memcmp(&a.sizes[i], &b.sizes[i],
				     offsetof(struct tp_calibration, step) + TP_CLASSES),
			0);
	}
}

/* ---- switched off ---- */

Test(learn, with_calibration_off_gets_lend_1_KiB_and_growth_doubles)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("off");
	tierpool *pool = pool_still(.calibrate_every = TIERPOOL_CALIBRATE_OFF, .max_size = MIB);
	struct tp_site *site;

	borrow(pool, &stub, 100000, 1000);
	borrow(pool, NULL, 100, 1000);
	cr_assert_eq(default_at(pool, &stub), KIB);
	cr_assert_eq(default_at(pool, NULL), KIB);
	cr_assert_eq(step_at(pool, &stub), 2 * KIB);
	site = node(pool, &stub);
	cr_assert_eq(counted(site) + counted(&pool->sites.own), 0);
	cr_assert_eq(site->gets + site->growths, 0);
	cr_assert_eq(stats_of(pool).calibrations, 0);
	cr_assert_eq(stats_of(pool).default_size, KIB);
	cr_assert_eq(stats_of(pool).max_size, MIB);
	pool_end(pool, &counting);
}

Test(learn, with_calibration_off_growth_doubles_whatever_the_steps)
{
	for (unsigned steps = 1; steps <= 4; steps *= 2) {
		tierpool *pool =
			pool_still(.calibrate_every = TIERPOOL_CALIBRATE_OFF, .steps = steps);
		tierpool_buf *b = (tierpool_get)(pool);
		size_t cap = b->cap;

		cr_assert_eq(tierpool_buf_reserve(b, cap + 1), 0);
		cr_assert_eq(b->cap, 2 * cap, "%u steps: %zu to %zu", steps, cap, b->cap);
		tierpool_put(b);
		pool_end(pool, &counting);
	}
}

Test(learn, with_calibration_off_every_tier_is_kept)
{
	tierpool *pool = pool_still(.calibrate_every = TIERPOOL_CALIBRATE_OFF, .max_size = MIB);

	tierpool_put((tierpool_get_sized)(pool, MIB));
	cr_assert_eq(at_rest(pool).idle, 1);
	cr_assert_eq(at_rest(pool).drops_oversize, 0);
	pool_end(pool, &counting);
}
