/* SPDX-License-Identifier: MIT */
/*
 * How a borrowed buffer grows: by exchange with an idle one where there is one. Content and errors
 * of growth: test_buffer_model.c; growth when memory runs out: test_out_of_memory.c.
 */
#include "pool_checks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "pool/pool.h"

static struct counting_backing counting; /* each test is a process with one of its own */

static void start(void)
{
	counting_backing_init(&counting);
	stay_on_this_cpu();
}

TestSuite(grow, .init = start);

Test(grow, growth_exchanges_blocks_with_an_idle_buffer)
{
	tierpool *pool = pool_on(&counting, .max_size = MIB);
	tierpool_buf *b = tierpool_get_sized(pool, 4 * KIB);
	struct tierpool_stats before, after;
	char *block = b->data;

	tierpool_put(b);
	b = tierpool_get_sized(pool, 2 * KIB);
	memset(b->data, 'a', b->len = b->cap);
	before = stats_of(pool);
	cr_assert_eq(tierpool_buf_append_byte(b, 'b'), 0);
	after = accounted(pool, &counting, b->cap);
	cr_assert_eq(b->data, block, "the idle buffer's block");
	cr_assert_eq(b->cap, 4 * KIB);
	cr_assert_eq(b->data[0], 'a');
	cr_assert_eq(b->data[2 * KIB - 1], 'a');
	cr_assert_eq(b->data[2 * KIB], 'b');
	cr_assert_eq(after.grows, before.grows + 1);
	cr_assert_eq(after.grows_pooled, before.grows_pooled + 1);
	cr_assert_eq(after.allocs, before.allocs);
	cr_assert_eq(after.gets, before.gets);
	cr_assert_eq(after.puts, before.puts);
	cr_assert_eq(after.hits, before.hits);
	cr_assert_eq(after.idle_bytes, 2 * KIB + HEADER, "its own block, back in its tier");
	tierpool_put(b);
	b = tierpool_get_sized(pool, 2 * KIB);
	cr_assert_eq(stats_of(pool).hits, before.hits + 1);
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(grow, growth_at_least_doubles_and_keeps_content_and_handle)
{
	static const size_t uneven[] = {100, 150, 1000, 1001, 5000};

	for (unsigned list = 0; list < 2; list++) {
		tierpool *pool = list ? pool_on(&counting, .tiers = uneven, .tier_count = 5)
				      : pool_on(&counting, .max_size = MIB);
		tierpool_buf *b = tierpool_get_sized(pool, 1), *handle = b;
		unsigned growths = 0;

		for (unsigned i = 0; i < 600000; i++) {
			size_t cap = b->cap;

			cr_assert_eq(tierpool_buf_append_byte(b, (char)(i * 7 + i / 251)), 0);
			if (b->cap != cap) {
				cr_assert_geq(b->cap, 2 * cap);
				cr_assert(list || b->tp_limit == b->cap, "appends became slow");
				growths++;
			}
		}
		cr_assert_eq(b, handle);
		cr_assert_eq(b->len, 600000);
		for (unsigned i = 0; i < 600000; i++)
			if (b->data[i] != (char)(i * 7 + i / 251))
				cr_assert_fail("byte %u is not what was appended", i);
		cr_assert_eq(stats_of(pool).grows, growths);
		tierpool_put(b);
		pool_end(pool, &counting);
	}
}

Test(grow, growth_finds_what_is_idle_after_retain_was_lowered)
{
	tierpool *pool = pool_on(&counting, .retain = 16 * MIB);
	struct tierpool_stats before, after;
	tierpool_buf *b;

	cycle(pool, 2 * KIB, 1);
	tierpool_retain_set(pool, 4 * KIB);
	before = accounted(pool, &counting, 0);
	cr_assert_eq(before.idle, 1);
	b = tierpool_get_sized(pool, KIB);
	cr_assert_eq(tierpool_buf_reserve(b, 2 * KIB), 0);
	after = accounted(pool, &counting, b->cap);
	cr_assert_eq(after.grows_pooled, before.grows_pooled + 1);
	tierpool_put(b);
	pool_end(pool, &counting);
}

/* ---- what is counted ---- */

static uint64_t slow_calls(const tierpool *pool)
{
	return tp_counts_slow_gets(&pool->tiers) + tp_counts_sum(&pool->tiers, TP_SLOW_PUTS);
}

static uint64_t exchange_pops(const tierpool *pool)
{
	return tp_counts_exchange_sum(&pool->tiers, TP_EXCHANGE_POPS);
}

/* Borrows and grows n times; each of it is counted once, and nothing else, with the pool at rest. */
static struct tierpool_stats grow_counted(tierpool *pool, unsigned n)
{
	struct tierpool_stats before = accounted(pool, &counting, 0), after;

	for (unsigned i = 0; i < n; i++) {
		tierpool_buf *b = (tierpool_get_sized)(pool, KIB);

		cr_assert_eq(tierpool_buf_reserve(b, 4 * KIB), 0);
		tierpool_put(b);
	}
	after = accounted(pool, &counting, 0);
	cr_assert_eq(after.gets - before.gets, n);
	cr_assert_eq(after.puts - before.puts, n);
	cr_assert_eq(after.grows - before.grows, n);
	return after;
}

Test(grow, growth_between_stacks_is_a_pop_and_a_push_and_no_slow_call)
{
	enum { GROWTHS = 20000 };
	tierpool *pool = pool_on(&counting, .max_size = MIB);
	struct tierpool_stats before = grow_counted(pool, 2), after;
	uint64_t slow = slow_calls(pool), exchanges = exchange_pops(pool);

	after = grow_counted(pool, GROWTHS);
	cr_assert_eq(after.grows_pooled - before.grows_pooled, GROWTHS);
	cr_assert_eq(after.hits - before.hits, GROWTHS);
	cr_assert_eq(after.allocs, before.allocs);
	cr_assert_eq(exchange_pops(pool) - exchanges, GROWTHS);
	cr_assert_eq(slow_calls(pool), slow);
	pool_end(pool, &counting);
}

Test(grow, growth_out_of_depots_and_growth_that_finds_nothing_are_counted_alike)
{
	tierpool *depots = pool_on(&counting, .max_idle = 1);
	tierpool *nothing = pool_on(&counting, .retain = TIERPOOL_RETAIN_NONE);
	struct tierpool_stats before, after;

	cycle(depots, KIB, 1);
	cycle(depots, 4 * KIB, 1);
	before = stats_of(depots);
	for (unsigned i = 0; i < 100; i++) {
		tierpool_buf *b = (tierpool_get_sized)(depots, KIB);

		cr_assert_eq(tierpool_buf_reserve(b, 4 * KIB), 0);
		after = at_rest(depots);
		cr_assert_eq(after.gets - before.gets, i + 1);
		cr_assert_eq(after.puts - before.puts, i);
		cr_assert_eq(after.grows_pooled - before.grows_pooled, i + 1);
		tierpool_put(b);
	}
	cr_assert_eq(exchange_pops(depots), 0, "none was a pop and a push");
	cr_assert_eq(tierpool_destroy(depots), 0);
	for (unsigned i = 1; i <= 100; i++) {
		tierpool_buf *b = (tierpool_get_sized)(nothing, KIB);

		cr_assert_eq(tierpool_buf_reserve(b, 4 * KIB), 0);
		tierpool_put(b);
		after = accounted(nothing, &counting, 0);
		cr_assert(after.gets == i && after.puts == i && after.grows == i);
		cr_assert(
			after.hits == 0 && after.grows_pooled == 0 && after.drops_retain == 2 * i);
	}
	pool_end(nothing, &counting);
}

Test(grow, an_old_block_for_which_there_is_no_place_in_the_stack_counts_as_no_put)
{
	/* One buffer of a tier on each CPU, and no more than this in all. */
	unsigned most = 4 * tp_cpu_count();
	tierpool *pool = pool_on(&counting, .retain = (size_t)1 << 40, .max_idle = most);
	tierpool_buf *small[4 * 1024 + 1];
	struct tierpool_stats before, after;
	uint64_t exchanges;

	cr_assert_leq(most, 4 * 1024);
	for (unsigned i = 0; i <= most; i++)
		small[i] = (tierpool_get_sized)(pool, KIB);
	cycle(pool, 2 * KIB, 1);
	for (unsigned i = 0; i < most; i++)
		tierpool_put(small[i]);
	before = at_rest(pool);
	exchanges = exchange_pops(pool);
	cr_assert_eq(before.idle, most + 1);
	cr_assert_eq(tierpool_buf_reserve(small[most], 2 * KIB), 0);
	after = at_rest(pool);
	cr_assert_eq(exchange_pops(pool), exchanges + 1, "it was a pop");
	cr_assert_eq(after.drops_idle_count, 1, "the old block");
	cr_assert(after.gets == before.gets && after.puts == before.puts);
	cr_assert_eq(after.grows_pooled, 1);
	cr_assert_eq(after.idle, most);
	tierpool_put(small[most]);
	pool_end(pool, &counting);
}

/* ---- what is secret, and what fails ---- */

Test(grow, a_secret_is_wiped_in_the_block_that_it_leaves_for_a_stack)
{
	tierpool *pool = pool_on(&counting, .max_size = MIB);
	tierpool_buf *b;
	const char *left;

	grow_counted(pool, 2);
	b = (tierpool_get_sized)(pool, KIB);
	tierpool_buf_secret(b);
	memset(b->data, 's', b->len = b->cap);
	left = b->data;
	cr_assert_eq(tierpool_buf_reserve(b, 3 * KIB), 0);
	cr_assert_neq(b->data, left);
	cr_assert_eq(stats_of(pool).grows_pooled, 2);
	cr_assert_eq(b->data[KIB - 1], 's');
	/* The last to be put is the first to be got. */
	tierpool_put(b);
	b = (tierpool_get_sized)(pool, KIB);
	cr_assert_eq(b->data, left);
	for (size_t i = 0; i < b->cap; i++)
		cr_assert_eq(b->data[i], 0, "byte %zu", i);
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(grow, a_growth_that_finds_no_memory_is_not_counted_and_leaves_the_buffer_whole)
{
	tierpool *pool = pool_on(&counting, .max_size = MIB);
	tierpool_buf *b = (tierpool_get_sized)(pool, KIB);
	struct tierpool_stats s;
	char *block = b->data;

	memset(block, 'a', b->len = b->cap);
	counting_backing_fail(&counting, 1, true);
	cr_assert_eq(tierpool_buf_append_byte(b, 'b'), -ENOMEM);
	counting_backing_fail(&counting, 0, false);
	cr_assert(b->data == block && b->cap == KIB && b->len == KIB && block[KIB - 1] == 'a');
	s = accounted(pool, &counting, b->cap);
	cr_assert(s.gets == 1 && s.puts == 0 && s.grows == 0 && s.allocs == 1 && s.frees == 0);
	cr_assert_eq(exchange_pops(pool), 0, "the pop took nothing");
	tierpool_buf_reset(b);
	tierpool_put(b);
	pool_end(pool, &counting);
}

/* ---- aborts ---- */

#define STORMED (SANITIZED ? 100000u : 2000000u)

static void on_alarm(int signal)
{
	(void)signal;
}

/* A signal aborts the sequence that it comes into: some 90 pops here, and as many pushes. */
Test(grow, an_aborted_pop_is_tried_again_and_needs_no_block)
{
	const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	tierpool *pool;
	struct tierpool_stats before = {0};

	pool = pool_on(&counting);
	signal(SIGALRM, on_alarm);
	for (unsigned i = 0; i < STORMED; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, KIB);

		if (tierpool_buf_reserve(b, KIB + 1))
			cr_assert_fail("reserve");
		tierpool_put(b);
		if (i == 10) {
			before = accounted(pool, &counting, 0);
			setitimer(ITIMER_REAL, &often, NULL);
		}
	}
	setitimer(ITIMER_REAL, &never, NULL);
	cr_assert_eq(accounted(pool, &counting, 0).allocs, before.allocs);
	pool_end(pool, &counting);
}

/* ---- mixes of sizes ---- */

#define BORROWS (SANITIZED ? 10000u : 100000u)

/* Of a hundred borrowers, percent fill 100 KB, piece by piece, and the others 200 bytes. */
static const struct mix {
	unsigned percent;
	size_t piece;
} mixes[] = {{1, 1000}, {6, 10000}, {20, 100000}};

static void borrow_mixed(tierpool *pool, const struct mix *mix)
{
	static uint64_t random = 88172645463325252;
	static char text[100000];

	for (unsigned i = 0; i < BORROWS; i++) {
		size_t end = next_random(&random) % 100 < mix->percent ? sizeof text : 200;
		tierpool_buf *b = tierpool_get(pool);

		if (tierpool_buf_append(b, text, 200))
			cr_assert_fail("append");
		while (b->len < end)
			if (tierpool_buf_append(
				    b, text, mix->piece < end - b->len ? mix->piece : end - b->len))
				cr_assert_fail("append");
		tierpool_put(b);
	}
}

Test(grow, a_mix_of_sizes_settles_and_then_needs_the_backing_no_more)
{
	stay_on_this_cpu(); /* on another CPU there is nothing at first */
	for (unsigned i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
		tierpool *pool = pool_on(&counting, .max_size = MIB);
		struct tierpool_stats half, whole;

		borrow_mixed(pool, &mixes[i]);
		half = accounted(pool, &counting, 0);
		borrow_mixed(pool, &mixes[i]);
		whole = accounted(pool, &counting, 0);
		cr_assert_eq(whole.gets, 2 * BORROWS);
		cr_assert_eq(whole.allocs, half.allocs, "%u %%", mixes[i].percent);
		cr_assert_eq(whole.frees, half.frees, "%u %%", mixes[i].percent);
		cr_assert_gt(whole.grows, half.grows);
		pool_end(pool, &counting);
	}
}
