/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_DEBUG=poison: a write to a block that was put is found, whatever becomes of the block; and
 * nothing else is taken for one.
 */
#include <signal.h>
#include <stdlib.h>

#include "child.h"
#include "noted_misuse.h"
#include "pool_checks.h"

#define NAME "the poisoned pool"

static struct counting_backing counting;
static tierpool *pool;

static void poison_start(void)
{
	noted_begin("poison");
	counting_backing_init(&counting);
	/* So that what is large is kept at once. */
	pool = pool_new(.name = NAME, .calibrate_every = TIERPOOL_CALIBRATE_OFF);
	stay_on_this_cpu();
}

TestSuite(debug_poison, .init = poison_start);

static tierpool_buf *get(size_t n)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, n);

	cr_assert_not_null(b);
	return b;
}

/* As code does that AddressSanitizer does not see. */
__attribute__((no_sanitize("address"), noinline)) static void write_late(char *data, size_t at)
{
	((volatile char *)data)[at] = 'x';
}

/* Puts a buffer of n bytes, and writes to it at a byte. */
static tierpool_buf *put_and_write(size_t n, size_t at)
{
	tierpool_buf *b = get(n);
	char *data = b->data;

	memset(data, 'a', b->cap);
	tierpool_put(b);
	expect_none_noted();
	write_late(data, at);
	return b;
}

static void expect_late(const tierpool_buf *b, size_t at)
{
	char what[64];

	snprintf(what, sizeof what, "written after it was put, at byte %zu", at);
	expect_noted(b, NAME, what);
}

Test(debug_poison, a_late_write_is_found_when_the_block_is_lent_again)
{
	static const size_t sizes[] = {64, 128, 1 << 10, 4 << 10, 64 << 10, 1 << 20, 16 << 20};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t at[] = {0, 1, 7, sizes[i] / 2 + 3, sizes[i] - 1};

		for (size_t j = 0; j < sizeof at / sizeof *at; j++) {
			tierpool_buf *b = put_and_write(sizes[i], at[j]);

			cr_assert_eq(get(sizes[i]), b, "another one was lent");
			expect_late(b, at[j]);
			/* It is lent as any other. */
			cr_assert_eq(tierpool_buf_append_str(b, "whole"), 0);
			cr_assert_str_eq(tierpool_buf_cstr(b), "whole");
			tierpool_put(b);
			cr_assert_eq(get(sizes[i]), b);
			expect_none_noted();
			tierpool_put(b);
		}
	}
	tierpool_destroy(pool);
	expect_none_noted();
}

Test(debug_poison, of_several_the_first_byte_is_named)
{
	tierpool_buf *b = put_and_write(1000, 900);

	write_late(b->data, 33);
	cr_assert_eq(get(1000), b);
	expect_late(b, 33);
	tierpool_put(b);
}

Test(debug_poison, in_tiers_of_any_size)
{
	static const size_t tiers[] = {1, 2, 3, 7, 65, 1001};

	tierpool_destroy(pool);
	pool = pool_new(.name = NAME, .tiers = tiers, .tier_count = 6,
		.calibrate_every = TIERPOOL_CALIBRATE_OFF);
	for (size_t i = 0; i < 6; i++)
		for (size_t at = 0; at < tiers[i]; at++) {
			tierpool_buf *b = put_and_write(tiers[i], at);

			cr_assert_eq(b->cap, tiers[i]);
			cr_assert_eq(get(tiers[i]), b);
			expect_late(b, at);
			tierpool_put(b);
		}
	tierpool_destroy(pool);
	expect_none_noted();
}

/* ---- however the block leaves its place ---- */

Test(debug_poison, a_late_write_is_found_when_the_block_is_freed)
{
	tierpool_buf *b = put_and_write(1000, 1);

	tierpool_trim(pool, 0);
	expect_late(b, 1);
	b = put_and_write(1000, 2);
	tierpool_tick(pool);
	expect_none_noted();
	tierpool_tick(pool);
	expect_late(b, 2);
	b = put_and_write(1000, 3);
	tierpool_retain_set(pool, TIERPOOL_RETAIN_NONE);
	expect_late(b, 3);
	tierpool_retain_set(pool, MIB);
	b = put_and_write(1000, 4);
	tierpool_destroy(pool);
	expect_late(b, 4);
}

Test(debug_poison, a_late_write_is_found_when_the_buffer_is_evicted_for_a_smaller_one)
{
	tierpool_buf *b, *small[400];
	unsigned n = 0;

	for (; n < 400; n++)
		small[n] = get(1000);
	b = put_and_write(64 << 10, 5);
	tierpool_retain_set(pool, 100 * KIB);
	expect_none_noted();
	while (n && !noted.count)
		tierpool_put(small[--n]);
	expect_late(b, 5);
	while (n)
		tierpool_put(small[--n]);
	tierpool_destroy(pool);
	expect_none_noted();
}

