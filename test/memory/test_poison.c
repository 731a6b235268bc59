/* SPDX-License-Identifier: MIT */
/*
 * AddressSanitizer reports each touch of an idle block. Most of this needs a program that is built
 * with it: `make check` runs one.
 */
#include "memory/poison.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "child.h"
#include "cpus.h"

extern int __asan_address_is_poisoned(const volatile void *address) __attribute__((weak));

static bool hidden(const char *byte)
{
	return __asan_address_is_poisoned(byte);
}

static void need_asan(void)
{
	if (!__asan_address_is_poisoned)
		skip("this program is not built with AddressSanitizer");
}

/* Whether all of n bytes are. Every eighth, for which there is one byte of shadow, and the last. */
static bool all_are(bool are_hidden, const char *block, size_t n)
{
	for (size_t i = 0; i < n; i += 8)
		if (hidden(block + i) != are_hidden)
			return false;
	return hidden(block + n - 1) == are_hidden;
}

/* Runs touch on a buffer in a child. Returns whether that ended it; report: its stderr. */
static bool child_dies(void (*touch)(tierpool *pool), char *report, size_t size)
{
	struct child child;
	tierpool *pool;
	int status;

	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	if (child_begin(&child)) {
		touch(pool);
		_exit(0);
	}
	status = child_end(&child, report, size);
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

static void read_after_put(tierpool *pool)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, 1000);
	const volatile char *data = b->data;

	tierpool_put(b);
	(void)data[999];
}

static void write_after_growth(tierpool *pool)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, 1000);
	volatile char *data = b->data;

	tierpool_buf_reserve(b, 5000);
	data[0] = 'x';
}

static void use_properly(tierpool *pool)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, 1000);

	tierpool_put(b);
	b = (tierpool_get_sized)(pool, 1000);
	memset(b->data, 'x', b->cap);
	tierpool_put(b);
}

Test(poison, a_touch_of_what_was_put_or_outgrown_is_reported)
{
	char report[4096];

	need_asan();
	cr_assert(child_dies(read_after_put, report, sizeof report));
	cr_assert_not_null(strstr(report, "use-after-poison"), "%s", report);
	cr_assert(child_dies(write_after_growth, report, sizeof report));
	cr_assert_not_null(strstr(report, "use-after-poison"), "%s", report);
	cr_assert_not(child_dies(use_properly, report, sizeof report), "%s", report);
}

Test(poison, every_byte_of_an_idle_block_is_hidden_and_of_a_borrowed_one_shown)
{
	static const size_t sizes[] = {64, 1000, 4096, 70000, 1 << 20};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool *pool;

	need_asan();
	options.calibrate_every = TIERPOOL_CALIBRATE_OFF; /* a large one is kept at once */
	cr_assert_eq(tierpool_create(&pool, &options), 0);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		/* Round 0: from the backing, and a slow put. Then from and to the stack. */
		for (int round = 0; round < 3; round++) {
			tierpool_buf *b = (tierpool_get_sized)(pool, sizes[i]);
			const char *data = b->data;
			size_t cap = b->cap;

			cr_assert(all_are(false, data, cap), "%zu bytes, round %d", cap, round);
			tierpool_put(b);
			cr_assert(all_are(true, data, cap), "%zu bytes, round %d", cap, round);
			tierpool_tick(pool);
			cr_assert(all_are(true, data, cap), "%zu bytes, after a tick", cap);
		}
	tierpool_destroy(pool);
}

/* ---- the backing gets its block back as it gave it ---- */

static unsigned freed, freed_hidden;

static void *plain_alloc(void *context, size_t n, size_t alignment)
{
	(void)context;
	return aligned_alloc(alignment, tp_round_up(n, alignment));
}

static void checking_free(void *context, void *block, size_t n)
{
	(void)context;
	freed++;
	freed_hidden += !all_are(false, block, n);
	free(block);
}

Test(poison, a_block_is_shown_again_before_the_backing_gets_it)
{
	struct tierpool_backing backing = {sizeof backing, plain_alloc, checking_free, NULL};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	tierpool *pool;
	tierpool_buf *b;

	need_asan();
	options.backing = &backing;
	options.max_size = 1 << 16;
	cr_assert_eq(tierpool_create(&pool, &options), 0);
	for (size_t n = 100; n <= 1 << 18; n *= 4) { /* kept, trimmed; and one that is oversize */
		tierpool_put((tierpool_get_sized)(pool, n));
		tierpool_put((tierpool_get_sized)(pool, n));
		tierpool_trim(pool, 0);
	}
	cr_assert_geq(freed, 6);
	for (size_t n = 100; n <= 1 << 16; n *= 4) /* aged out */
		tierpool_put((tierpool_get_sized)(pool, n));
	tierpool_tick(pool);
	tierpool_tick(pool);
	b = (tierpool_get_sized)(pool, 100); /* grown, refused, and closed upon */
	tierpool_retain_set(pool, TIERPOOL_RETAIN_NONE);
	tierpool_buf_reserve(b, 4000);
	tierpool_put(b);
	tierpool_retain_set(pool, 1 << 20);
	tierpool_put((tierpool_get_sized)(pool, 100));
	tierpool_destroy(pool);
	cr_assert_eq(freed_hidden, 0, "%u of %u blocks went back hidden", freed_hidden, freed);
}

Test(poison, without_a_sanitizer_nothing_is_done)
{
	char block[64] = "untouched";

	if (tp_poison_watched)
		skip("this program runs under AddressSanitizer or Valgrind");
	tp_poison(block, sizeof block);
	cr_assert_str_eq(block, "untouched");
	tp_unpoison(block, sizeof block);
	cr_assert_str_eq(block, "untouched");
}

/* Made before the library's own constructors run, where the program is linked statically. */
static tierpool *early;
static int early_error = -1;

__attribute__((constructor(101))) static void make_early(void)
{
	early_error = tierpool_create(&early, NULL);
}

Test(poison, a_pool_made_in_a_constructor_hides_and_shows_as_any_other)
{
	tierpool_buf *b[4];

	cr_assert_eq(early_error, 0);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 4; i++) {
			cr_assert_not_null(b[i] = (tierpool_get_sized)(early, 1000));
			memset(b[i]->data, 'x', b[i]->cap);
		}
		for (unsigned i = 0; i < 4; i++) {
			const char *block = b[i]->data;

			tierpool_put(b[i]);
			cr_assert(!__asan_address_is_poisoned || all_are(true, block, 1024));
		}
	}
}
