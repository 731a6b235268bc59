/* SPDX-License-Identifier: MIT */
/*
 * What the comments promise of learning, each where it was once not kept.
 */
#include "pool_checks.h"

#include <string.h>

#include "pool/pool.h"

static struct counting_backing counting; /* each test is a process with one of its own */
static char text[8 * KIB];

static void start(void)
{
	counting_backing_init(&counting);
	stay_on_this_cpu();
}

TestSuite(learn_promises, .init = start);

#define pool_still(...) pool_on(&counting, .decay_ms = TIERPOOL_DECAY_NEVER, __VA_ARGS__)
#define LARGE (256 * KIB)

/* pool.h: "TIERPOOL_CALIBRATE_OFF: nothing is learned, tierpool_get lends 1 KiB". */
Test(learn_promises, with_calibration_off_gets_lend_1_KiB_whatever_the_steps)
{
	for (unsigned steps = 1; steps <= 4; steps *= 2) {
		tierpool *pool =
			pool_still(.calibrate_every = TIERPOOL_CALIBRATE_OFF, .steps = steps);
		tierpool_buf *b = (tierpool_get)(pool);

		cr_expect_eq(b->cap, KIB, "%u steps: %zu", steps, b->cap);
		cr_expect_eq(stats_of(pool).default_size, KIB, "%u steps", steps);
		tierpool_put(b);
		pool_end(pool, &counting);
	}
}

/* The same, and then the stack that its gets look into is the one that its puts fill. */
Test(learn_promises, with_calibration_off_a_get_finds_what_was_put_without_a_search)
{
	for (unsigned steps = 1; steps <= 4; steps *= 2) {
		tierpool *pool =
			pool_still(.calibrate_every = TIERPOOL_CALIBRATE_OFF, .steps = steps);
		tierpool_buf *b = (tierpool_get)(pool);
		uint32_t half = tp_site_word_half(pool->sites.own.word);

		cr_expect_eq(tp_site_word_offset(half),
			tp_tiers_stack_offset(&pool->tiers, b->tp_tier), "%u steps", steps);
		tierpool_put(b);
		pool_end(pool, &counting);
	}
}

/* calibrate.c: "A place whose puts are empty is not new for ever." Its gets stay the slow ones. */
Test(learn_promises, the_gets_of_a_place_whose_puts_are_empty_become_fast_ones)
{
	tierpool *pool = pool_still();

	for (unsigned n = 0; n < 5000; n++)
		tierpool_put((tierpool_get)(pool));
	cr_assert_not(tp_calibration_is_new(&pool->sites.own.sizes));
	cr_assert_eq(tp_site_word_offset(tp_site_word_half(pool->sites.own.word)),
		tp_tiers_stack_offset(&pool->tiers, tp_sizeclass_of(&pool->sizes, KIB)),
		"they look into the stack that is always empty");
	pool_end(pool, &counting);
}

/* Fast gets of a large tier, and then five ticks in which only small buffers are used. */
static void use_large_and_then_small(tierpool *pool)
{
	for (unsigned n = 0; n < 10; n++)
		cycle(pool, LARGE, 1);
	for (unsigned tick = 0; tick < 5; tick++) {
		cycle(pool, KIB, 1);
		tierpool_tick(pool);
	}
	cycle(pool, KIB, 1);
	cr_assert_eq(at_rest(pool).idle, 1);
}

/* A fast get of long ago counts at the next slow put as if it were of this tick. */
Test(learn_promises, a_large_tier_is_dropped_two_ticks_after_its_last_fast_get)
{
	tierpool *pool = pool_still();

	use_large_and_then_small(pool);
	cycle(pool, LARGE, 1);
	cr_assert_eq(at_rest(pool).idle, 1, "the small one");
	pool_end(pool, &counting);
}

/* The same in the statistics, whose reading then makes it true for two ticks more. */
Test(learn_promises, max_size_falls_two_ticks_after_the_last_fast_get)
{
	tierpool *pool = pool_still();

	use_large_and_then_small(pool);
	cr_assert_eq(stats_of(pool).max_size, 32 * KIB);
	pool_end(pool, &counting);
}