Test(debug_poison, a_late_write_is_found_by_the_growth_that_takes_the_block)
{
	tierpool_buf *large = put_and_write(4000, 6), *b = get(1000);

	cr_assert_eq(tierpool_buf_append_str(b, "content"), 0);
	cr_assert_eq(tierpool_buf_reserve(b, 4000), 0);
	expect_late(large, 6);
	cr_assert_eq(stats_of(pool).grows_pooled, 1);
	cr_assert_str_eq(tierpool_buf_cstr(b), "content");
	tierpool_put(b);
	tierpool_destroy(pool);
	expect_none_noted();
}

/* Before: of a buffer. The block that it had is idle then, in another one's header. */
static char *outgrow(tierpool_buf *b)
{
	char *block = b->data;

	cr_assert_eq(tierpool_buf_reserve(b, b->cap + 1), 0);
	cr_assert_neq(b->data, block);
	return block;
}

Test(debug_poison, a_late_write_to_an_outgrown_block_is_found)
{
	tierpool_buf *b, *other;
	char *block;

	for (unsigned round = 0; round < 3; round++) { /* new; then exchanged in the stacks */
		b = get(1000);
		block = outgrow(b);
		write_late(block, 8);
		expect_none_noted();
		other = get(1000);
		cr_assert_eq(other->data, block);
		expect_late(other, 8);
		tierpool_put(other);
		tierpool_put(b);
	}
	tierpool_destroy(pool);
	expect_none_noted();
}

Test(debug_poison, on_a_backing_of_the_program)
{
	tierpool_buf *b;

	tierpool_destroy(pool);
	pool = pool_on(&counting, .name = NAME);
	b = put_and_write(1000, 1023);
	cr_assert_eq(get(1000), b);
	expect_late(b, 1023);
	tierpool_put(b);
	b = put_and_write(1000, 17);
	tierpool_trim(pool, 0);
	expect_late(b, 17);
	pool_end(pool, &counting);
}

/* ---- what is no late write ---- */

/* Borrows, fills to the last byte, grows, and puts, by all the ways that there are. */
static void use(unsigned times)
{
	tierpool_buf *b[30];

	for (unsigned round = 0; round < times; round++) {
		for (unsigned i = 0; i < 30; i++) {
			b[i] = get((size_t)100 << i % 12);
			memset(b[i]->data, (int)i, b[i]->cap);
			b[i]->len = b[i]->cap;
			if (i % 3 == 0)
				cr_assert_eq(tierpool_buf_append_byte(b[i], 'g'), 0);
			if (i % 7 == 0)
				tierpool_buf_secret(b[i]);
			if (i % 6 == 0)
				cr_assert_eq(tierpool_buf_reserve(b[i], 3 * b[i]->cap), 0);
			memset(b[i]->data, (int)i, b[i]->cap);
		}
		if (round % 10 == 3)
			tierpool_tick(pool);
		if (round % 10 == 7)
			tierpool_trim(pool, MIB);
		for (unsigned i = 0; i < 30; i++)
			tierpool_put(b[i]);
	}
}

Test(debug_poison, nothing_is_reported_of_a_program_that_does_no_wrong)
{
	tierpool_buf *b;

	use(30);
	/* Little room: stacks and depots overflow, and large ones go for small ones. */
	tierpool_retain_set(pool, 200 * KIB);
	use(30);
	/* Above the tiers: pages are moved, and freed at each put. */
	b = get(17 * MIB);
	memset(b->data, 'b', b->cap);
	b->len = b->cap;
	cr_assert_eq(tierpool_buf_reserve(b, 1), 0);
	tierpool_put(b);
	tierpool_destroy(pool);
	/* Blocks of another backing, with anything in them. */
	pool = pool_on(&counting, .name = NAME, .max_size = 64 * KIB);
	use(30);
	pool_end(pool, &counting);
	expect_none_noted();
}

Test(debug_poison, the_next_borrower_finds_nothing_of_the_last_one)
{
	tierpool_buf *b = get(1000);

	memset(b->data, 'a', b->cap);
	tierpool_put(b);
	cr_assert_eq(get(1000), b);
	for (size_t i = 0; i < b->cap && !SANITIZED; i++)
		cr_assert_neq(b->data[i], 'a');
	tierpool_put(b);
}

/* ---- without a handler ---- */

Test(debug_poison, it_is_printed_with_pool_size_and_place_and_ends_the_process)
{
	char report[1000], wanted[200];
	tierpool_buf *b = put_and_write(1000, 321);
	struct child child;
	int status;

	if (child_begin(&child)) {
		tierpool_on_misuse(NULL);
		tierpool_put((tierpool_get_sized)(pool, 1000));
		_exit(0);
	}
	status = child_end(&child, report, sizeof report);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x: %s",
		(unsigned)status, report);
	snprintf(wanted, sizeof wanted,
		"tierpool: pool %s: buffer %p (1024 bytes): written after it was put, at byte "
		"321\n",
		NAME, (void *)b);
	cr_assert_str_eq(report, wanted);
}
