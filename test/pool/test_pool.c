/* SPDX-License-Identifier: MIT */
/*
 * The pool through its public interface: what a get gives, where a put files a buffer, how one
 * grows, and that mixes of sizes settle. Bounds: test_pool_bound.c; tick and trim:
 * test_pool_decay.c; threads, forks, signals: test_pool_threads.c; out of memory:
 * test_pool_memory.c.
 */
#include "pool_checks.h"

#include <errno.h>
#include <string.h>

static struct counting_backing counting; /* one a process, and each test is one */

/* ---- get ---- */

Test(pool, get_of_no_pool_is_an_error)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("here");

	errno = 0;
	cr_assert_null(tierpool_get(NULL));
	cr_assert_eq(errno, EINVAL);
	errno = 0;
	cr_assert_null(tierpool_get_sized(NULL, 10));
	cr_assert_eq(errno, EINVAL);
	errno = 0;
	cr_assert_null(tierpool_get_at(NULL, 10, &site));
	cr_assert_eq(errno, EINVAL);
}

Test(pool, calls_with_null_do_nothing)
{
	tierpool_put(NULL);
	tierpool_retain_set(NULL, 1);
	tierpool_budget_destroy(NULL);
	cr_assert_eq(tierpool_destroy(NULL), 0);
	cr_assert_eq(tierpool_budget_create(NULL, 1), -EINVAL);
}

static size_t tier_for(size_t n, unsigned steps)
{
	for (size_t base = 64;; base *= 2)
		for (unsigned step = 0; step < steps; step++)
			if (base + base / steps * step >= n)
				return base + base / steps * step;
}

Test(pool, get_sized_gives_the_smallest_tier_that_holds_it_aligned_to_64)
{
	for (unsigned steps = 1; steps <= 4; steps *= 2) {
		tierpool *pool = pool_new(.steps = steps, .max_size = 256 * KIB);

		for (size_t size = 1; size <= 256 * KIB; size += size / 7 + 1)
			for (unsigned again = 0; again < 2; again++) {
				tierpool_buf *b = tierpool_get_sized(pool, size);

				cr_assert_eq(b->cap, tier_for(size, steps), "%zu", size);
				cr_assert_eq((uintptr_t)b->data % 64, 0);
				cr_assert_eq(b->len, 0);
				memset(b->data, 'a', b->cap);
				b->len = b->cap;
				tierpool_put(b);
			}
		at_rest(pool);
		tierpool_destroy(pool);
	}
}

Test(pool, get_sized_of_0_and_every_form_of_get_give_the_default)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("here");
	tierpool *pool = pool_new(.name = "forms");
	tierpool_buf *b[] = {tierpool_get(pool), (tierpool_get)(pool), tierpool_get_sized(pool, 0),
		(tierpool_get_sized)(pool, 0), tierpool_get_at(pool, 0, &site),
		tierpool_get_at(pool, 0, NULL), TIERPOOL_GET(pool), TIERPOOL_GET_SIZED(pool, 0)};

	for (unsigned i = 0; i < sizeof b / sizeof b[0]; i++) {
		cr_assert_eq(b[i]->cap, stats_of(pool).default_size);
		tierpool_put(b[i]);
	}
	at_rest(pool);
	tierpool_destroy(pool);
}

Test(pool, explicit_tiers_are_taken_as_they_are)
{
	static const size_t sizes[] = {2 * KIB, 4 * KIB, 32 * KIB};
	static const size_t asked[] = {1, 2048, 2049, 4096, 4097, 32768};
	static const size_t given[] = {2048, 2048, 4096, 4096, 32768, 32768};
	tierpool *pool = pool_new(.tiers = sizes, .tier_count = 3);

	for (unsigned i = 0; i < 6; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, asked[i]);

		cr_assert_eq(b->cap, given[i]);
		tierpool_put(b);
	}
	cr_assert_eq(at_rest(pool).idle, 3);
	cr_assert_eq(stats_of(pool).default_size, 2048);
	tierpool_put(tierpool_get_sized(pool, 32769));
	cr_assert_eq(at_rest(pool).drops_oversize, 1);
	tierpool_destroy(pool);
}

