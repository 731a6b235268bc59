/* SPDX-License-Identifier: MIT */
/*
 * Content that is taken off the front: nothing moves at once, no byte moves more than once for each that
 * was consumed, and the room comes back. test_buffer_model.c has it in random company.
 */
#include "pool_checks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "limited_backing.h"

static char pattern(size_t i)
{
	return (char)(i * 7 + i / 251);
}

static void append_pattern(tierpool_buf *b, size_t from, size_t n)
{
	cr_assert_eq(tierpool_buf_reserve(b, n), 0);
	for (size_t i = 0; i < n; i++)
		b->data[b->len++] = pattern(from + i);
}

static void expect_pattern(const tierpool_buf *b, size_t from, size_t n)
{
	size_t i = 0;

	cr_assert_eq(b->len, n);
	while (i < n && b->data[i] == pattern(from + i))
		i++;
	cr_assert_eq(i, n, "byte %zu of %zu", i, n);
}

Test(consume, moves_nothing_and_shrinks_the_capacity)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, MIB);
	char *data = b->data;

	append_pattern(b, 0, 700000);
	cr_assert_eq(tierpool_buf_consume(b, 0), 0);
	cr_assert_eq(b->data, data);
	for (size_t i = 1; i <= 1000; i++) {
		cr_assert_eq(tierpool_buf_consume(b, 7), 0);
		cr_assert_eq(b->data, data + 7 * i);
		cr_assert_eq(b->cap, MIB - 7 * i);
	}
	expect_pattern(b, 7000, 693000);
	append_pattern(b, 700000, MIB - 700000);
	cr_assert_eq(b->data, data + 7000, "there was room behind the content");
	expect_pattern(b, 7000, MIB - 7000);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, of_all_begins_at_the_block_again)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, 4 * KIB);
	char *data = b->data;

	append_pattern(b, 0, 1000);
	cr_assert_eq(tierpool_buf_consume(b, 999), 0);
	cr_assert_eq(tierpool_buf_consume(b, 1), 0);
	cr_assert(b->data == data && b->cap == 4 * KIB && !b->len);
	append_pattern(b, 0, 10);
	cr_assert_eq(tierpool_buf_consume(b, 3), 0);
	tierpool_buf_reset(b);
	cr_assert(b->data == data && b->cap == 4 * KIB && !b->len);
	append_pattern(b, 0, 10);
	cr_assert_eq(tierpool_buf_consume(b, 3), 0);
	tierpool_put(b);
	b = tierpool_get_sized(pool, 4 * KIB);
	cr_assert(b->data == data && b->cap == 4 * KIB, "a put restores both");
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, of_more_than_there_is_changes_nothing_and_sticks)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, KIB);

	append_pattern(b, 0, 10);
	cr_assert_eq(tierpool_buf_consume(b, 11), -EINVAL);
	cr_assert_eq(tierpool_buf_consume(b, 1), -EINVAL);
	cr_assert_eq(tierpool_buf_append(b, "x", 1), -EINVAL);
	expect_pattern(b, 0, 10);
	tierpool_buf_clear_error(b);
	cr_assert_eq(tierpool_buf_consume(b, 10), 0);
	cr_assert_eq(tierpool_buf_consume(NULL, 0), -ENOMEM);
	tierpool_buf_clear_error(NULL);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/*
 * A queue of so many bytes, into which pieces go at one end and out at the other. However long that
 * takes, its buffer stays as large as is said, and bytes move seldom.
 */