/* stats.h: "the largest tier that is kept". */
Test(learn_promises, max_size_is_no_tier_that_is_dropped)
{
	tierpool *pool = pool_still(.min_size = LARGE);
	size_t max_size = stats_of(pool).max_size;

	cycle(pool, LARGE, 1);
	cr_assert_eq(at_rest(pool).idle, 0);
	cr_assert_lt(max_size, LARGE);
	pool_end(pool, &counting);
}

/* Each pool's own stub takes a number of the process, by which the tables of all pools grow. */
Test(learn_promises, a_pool_that_is_made_late_takes_no_more_memory_than_the_first)
{
	size_t first = 0, bytes = 0;

	for (unsigned n = 0; n < 3000; n++) {
		tierpool *pool = pool_still();

		tierpool_put((tierpool_get)(pool));
		bytes = pool->sites.bytes;
		first = first ? first : bytes;
		pool_end(pool, &counting);
	}
	cr_assert_eq(bytes, first);
}

/* calibrate.h: "used: the largest len". */
Test(learn_promises, content_that_is_replaced_by_less_trains_as_what_is_reset)
{
	tierpool *pool = pool_still();

	for (unsigned n = 0; n < TP_LEARN; n++) {
		tierpool_buf *b = (tierpool_get)(pool);

		cr_assert_eq(tierpool_buf_append(b, text, 5000), 0);
		cr_assert_eq(tierpool_buf_set(b, text, 10), 0);
		tierpool_put(b);
	}
	cr_assert_eq(stats_of(pool).default_size, 8 * KIB);
	pool_end(pool, &counting);
}

/* pool.h: "a len that the program lowers itself is seen only where the buffer has grown". */
Test(learn_promises, content_that_is_cut_off_trains_as_far_as_it_made_the_buffer_grow)
{
	tierpool *pool = pool_still();
	tierpool_buf *b = (tierpool_get)(pool);

	cr_assert_eq(tierpool_buf_append(b, text, 5000), 0);
	b->len = 10;
	tierpool_put(b);
	cr_assert_eq(stats_of(pool).default_size, 8 * KIB);
	pool_end(pool, &counting);
}

/* calibrate.h: "one that did not grow, but was sampled, stands for TP_SAMPLE puts". */
Test(learn_promises, buffers_borrowed_while_a_place_is_new_and_put_later_do_not_count_256_each)
{
	tierpool *pool = pool_still(.calibrate_every = 1u << 20);
	tierpool_buf *b[1000];
	uint32_t count;

	for (unsigned n = 0; n < 1000; n++) {
		b[n] = (tierpool_get)(pool);
		cr_assert_eq(tierpool_buf_append(b[n], text, 200), 0);
	}
	for (unsigned n = 0; n < 1000; n++)
		tierpool_put(b[n]);
	count = pool->sites.own.sizes.count[2];
	/* Of the others a few were sampled. */
	cr_assert_leq(count, 2 * TP_LEARN * TP_SAMPLE, "%u, or %u puts", count, count / TP_SAMPLE);
	pool_end(pool, &counting);
}

/* Drops from before there was the place are taken for drops since its last calibration. */
Test(learn_promises, a_new_place_in_an_old_pool_learns_as_in_a_new_one)
{
	tierpool *pool = pool_still(.retain = TIERPOOL_RETAIN_NONE);
	tierpool_buf *b;

	cycle(pool, KIB, 100);
	tierpool_retain_set(pool, MIB);
	cr_assert_eq(at_rest(pool).drops_retain, 100);
	b = (tierpool_get)(pool);
	cr_assert_eq(tierpool_buf_append(b, text, 200), 0);
	tierpool_put(b);
	cr_assert_eq(stats_of(pool).calibrations, 1);
	cr_assert_eq(pool->sites.own.sizes.dear, 0);
	pool_end(pool, &counting);
}

