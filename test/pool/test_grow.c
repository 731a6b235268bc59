/* SPDX-License-Identifier: MIT */
/*
 * How a borrowed buffer grows: by exchange with an idle one where there is one. Content and errors
 * of growth: test_buffer_model.c; growth when memory runs out: test_out_of_memory.c.
 */
#include "pool_checks.h"

#include <string.h>

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