Test(pool, a_size_that_cannot_be_had_is_ENOMEM)
{
	tierpool *pool = pool_new(.name = "huge");

	for (unsigned shift = 0; shift < 4; shift++) {
		errno = 0;
		cr_assert_null(tierpool_get_sized(pool, SIZE_MAX >> shift));
		cr_assert_eq(errno, ENOMEM);
	}
	cr_assert_eq(at_rest(pool).gets, 0);
	tierpool_destroy(pool);
}

/* ---- put ---- */

Test(pool, put_files_under_the_block_not_the_length)
{
	tierpool_buf *b;
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	b = tierpool_get_sized(pool, 20 * KIB);
	b->len = 100;
	tierpool_put(b);
	cr_assert_eq(accounted(pool, &counting, 0).idle_bytes, 32 * KIB + HEADER);
	b = tierpool_get_sized(pool, 100);
	cr_assert_eq(b->cap, 128);
	cr_assert_eq(stats_of(pool).hits, 0);
	tierpool_put(b);
	b = tierpool_get_sized(pool, 30 * KIB);
	cr_assert_geq(b->cap, 30 * KIB);
	cr_assert_eq(stats_of(pool).hits, 1);
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(pool, oversize_is_served_and_never_kept)
{
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = 64 * KIB);
	for (unsigned i = 1; i <= 20; i++) {
		size_t size = 64 * KIB + i * i * 1000 - 999;
		tierpool_buf *b = tierpool_get_sized(pool, size);

		cr_assert_geq(b->cap, size);
		cr_assert_eq((uintptr_t)b->data % 64, 0);
		memset(b->data, 'a', b->cap);
		cr_assert_eq(tierpool_buf_append(b, "abc", 3), 0);
		cr_assert_eq(accounted(pool, &counting, b->cap).idle, 0);
		tierpool_put(b);
		cr_assert_eq(accounted(pool, &counting, 0).drops_oversize, i);
	}
	cr_assert_eq(stats_of(pool).hits, 0);
	pool_end(pool, &counting);
}

Test(pool, a_buffer_that_grew_beyond_the_maximum_is_not_kept)
{
	tierpool_buf *b;
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = 4 * KIB);
	b = tierpool_get(pool);
	cr_assert_eq(tierpool_buf_append(b, "head", 4), 0);
	cr_assert_eq(tierpool_buf_reserve(b, 10000), 0);
	cr_assert_eq(tierpool_buf_reserve(b, 30000), 0);
	cr_assert_eq(memcmp(b->data, "head", 4), 0);
	cr_assert_eq(stats_of(pool).drops_oversize, 1, "the block that it grew out of");
	tierpool_put(b);
	cr_assert_eq(accounted(pool, &counting, 0).drops_oversize, 2);
	cr_assert_eq(stats_of(pool).idle_bytes, KIB + HEADER);
	pool_end(pool, &counting);
}

/* ---- growth ---- */