/* With few puts between calibrations the counts are halved down to what the prior outweighs. */
Test(learn_promises, a_default_falls_however_small_calibrate_every_is)
{
	static const unsigned every[] = {2048, 512, 256, 64, 1};

	for (unsigned i = 0; i < sizeof every / sizeof *every; i++) {
		tierpool *pool = pool_still(.calibrate_every = every[i]);

		for (unsigned n = 0; n < 100000; n++) {
			tierpool_buf *b = (tierpool_get)(pool);

			if (tierpool_buf_append(b, text, n < TP_LEARN ? 5000 : 200))
				cr_assert_fail("append");
			tierpool_put(b);
		}
		cr_expect_eq(stats_of(pool).default_size, 256, "every %u: %zu", every[i],
			stats_of(pool).default_size);
		pool_end(pool, &counting);
	}
}

/* A buffer of which far less is needed is not made as large, nor does a wrong len count. */
Test(learn_promises, one_giant_does_not_make_others_grow_to_its_size)
{
	tierpool *pool = pool_still(.max_size = 4 * KIB);
	tierpool_buf *b = (tierpool_get)(pool);

	cr_assert_eq(tierpool_buf_reserve(b, 64 * MIB), 0);
	b->len = SIZE_MAX;
	tierpool_put(b);
	cr_assert_eq(pool->sites.own.sizes.beyond, 64 * MIB);
	b = (tierpool_get)(pool);
	cr_assert_eq(tierpool_buf_append(b, text, 5000), 0);
	cr_assert_leq(b->cap, 16 * 5000);
	tierpool_put(b);
	pool_end(pool, &counting);
}

/* pool.h: "The same calls on one CPU calibrate alike in every run", though looks come by the clock. */
Test(learn_promises, a_look_at_the_clock_shows_no_stub_what_was_learned)
{
	tierpool *pool = pool_still();
	uint32_t half;

	for (unsigned n = 0; n < 2 * TP_LEARN; n++) {
		tierpool_buf *b = (tierpool_get)(pool);

		b->len = 200;
		tierpool_put(b);
	}
	half = tp_site_half(&pool->sites, &pool->sites.own_stub);
	tp_site_begin_with(&pool->sites.own, tp_tiers_stack_offset(&pool->tiers, 5));
	cr_assert_eq(tp_site_of_stub(&pool->sites, &pool->sites.own_stub), &pool->sites.own);
	cr_assert_eq(tp_site_half(&pool->sites, &pool->sites.own_stub), half);
	pool_end(pool, &counting);
}

/* If another thread is judging at the put that ends the learning. */
Test(learn_promises, a_place_that_nobody_judged_when_it_ceased_to_be_new_is_set_by_the_next_put)
{
	tierpool *pool = pool_still();
	struct tp_site *site = &pool->sites.own;
	tierpool_buf *b, *late = (tierpool_get)(pool);

	late->len = 200;
	site->sizes.judging = 1;
	for (unsigned n = 0; n < TP_LEARN; n++) {
		b = (tierpool_get)(pool);
		b->len = 200;
		tierpool_put(b);
	}
	cr_assert_not(tp_calibration_is_new(&site->sizes));
	site->sizes.judging = 0;
	tierpool_put(late);
	cr_assert_neq(tp_site_word_offset(tp_site_word_half(site->word)),
		pool->sites.options.stack_offset);
	pool_end(pool, &counting);
}

/* pool.h: of a backing: "without a lock of the library that another thread waits for". */
static tierpool *asked_pool;
static bool locked_alloc;
static struct tierpool_backing plain_backing;

static void *alloc_unlocked(void *context, size_t n, size_t alignment)
{
	if (asked_pool) {
		if (!tp_lock_try(&asked_pool->sites.lock))
			locked_alloc = true;
		else
			tp_lock_give(&asked_pool->sites.lock);
	}
	return plain_backing.alloc(context, n, alignment);
}

Test(learn_promises, no_lock_of_the_sites_is_held_in_a_backing)
{
	struct tierpool_backing calls = plain_backing = counting_backing_calls(&counting);
	tierpool *pool;

	calls.alloc = alloc_unlocked;
	pool = pool_new(.backing = &calls);
	asked_pool = pool;
	for (unsigned n = 0; n < 100; n++) {
		tierpool_site stub = {.tp_file = "many.c", .tp_line = n};

		tierpool_put(tierpool_get_at(pool, 0, &stub));
	}
	asked_pool = NULL;
	cr_assert_not(locked_alloc);
	pool_end(pool, &counting);
}