static void check_queue(size_t content, size_t piece, size_t cap_most)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, 64);
	size_t in = 0, out = 0, moved = 0, rounds = 10 * (content + piece) / piece + 1000;

	append_pattern(b, 0, content);
	in = content;
	while (rounds--) {
		const char *before = b->data;

		append_pattern(b, in, piece);
		moved += b->data != before ? content : 0;
		in += piece;
		cr_assert_eq(tierpool_buf_consume(b, piece), 0);
		out += piece;
		cr_assert_eq(b->len, content);
	}
	expect_pattern(b, out, content);
	tierpool_buf_reset(b);
	cr_assert_leq(b->cap, cap_most, "%zu for %zu and %zu", b->cap, content, piece);
	/* And when it grows. */
	cr_assert_leq(moved, in + cap_most, "%zu of %zu", moved, in);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, a_queue_stays_small_and_moves_each_byte_once)
{
	check_queue(100, 7, 256);
	check_queue(64, 64, 256);
	check_queue(60000, 1, 128 * KIB);
	check_queue(65536, 4096, 256 * KIB);
	check_queue(10, 60000, 128 * KIB);
	check_queue(700000, 777, 2 * MIB);
}

static struct limited_backing limited;

Test(consume, what_was_consumed_is_used_where_there_is_no_memory_to_grow)
{
	struct tierpool_backing calls = limited_backing_calls(&limited);
	tierpool *pool;
	tierpool_buf *b;

	limited.limit = MIB;
	pool = pool_new(.backing = &calls);
	b = tierpool_get_sized(pool, 4 * KIB);
	limited.limit = KIB;
	append_pattern(b, 0, 4 * KIB);
	cr_assert_eq(tierpool_buf_consume(b, 100), 0);
	append_pattern(b, 4 * KIB, 100);
	expect_pattern(b, 100, 4 * KIB);
	cr_assert_eq(tierpool_buf_consume(b, 100), 0);
	cr_assert_eq(tierpool_buf_append(b, b->data, 101), -ENOMEM);
	expect_pattern(b, 200, 4 * KIB - 100);
	tierpool_buf_clear_error(b);
	/* What is appended is moved along. */
	cr_assert_eq(tierpool_buf_append(b, b->data + 50, 100), 0);
	for (size_t i = 0; i < 100; i++)
		cr_assert_eq(b->data[4 * KIB - 100 + i], pattern(250 + i), "%zu", i);
	b->len -= 100;
	expect_pattern(b, 200, 4 * KIB - 100);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, its_own_content_may_be_appended_where_the_block_is_full)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, KIB);

	append_pattern(b, 0, KIB);
	cr_assert_eq(tierpool_buf_consume(b, 1000), 0);
	cr_assert_eq(tierpool_buf_append(b, b->data, 24), 0);
	cr_assert_eq(b->len, 48);
	for (size_t i = 0; i < 48; i++)
		cr_assert_eq(b->data[i], pattern(1000 + i % 24));
	cr_assert_eq(tierpool_buf_consume(b, 20), 0);
	cr_assert_eq(tierpool_buf_set(b, b->data + 4, 24), 0);
	expect_pattern(b, 1000, 24);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, a_buffer_above_all_tiers_grows_and_goes_back_whole)
{
	static struct counting_backing counting;
	tierpool *pools[] = {pool_new(.max_size = KIB, .min_size = KIB), NULL};

	counting_backing_init(&counting);
	pools[1] = pool_on(&counting, .max_size = KIB, .min_size = KIB);
	for (unsigned i = 0; i < 2; i++) {
		tierpool_buf *b = tierpool_get_sized(pools[i], 300 * KIB);

		append_pattern(b, 0, 300 * KIB);
		cr_assert_eq(tierpool_buf_consume(b, 1001), 0);
		append_pattern(b, 300 * KIB, 2000 * KIB);
		expect_pattern(b, 1001, 2300 * KIB - 1001);
		cr_assert_eq((uintptr_t)b->data % 64, 0);
		cr_assert_eq(tierpool_buf_consume(b, 1001), 0);
		tierpool_put(b);
		at_rest(pools[i]);
	}
	cr_assert_eq(tierpool_destroy(pools[0]), 0);
	pool_end(pools[1], &counting);
}