Test(pool, growth_exchanges_blocks_with_an_idle_buffer)
{
	struct tierpool_stats before, after;
	tierpool_buf *b;
	tierpool *pool;
	char *block;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	b = tierpool_get_sized(pool, 4 * KIB);
	block = b->data;
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

Test(pool, growth_allocates_where_nothing_is_idle_and_keeps_the_old_block)
{
	struct tierpool_stats s;
	tierpool_buf *b;
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	b = tierpool_get_sized(pool, KIB);
	cr_assert_eq(tierpool_buf_reserve(b, KIB + 1), 0);
	s = accounted(pool, &counting, b->cap);
	cr_assert_eq(s.grows, 1);
	cr_assert_eq(s.grows_pooled, 0);
	cr_assert_eq(s.allocs, 2);
	cr_assert_eq(s.idle_bytes, KIB + HEADER);
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(pool, growth_at_least_doubles_and_keeps_content_and_handle)
{
	static const size_t odd[] = {100, 150, 1000, 1001, 5000};

	for (unsigned list = 0; list < 2; list++) {
		tierpool_buf *b, *handle;
		unsigned growths = 0;
		tierpool *pool;

		counting_backing_init(&counting);
		pool = list ? pool_on(&counting, .tiers = odd, .tier_count = 5)
			    : pool_on(&counting, .max_size = 256 * KIB);
		handle = b = tierpool_get_sized(pool, 1);
		for (unsigned i = 0; i < 600000; i++) {
			size_t cap = b->cap;

			cr_assert_eq(tierpool_buf_append_byte(b, (char)(i * 7 + i / 251)), 0);
			if (b->cap != cap) {
				cr_assert_geq(b->cap, 2 * cap);
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

Test(pool, growth_copies_bytes_that_lie_in_the_same_buffer)
{
	tierpool *pool = pool_new(.max_size = 16 * KIB);

	for (unsigned pooled = 0; pooled < 2; pooled++) {
		tierpool_buf *b = tierpool_get_sized(pool, 64);

		cr_assert_eq(tierpool_buf_append(b, "0123456789", 10), 0);
		while (b->len < 100000)
			cr_assert_eq(tierpool_buf_append(b, b->data, b->len), 0);
		for (size_t i = 0; i < b->len; i++)
			if (b->data[i] != (char)('0' + i % 10))
				cr_assert_fail("byte %zu is not what was appended", i);
		tierpool_put(b);
	}
	cr_assert_gt(stats_of(pool).grows_pooled, 0);
	at_rest(pool);
	tierpool_destroy(pool);
}

/* ---- mixes of sizes ---- */

static char text[100 * 1000];

/* Borrows, each with 200 bytes or, as many in a hundred as percent says, 100 KB piece by piece. */
static void borrow_mixed(tierpool *pool, unsigned n, unsigned percent, size_t piece)
{
	static uint64_t random = 88172645463325252;

	while (n--) {
		size_t end = next_random(&random) % 100 < percent ? sizeof text : 200;
		tierpool_buf *b = tierpool_get(pool);

		if (tierpool_buf_append(b, text, 200))
			cr_assert_fail("append");
		while (b->len < end)
			if (tierpool_buf_append(
				    b, text, piece < end - b->len ? piece : end - b->len))
				cr_assert_fail("append");
		tierpool_put(b);
	}
}

static void mix_settles(unsigned percent, size_t piece)
{
	struct tierpool_stats half, whole;
	size_t blocks, allocs;
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	borrow_mixed(pool, 200000, percent, piece);
	blocks = counting_backing_blocks(&counting);
	allocs = counting_backing_allocs(&counting);
	borrow_mixed(pool, 200000, percent, piece);
	cr_assert_eq(counting_backing_blocks(&counting), blocks);
	cr_assert_eq(counting_backing_allocs(&counting), allocs);
	cr_assert_eq(accounted(pool, &counting, 0).gets, 400000);
	pool_end(pool, &counting);

	pool = pool_new(.name = "default backing");
	borrow_mixed(pool, 200000, percent, piece);
	half = at_rest(pool);
	borrow_mixed(pool, 200000, percent, piece);
	whole = at_rest(pool);
	cr_assert_eq(whole.allocs, half.allocs);
	cr_assert_eq(whole.frees, half.frees);
	cr_assert_gt(whole.grows, half.grows);
	cr_assert_eq(whole.grows - whole.grows_pooled, half.grows - half.grows_pooled);
	tierpool_destroy(pool);
}

Test(pool, a_mix_with_1_percent_large_settles_without_the_backing)
{
	mix_settles(1, 1000);
}

Test(pool, a_mix_with_6_percent_large_settles_without_the_backing)
{
	mix_settles(6, 10000);
}

Test(pool, a_mix_with_20_percent_large_settles_without_the_backing)
{
	mix_settles(20, sizeof text);
}
