/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_DEBUG=check: what is done to a buffer that was put long ago is found, though others have
 * borrowed it in between.
 */
#include <errno.h>
#include <stdlib.h>

#include "mappings.h"
#include "noted_misuse.h"
#include "pool/pool.h"
#include "pool_checks.h"

#define NAME "the checked pool"

/* So many gets and frees go by before a header is lent again (bufhead.c). */
#define WAITING 16384

static struct counting_backing counting;
static tierpool *pool;

static void check_start(void)
{
	noted_begin("check");
	counting_backing_init(&counting);
	pool = pool_on(&counting, .name = NAME);
	stay_on_this_cpu();
}

TestSuite(debug_check, .init = check_start);

static tierpool_buf *get(size_t n)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, n);

	cr_assert_not_null(b);
	cr_assert_eq(b->len, 0);
	return b;
}

/* Any call on a buffer that was put is reported, and leaves the one alone that has its block now. */
static void expect_found(tierpool_buf *old, tierpool_buf *now)
{
	tierpool_put(old);
	expect_noted(old, NAME, "put twice");
	cr_assert_eq(tierpool_buf_append_str(old, "late"), -EINVAL);
	expect_noted(old, NAME, "used after it was put");
	cr_assert_eq(tierpool_buf_append_byte(old, 'l'), -EINVAL);
	expect_noted(old, NAME, "used after it was put");
	cr_assert_eq(tierpool_buf_reserve(old, 1), -EINVAL);
	expect_noted(old, NAME, "used after it was put");
	tierpool_buf_reset(old);
	expect_noted(old, NAME, "used after it was put");
	cr_assert_eq(tierpool_buf_error(now), 0);
	cr_assert_eq(now->len, 4);
	cr_assert_eq(memcmp(now->data, "mine", 4), 0);
}

Test(debug_check, a_buffer_that_others_have_borrowed_since_is_not_put_or_used_by_the_first_borrower)
{
	tierpool_buf *old = get(1000), *now;
	char *block = old->data;

	tierpool_put(old);
	now = get(1000);
	cr_assert_eq(now->data, block, "not the block that was put");
	cr_assert_eq(tierpool_buf_append_str(now, "mine"), 0);
	expect_found(old, now);
	tierpool_put(now);
	now = get(1000);
	cr_assert_eq(tierpool_buf_append_str(now, "mine"), 0);
	expect_found(old, now);
	tierpool_put(now);
	expect_none_noted();
	pool_end(pool, &counting);
}

/* Neither do blocks that are freed and allocated. */
Test(debug_check, nor_if_the_buffer_was_freed)
{
	tierpool_buf *old[3], *now;

	tierpool_put(old[0] = get(17 * MIB));
	tierpool_put(old[1] = get(1000));
	tierpool_trim(pool, 0);
	tierpool_retain_set(pool, TIERPOOL_RETAIN_NONE);
	tierpool_put(old[2] = get(1000));
	for (unsigned i = 0; i < 100; i++) {
		now = get(i % 2 ? 17 * MIB : 1000);
		cr_assert_eq(tierpool_buf_append_str(now, "mine"), 0);
		expect_found(old[i % 3], now);
		tierpool_put(now);
	}
	pool_end(pool, &counting);
}

Test(debug_check, a_buffer_that_exchanges_its_block_by_growth_stays_the_borrower_s)
{
	tierpool_buf *small, *large, *b;

	pool_end(pool, &counting);
	pool = pool_new(.name = NAME); /* from an address to its buffer: by the block, in runs */
	small = get(1000);
	large = get(4000);
	tierpool_put(large);
	tierpool_put(small);
	b = get(1000);
	cr_assert_eq(tierpool_buf_append_str(b, "mine"), 0);
	cr_assert_eq(tierpool_buf_reserve(b, 3000), 0);
	cr_assert_eq(at_rest(pool).grows_pooled, 1);
	expect_found(small, b);
	expect_found(large, b);
	cr_assert_eq(tp_pool_find(b->data), b);
	tierpool_put(b);
	b = get(1000);
	cr_assert_eq(tp_pool_find(b->data), b);
	tierpool_put(b);
	expect_none_noted();
	tierpool_destroy(pool);
}

static int compare(const void *one, const void *other)
{
	uintptr_t a = (uintptr_t) * (tierpool_buf *const *)one;
	uintptr_t b = (uintptr_t) * (tierpool_buf *const *)other;

	return (a > b) - (a < b);
}

Test(debug_check, a_header_is_lent_again_after_so_many_others_and_their_memory_is_bounded)
{
	static tierpool_buf *seen[WAITING + 1];
	size_t bytes;

	for (unsigned i = 0; i < 4 * WAITING; i++)
		tierpool_put(get(100));
	for (unsigned i = 0; i < WAITING + 1; i++)
		tierpool_put(seen[i] = get(100));
	qsort(seen, WAITING + 1, sizeof(tierpool_buf *), compare);
	for (unsigned i = 1; i < WAITING + 1; i++)
		cr_assert_neq(seen[i], seen[i - 1]);
	bytes = stats_of(pool).overhead_bytes;
	cr_assert_leq(bytes, WAITING * HEADER + 256 * KIB);
	for (unsigned i = 0; i < 4 * WAITING; i++)
		tierpool_put(get(100));
	cr_assert_leq(stats_of(pool).overhead_bytes, bytes + 8 * KIB);
	expect_none_noted();
	pool_end(pool, &counting);
}

Test(debug_check, all_else_of_a_pool_is_as_it_was)
{
	struct tierpool_stats s;
	tierpool_buf *b[40];

	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 40; i++) {
			b[i] = get((size_t)64 << i % 8);
			cr_assert_eq(tierpool_buf_append_str(b[i], "0123456789"), 0);
			if (i % 5 == 0)
				cr_assert_eq(tierpool_buf_reserve(b[i], b[i]->cap), 0);
			cr_assert_eq(memcmp(b[i]->data, "0123456789", 10), 0);
			cr_assert_eq(tp_pool_find(b[i]->data), b[i]);
		}
		if (round % 50 == 49)
			tierpool_tick(pool);
		for (unsigned i = 0; i < 40; i++)
			tierpool_put(b[i]);
	}
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.gets, 200 * 40);
	cr_assert_gt(s.hits, 190 * 40);
	expect_none_noted();
	pool_end(pool, &counting);
}

Test(debug_check, without_memory_for_headers_those_that_wait_are_lent_and_then_none_moves)
{
	static tierpool_buf *b[2 * WAITING];
	unsigned n = 0;

	for (unsigned i = 0; i < WAITING; i++)
		tierpool_put(get(100));
	map_fails = (struct failing){1, true};
	while (n < 2 * WAITING && (b[n] = (tierpool_get_sized)(pool, 100)))
		n++;
	cr_assert_eq(errno, ENOMEM);
	cr_assert(n > WAITING && n < 2 * WAITING, "%u of %u", n, WAITING);
	tierpool_put(b[--n]);
	b[n] = get(100);
	cr_assert_eq(tierpool_buf_append_str(b[n], "content"), 0);
	map_fails = (struct failing){0, false};
	do
		tierpool_put(b[n]);
	while (n--);
	expect_none_noted();
	pool_end(pool, &counting);
}