Test(consume, a_full_buffer_reads_into_the_room_that_was_consumed)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, 4 * KIB);
	int fd[2];

	cr_assert_eq(pipe2(fd, O_NONBLOCK), 0);
	append_pattern(b, 0, 4 * KIB);
	cr_assert_eq(tierpool_buf_consume(b, 4000), 0);
	cr_assert_eq(write(fd[1], b->data, 96), 96);
	cr_assert_eq(tierpool_buf_read_fd(b, fd[0], SIZE_MAX), 96);
	cr_assert_eq(b->cap, 4 * KIB, "it did not grow");
	cr_assert_eq(b->len, 192);
	cr_assert_eq(memcmp(b->data, b->data + 96, 96), 0);
	cr_assert_eq(tierpool_buf_consume(b, 96), 0);
	expect_pattern(b, 4000, 96);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, the_wipe_of_a_secret_covers_the_front)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, KIB), *other;
	char *data = b->data;

	tierpool_buf_secret(b);
	append_pattern(b, 1, 1000);
	cr_assert_eq(tierpool_buf_consume(b, 900), 0);
	tierpool_put(b);
	b = tierpool_get_sized(pool, KIB);
	cr_assert_eq(b->data, data);
	for (size_t i = 0; i < KIB; i++)
		cr_assert_eq(data[i], 0, "put, byte %zu", i);
	tierpool_buf_secret(b);
	append_pattern(b, 1, 1000);
	cr_assert_eq(tierpool_buf_consume(b, 100), 0);
	cr_assert_eq(tierpool_buf_reserve(b, 8 * KIB), 0);
	other = tierpool_get_sized(pool, KIB);
	cr_assert_eq(other->data, data);
	for (size_t i = 0; i < KIB; i++)
		cr_assert_eq(data[i], 0, "growth, byte %zu", i);
	tierpool_put(other);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, a_buffer_as_large_as_the_largest_tier_is_moved_no_more_often)
{
	tierpool *pool = pool_new(.max_size = 64 * KIB);
	tierpool_buf *b = tierpool_get_sized(pool, 64 * KIB);
	size_t in = 64 * KIB - 64, out = 0, moved = 0;

	append_pattern(b, 0, in);
	for (unsigned i = 0; i < 2000; i++) {
		const char *before;

		cr_assert_eq(tierpool_buf_consume(b, 64), 0);
		before = b->data;
		append_pattern(b, in, 64);
		moved += b->data != before ? b->len : 0;
		in += 64;
		out += 64;
	}
	expect_pattern(b, out, in - out);
	cr_assert_leq(moved, out + 3 * 64 * KIB);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* It is no longer content, but its bytes are there until something is written over them. */
Test(consume, what_was_consumed_is_appended_as_it_was)
{
	tierpool *pool = pool_new();
	tierpool_buf *b = tierpool_get_sized(pool, 128);
	const char *token = b->data;

	append_pattern(b, 0, 128);
	cr_assert_eq(tierpool_buf_consume(b, 70), 0);
	cr_assert_eq(tierpool_buf_append(b, token, 10), 0);
	cr_assert_eq(b->len, 68);
	for (size_t i = 0; i < 10; i++)
		cr_assert_eq(b->data[58 + i], pattern(i), "%zu", i);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(consume, a_place_that_consumes_while_it_fills_learns_its_size)
{
	tierpool *pool = pool_new();
	uint64_t grows = 0;

	for (unsigned i = 0; i < 20000; i++) {
		tierpool_buf *b = tierpool_get(pool);

		append_pattern(b, 0, 900);
		cr_assert_eq(tierpool_buf_consume(b, 100), 0);
		append_pattern(b, 900, 200);
		tierpool_put(b);
		if (i == 10000)
			grows = stats_of(pool).grows;
	}
	cr_assert_eq(stats_of(pool).grows, grows);
	cr_assert_eq(tierpool_destroy(pool), 0);
}
