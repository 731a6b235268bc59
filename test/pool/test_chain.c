/* SPDX-License-Identifier: MIT */
/*
 * Chains: append, the pieces, errors, memory that runs out. What random calls do to the content:
 * test_chain_model.c; descriptors: test_chain_io.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool/chain.h>
#include <tierpool/profile.h>

#include "chain_checks.h"

#define MARK ENOTTY

/* Entries of the pieces of a chain, at most; more than IOV_MAX. */
#define MANY 4096

static struct iovec iov[MANY + 1];

/* ---- append ---- */

Test(chain, it_borrows_nothing_until_the_first_append_and_fills_each_block_before_the_next)
{
	tierpool *pool = pool_new(.name = "chain");
	tierpool_chain c;

	tierpool_chain_init(&c, pool, KIB);
	cr_assert_eq(tierpool_chain_append(&c, NULL, 0), 0);
	cr_assert_eq(tierpool_chain_append(&c, chain_text, 0), 0);
	cr_assert_eq(stats_of(pool).gets, 0);
	for (size_t len = 0, blocks = 0; len < 3 * KIB + 7; len++) {
		cr_assert_eq(tierpool_chain_append(&c, chain_text + len, 1), 0);
		blocks += len % KIB == 0;
		cr_assert_eq(stats_of(pool).borrowed, blocks);
		cr_assert_eq(tierpool_chain_iovec(&c, 0, iov, MANY), blocks);
		cr_assert_eq(iov[blocks - 1].iov_len, len % KIB + 1);
	}
	expect_chain(&c, chain_text, 3 * KIB + 7);
	tierpool_chain_reset(&c);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(chain, a_piece_may_have_any_length)
{
	tierpool *pool = pool_new(.name = "chain");
	tierpool_chain c;

	tierpool_chain_init(&c, pool, 256);
	for (size_t n = 0; n < 2000; n += 1 + n / 7) {
		for (size_t before = 0; before <= 256; before += 32) {
			cr_assert_eq(tierpool_chain_append(&c, chain_text, before), 0);
			cr_assert_eq(tierpool_chain_append(&c, chain_text + before, n), 0);
			expect_chain(&c, chain_text, before + n);
			cr_assert_eq(stats_of(pool).borrowed - (before + n > 4 * 256),
				(before + n + 255) / 256);
			tierpool_chain_reset(&c);
		}
	}
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(chain, block_0_is_64_KiB_and_any_other_one_serves)
{
	static const struct {
		size_t block, cap;
	} cases[] = {{0, 64 * KIB}, {1, 64}, {64, 64}, {65, 128}, {200 * KIB, 256 * KIB}};
	tierpool *pool = pool_new(.name = "chain");
	tierpool_chain c;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		tierpool_chain_init(&c, pool, cases[i].block);
		cr_assert_eq(tierpool_chain_append(&c, chain_text, MIB), 0);
		cr_assert_eq(tierpool_chain_iovec(&c, 0, iov, 2), MIB / cases[i].cap);
		cr_assert_eq(iov[0].iov_len, cases[i].cap);
		cr_assert_eq(iov[1].iov_len, cases[i].cap);
		tierpool_chain_reset(&c);
	}
	tierpool_chain_init(&c, pool, SIZE_MAX);
	cr_assert_eq(tierpool_chain_append(&c, "x", 1), -ENOMEM);
	tierpool_chain_reset(&c);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(chain, all_of_a_larger_block_that_the_pool_lends_is_used)
{
	tierpool *pool = pool_new(.name = "chain", .max_idle = 3);
	tierpool_chain c;

	/* An old one in the depot, a tier larger. */
	cycle(pool, 2 * KIB, 1);
	tierpool_tick(pool);
	tierpool_chain_init(&c, pool, KIB);
	cr_assert_eq(tierpool_chain_append(&c, chain_text, 2500), 0);
	cr_assert_eq(tierpool_chain_append(&c, chain_text + 2500, 1500), 0);
	cr_assert_eq(stats_of(pool).hits_larger, 1);
	cr_assert_eq(tierpool_chain_iovec(&c, 0, iov, 3), 3);
	cr_assert(iov[0].iov_len == 2 * KIB && iov[1].iov_len == KIB);
	expect_chain(&c, chain_text, 4000);
	tierpool_chain_reset(&c);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(chain, what_was_appended_does_not_move_and_may_be_appended_again)
{
	tierpool *pool = pool_new(.name = "chain");
	tierpool_chain c;
	const char *begin;

	tierpool_chain_init(&c, pool, KIB);
	tierpool_chain_append(&c, chain_text, 300);
	tierpool_chain_iovec(&c, 0, iov, 1);
	begin = iov[0].iov_base;
	for (size_t i = 1; i < 100; i++)
		cr_assert_eq(tierpool_chain_append(&c, begin, 300), 0);
	cr_assert_eq(tierpool_chain_len(&c), 30000);
	for (size_t i = 0; i < 100; i++)
		expect_part(&c, 300 * i, chain_text, 300);
	tierpool_chain_iovec(&c, 0, iov, 1);
	cr_assert_eq(iov[0].iov_base, begin);
	tierpool_chain_reset(&c);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* ---- the pieces ---- */

Test(chain, pieces_begin_at_every_offset_and_none_is_empty)
{
	static const size_t lengths[] = {1, 63, 64, 65, 256, 257, 700};
	tierpool *pool = pool_new(.name = "chain");
	tierpool_chain c;

	tierpool_chain_init(&c, pool, 64);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		size_t len = lengths[i];

		tierpool_chain_append(&c, chain_text, len);
		for (size_t offset = 0; offset < len; offset++) {
			size_t needed = (len + 63) / 64 - offset / 64;

			cr_assert_eq(tierpool_chain_iovec(&c, offset, NULL, 0), needed);
			cr_assert_eq(tierpool_chain_iovec(&c, offset, NULL, 5), needed);
			expect_part(&c, offset, chain_text + offset, len - offset);
		}
		cr_assert_eq(tierpool_chain_iovec(&c, len, iov, MANY), 0);
		cr_assert_eq(tierpool_chain_iovec(&c, len + 1, iov, MANY), 0);
		cr_assert_eq(tierpool_chain_iovec(&c, SIZE_MAX, iov, MANY), 0);
		tierpool_chain_reset(&c);
	}
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(chain, no_more_entries_are_filled_than_there_is_room_for)
{
	tierpool *pool = pool_new(.name = "chain");
	tierpool_chain c;

	tierpool_chain_init(&c, pool, 64);
	tierpool_chain_append(&c, chain_text, 64 * 20);
	for (size_t n = 0; n <= 22; n++) {
		memset(iov, 0xa5, sizeof iov);
		cr_assert_eq(tierpool_chain_iovec(&c, 10, iov, n), 20);
		for (size_t i = 0; i < 23; i++)
			cr_assert_eq(
				iov[i].iov_len == (size_t)0xa5a5a5a5a5a5a5a5, i >= n || i >= 20);
	}
	tierpool_chain_reset(&c);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(chain, flatten_appends_the_content_to_a_buffer_and_keeps_it)
{
	tierpool *pool = pool_new(.name = "chain");
	tierpool_buf *b = (tierpool_get_sized)(pool, 100);
	tierpool_chain c;

	tierpool_chain_init(&c, pool, KIB);
	cr_assert_eq(tierpool_chain_flatten(&c, b), 0);
	cr_assert_eq(b->len, 0);
	tierpool_chain_append(&c, chain_text + 3, 10000);
	tierpool_buf_append(b, chain_text, 3);
	cr_assert_eq(tierpool_chain_flatten(&c, b), 0);
	cr_assert_eq(b->len, 10003);
	cr_assert_eq(memcmp(b->data, chain_text, 10003), 0);
	cr_assert_eq(stats_of(pool).grows, 1);
	/* And where it is full to the last byte, or a secret. */
	tierpool_buf_reset(b);
	b->len = b->cap - 10000;
	tierpool_buf_secret(b);
	cr_assert_eq(tierpool_chain_flatten(&c, b), 0);
	cr_assert_eq(b->len, b->cap);
	cr_assert_eq(memcmp(b->data + b->len - 10000, chain_text + 3, 10000), 0);
	cr_assert_eq(stats_of(pool).grows, 1);
	expect_chain(&c, chain_text + 3, 10000);
	tierpool_chain_reset(&c);
	tierpool_put(b);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* ---- errors ---- */

static void expect_stuck(tierpool_chain *c, const char *content, size_t len, int error)
{
	/* Volatile, because the compiler knows that this is wrong. */
	static const volatile size_t too_large = SIZE_MAX;
	tierpool_buf *b = (tierpool_get)(tierpool_default());
	size_t offset = 0;

	cr_assert_eq(tierpool_chain_error(c), error);
	cr_assert_eq(tierpool_chain_append(c, "x", 1), error);
	cr_assert_eq(tierpool_chain_append(c, "x", 0), error);
	cr_assert_eq(tierpool_chain_append(c, NULL, 1), error, "the first error, not the last");
	cr_assert_eq(tierpool_chain_append(c, chain_text, too_large), error);
	cr_assert_eq(tierpool_chain_write_fd(c, -1, &offset), error, "a piece is missing");
	cr_assert_eq(tierpool_chain_write_fd(c, -1, NULL), error);
	cr_assert_eq(tierpool_chain_flatten(c, b), error);
	cr_assert(b->len == 0 && tierpool_buf_error(b) == 0);
	expect_chain(c, content, len);
	tierpool_chain_reset(c);
	cr_assert_eq(tierpool_chain_error(c), 0);
	cr_assert_eq(tierpool_chain_len(c), 0);
	cr_assert_eq(tierpool_chain_append(c, content, len), 0);
	expect_chain(c, content, len);
	tierpool_put(b);
}

Test(chain, an_error_sticks_until_reset_and_leaves_the_content_whole)
{
	/* The last block full, not full, and none yet. */
	static const size_t lengths[] = {3000, 2 * KIB, 0, 20 * KIB};
	tierpool *pool = pool_new(.name = "chain");
	tierpool_chain c;

	tierpool_chain_init(&c, pool, KIB);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		static const volatile size_t too_large[] = {
			SIZE_MAX, SIZE_MAX - 3000, (size_t)PTRDIFF_MAX + 1};

		tierpool_chain_append(&c, chain_text, lengths[i]);
		cr_assert_eq(tierpool_chain_append(&c, NULL, 1), -EINVAL);
		expect_stuck(&c, chain_text, lengths[i], -EINVAL);
		for (size_t k = 0; k < 3; k++) {
			cr_assert_eq(tierpool_chain_append(&c, chain_text, too_large[k]), -ENOMEM);
			expect_stuck(&c, chain_text, lengths[i], -ENOMEM);
		}
		tierpool_chain_reset(&c);
	}
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(chain, every_call_takes_a_null)
{
	size_t offset = 0;

	tierpool_chain_init(NULL, tierpool_default(), 0);
	cr_assert_eq(tierpool_chain_append(NULL, "x", 1), -ENOMEM);
	cr_assert_eq(tierpool_chain_append(NULL, NULL, 0), -ENOMEM);
	cr_assert_eq(tierpool_chain_len(NULL), 0);
	cr_assert_eq(tierpool_chain_iovec(NULL, 0, iov, 1), 0);
	cr_assert_eq(tierpool_chain_write_fd(NULL, 1, &offset), -ENOMEM);
	cr_assert_eq(tierpool_chain_flatten(NULL, NULL), -ENOMEM);
	cr_assert_eq(tierpool_chain_error(NULL), -ENOMEM);
	tierpool_chain_reset(NULL);
}

Test(chain, without_a_pool_an_append_of_something_is_an_error_and_all_else_finds_nothing)
{
	tierpool_buf *b = (tierpool_get)(tierpool_default());
	tierpool_chain zero, without;
	tierpool_chain *both[] = {&zero, &without};

	memset(&zero, 0, sizeof zero);
	tierpool_chain_init(&without, NULL, 100);
	for (unsigned i = 0; i < 2; i++) {
		tierpool_chain *c = both[i];

		cr_assert_eq(tierpool_chain_error(c), 0);
		cr_assert_eq(tierpool_chain_len(c), 0);
		cr_assert_eq(tierpool_chain_iovec(c, 0, iov, 1), 0);
		cr_assert_eq(tierpool_chain_write_fd(c, -1, NULL), 0);
		cr_assert_eq(tierpool_chain_flatten(c, b), 0);
		cr_assert_eq(tierpool_chain_append(c, "x", 0), 0);
		cr_assert_eq(tierpool_chain_append(c, "x", 1), -EINVAL);
		cr_assert_eq(tierpool_chain_error(c), -EINVAL);
		tierpool_chain_reset(c);
		cr_assert_eq(tierpool_chain_append(c, "x", 1), -EINVAL);
		tierpool_chain_reset(c);
	}
	tierpool_put(b);
}

Test(chain, an_error_of_the_buffer_sticks_there_and_the_chain_is_as_it_was)
{
	struct counting_backing counting;
	tierpool_buf *b;
	tierpool_chain c;
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .name = "chain");
	tierpool_chain_init(&c, pool, KIB);
	tierpool_chain_append(&c, chain_text, 10000);
	b = (tierpool_get_sized)(pool, 2 * KIB);
	tierpool_buf_append(b, chain_text, 100);
	counting_backing_fail(&counting, 1, true);
	cr_assert_eq(tierpool_chain_flatten(&c, b), -ENOMEM);
	counting_backing_fail(&counting, 0, false);
	cr_assert_eq(tierpool_buf_error(b), -ENOMEM);
	cr_assert_eq(tierpool_chain_flatten(&c, b), -ENOMEM, "it sticks");
	cr_assert_eq(b->len, 100);
	cr_assert_eq(tierpool_chain_flatten(&c, NULL), -ENOMEM);
	expect_chain(&c, chain_text, 10000);
	cr_assert_eq(tierpool_chain_error(&c), 0);
	tierpool_chain_reset(&c);
	tierpool_put(b);
	pool_end(pool, &counting);
}

/* ---- memory runs out ---- */

/*
 * Appends a second piece of many blocks while the nth allocation fails. Returns: whether it went well
 * all the same.
 */
static bool append_with_failure(
	tierpool *pool, struct counting_backing *counting, size_t before, size_t nth, bool for_ever)
{
	tierpool_chain c;
	size_t borrowed;
	int error;

	tierpool_chain_init(&c, pool, 4 * KIB);
	cr_assert_eq(tierpool_chain_append(&c, chain_text, before), 0);
	borrowed = stats_of(pool).borrowed;
	counting_backing_fail(counting, nth, for_ever);
	error = tierpool_chain_append(&c, chain_text + before, 300 * KIB);
	counting_backing_fail(counting, 0, false);
	if (error) {
		cr_assert_eq(error, -ENOMEM);
		cr_assert_eq(stats_of(pool).borrowed, borrowed, "blocks were left to it");
		expect_stuck(&c, chain_text, before, -ENOMEM);
	} else {
		expect_chain(&c, chain_text, before + 300 * KIB);
	}
	tierpool_chain_reset(&c);
	accounted(pool, counting, 0);
	return !error;
}

Test(chain, an_append_for_which_memory_runs_out_leaves_the_chain_as_it_was)
{
	/* No block; one, half full; as many as have a place in the struct; one more; the list is full. */
	static const size_t lengths[] = {0, 2 * KIB, 16 * KIB, 17 * KIB, 272 * KIB};

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (int for_ever = 0; for_ever <= 1; for_ever++) {
			unsigned failed = 0;

			for (size_t nth = 1;; nth++) {
				struct counting_backing counting;
				tierpool *pool;
				bool good;

				counting_backing_init(&counting);
				/* Nothing is idle, which would take the place of what cannot be had. */
				pool = pool_on(&counting, .name = "chain",
					.retain = TIERPOOL_RETAIN_NONE, .max_size = 16 * KIB);
				good = append_with_failure(
					pool, &counting, lengths[i], nth, for_ever);
				pool_end(pool, &counting);
				failed += !good;
				if (good && nth > 80)
					break;
			}
			cr_assert_geq(failed, 70, "%u of 75 blocks could not be had", failed);
		}
}

/* ---- put back ---- */

Test(chain, reset_puts_all_back_and_the_next_chain_takes_them_again)
{
	struct counting_backing counting;
	tierpool_chain c;
	tierpool *pool;
	uint64_t allocs;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .name = "chain");
	tierpool_chain_init(&c, pool, 16 * KIB);
	for (unsigned i = 0; i < 20; i++) {
		cr_assert_eq(tierpool_chain_append(&c, chain_text, MIB), 0);
		if (i == 1)
			allocs = stats_of(pool).allocs;
		tierpool_chain_reset(&c);
		tierpool_chain_reset(&c);
		cr_assert_eq(at_rest(pool).borrowed, 0);
		cr_assert_eq(tierpool_chain_len(&c), 0);
	}
	cr_assert_eq(stats_of(pool).allocs, allocs, "blocks of the last chain were not used again");
	pool_end(pool, &counting);
}

Test(chain, it_goes_on_when_its_pool_was_destroyed)
{
	struct counting_backing counting;
	tierpool_chain c;
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .name = "chain");
	tierpool_chain_init(&c, pool, KIB);
	tierpool_chain_append(&c, chain_text, 100 * KIB);
	cr_assert_eq(tierpool_destroy(pool), 101, "100 blocks, and their list");
	expect_chain(&c, chain_text, 100 * KIB);
	tierpool_chain_reset(&c);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(chain, functions_without_an_error_leave_errno_alone)
{
	tierpool *pool = pool_new(.name = "chain", .retain = TIERPOOL_RETAIN_NONE);
	tierpool_chain c;

	errno = MARK;
	tierpool_chain_init(&c, pool, KIB);
	cr_assert_eq(errno, MARK);
	tierpool_chain_append(&c, chain_text, 100 * KIB);
	errno = MARK;
	cr_assert_eq(tierpool_chain_len(&c), 100 * KIB);
	cr_assert_eq(tierpool_chain_iovec(&c, 0, iov, MANY), 100);
	tierpool_chain_reset(&c);
	cr_assert_eq(errno, MARK);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* What write prints. */
static char *printed(tierpool *pool, int (*write)(tierpool *, FILE *))
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	cr_assert_eq(write(pool, out), 0);
	cr_assert_eq(fclose(out), 0);
	return text;
}

static int profile_write(tierpool *pool, FILE *out)
{
	(void)pool;
	return tierpool_profile_write(out, TIERPOOL_PROFILE_JSON);
}

Test(chain, reports_name_its_site_and_know_what_its_blocks_held)
{
	tierpool *pool = pool_new(.name = "chain");
	char *text;
	tierpool_chain c;

	cr_assert_eq(tierpool_profile_start(1), 0);
	tierpool_chain_init(&c, pool, 4 * KIB);
	tierpool_chain_append(&c, chain_text, 10000);
	tierpool_chain_reset(&c);
	text = printed(pool, tierpool_sites_print);
	cr_assert(strstr(text, "tierpool_chain"), "%s", text);
	free(text);
	text = printed(pool, profile_write);
	tierpool_profile_stop();
	cr_assert(strstr(text, "\"label\":\"tierpool_chain\""), "%s", text);
	cr_assert(strstr(text, "\"waste\":{\"sum\":2288,"), "3 x 4096 - 10000 bytes: %s", text);
	free(text);
	cr_assert_eq(tierpool_destroy(pool), 0);
}
