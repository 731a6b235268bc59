/* SPDX-License-Identifier: MIT */
/*
 * What a borrower does with a buffer, at its edges: a full one, errors, formats, secrets. What
 * every call does to the content, at random: test_buffer_model.c; descriptors: test_buffer_io.c.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include "buffer_fixture.h"

static struct tierpool_stats stats(void)
{
	struct tierpool_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_stats_read(pool, &s), 0);
	return s;
}

TestSuite(buffer, .init = buffer_start);

Test(buffer, it_fills_to_its_last_byte_before_it_grows)
{
	const char *data = b->data;

	cr_assert_eq(tierpool_buf_append(b, text, 1000), 0);
	cr_assert_eq(tierpool_buf_append(b, text + 1000, 23), 0);
	cr_assert_eq(tierpool_buf_append_byte(b, text[1023]), 0);
	cr_assert_eq(tierpool_buf_reserve(b, 0), 0);
	cr_assert(b->data == data && b->cap == 1024, "it grew with room left");
	cr_assert_eq(tierpool_buf_append_byte(b, text[1024]), 0);
	cr_assert_eq(b->cap, 2048);
	expect_content(text, 1025);
	cr_assert_eq(stats().grows, 1);
}

Test(buffer, nothing_can_be_appended_from_nowhere)
{
	cr_assert_eq(tierpool_buf_append(b, NULL, 0), 0);
	cr_assert_eq(tierpool_buf_append(b, text, 0), 0);
	cr_assert_eq(tierpool_buf_append_str(b, ""), 0);
	cr_assert_eq(b->len, 0);
	cr_assert_eq(tierpool_buf_append(b, NULL, 1), -EINVAL);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_append_str(b, NULL), -EINVAL);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_set(b, NULL, 1), -EINVAL);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_printf(b, NULL), -EINVAL);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_error(b), 0);
}

static int vprintf_of(tierpool_buf *to, const char *format, ...)
{
	va_list args;
	int error;

	va_start(args, format);
	error = tierpool_buf_vprintf(to, format, args);
	va_end(args);
	return error;
}

Test(buffer, every_call_takes_a_null)
{
	cr_assert_eq(tierpool_buf_reserve(NULL, 1), -ENOMEM);
	cr_assert_eq(tierpool_buf_append(NULL, "x", 1), -ENOMEM);
	cr_assert_eq(tierpool_buf_append(NULL, NULL, 0), -ENOMEM);
	cr_assert_eq(tierpool_buf_append_str(NULL, "x"), -ENOMEM);
	cr_assert_eq(tierpool_buf_append_str(NULL, NULL), -ENOMEM);
	cr_assert_eq(tierpool_buf_append_byte(NULL, 'x'), -ENOMEM);
	cr_assert_eq(tierpool_buf_printf(NULL, "%d", 1), -ENOMEM);
	cr_assert_eq(vprintf_of(NULL, "x"), -ENOMEM);
	cr_assert_eq(tierpool_buf_set(NULL, "x", 1), -ENOMEM);
	cr_assert_eq(tierpool_buf_read_fd(NULL, 0, 1), -ENOMEM);
	cr_assert_eq(tierpool_buf_write_fd(NULL, 1), -ENOMEM);
	cr_assert_eq(tierpool_buf_write_fd_from(NULL, 1, &(size_t){0}), -ENOMEM);
	cr_assert_eq(tierpool_buf_error(NULL), -ENOMEM);
	cr_assert_null(tierpool_buf_cstr(NULL));
	errno = 0;
	cr_assert_null(tierpool_buf_detach(NULL, NULL));
	cr_assert_eq(errno, ENOMEM);
	cr_assert_null(tierpool_buf_of(NULL));
	errno = 0;
	cr_assert_null(tierpool_buf_open(NULL));
	cr_assert_eq(errno, ENOMEM);
	tierpool_buf_reset(NULL);
	tierpool_buf_secret(NULL);
	tierpool_put(NULL);
}

Test(buffer, a_detached_copy_is_its_receivers_and_the_buffer_stays)
{
	size_t len = 0;
	char *empty = tierpool_buf_detach(b, &len), *copy;

	cr_assert(empty && !len && !*empty);
	free(empty);
	tierpool_buf_append(b, text, 5000);
	copy = tierpool_buf_detach(b, &len);
	cr_assert_not_null(copy);
	expect_content(text, 5000);
	memset(b->data, 0, b->cap);
	tierpool_put(b);
	cr_assert(len == 5000 && !copy[5000] && !memcmp(copy, text, 5000));
	free(copy);
}

/* ---- errors that stick ---- */

/* Every call gives the error and changes nothing; a reset makes it good as new. */
static void expect_stuck(int error)
{
	size_t len = b->len, cap = b->cap;
	char *data = b->data;

	cr_assert_eq(tierpool_buf_error(b), error);
	cr_assert_eq(tierpool_buf_reserve(b, 0), error);
	cr_assert_eq(tierpool_buf_append(b, "x", 1), error);
	cr_assert_eq(tierpool_buf_append(b, NULL, 0), error);
	cr_assert_eq(tierpool_buf_append(b, NULL, 1), error, "the first error, not the last");
	cr_assert_eq(tierpool_buf_append_str(b, "x"), error);
	cr_assert_eq(tierpool_buf_append_byte(b, 'x'), error);
	cr_assert_eq(tierpool_buf_printf(b, "%d", 1), error);
	cr_assert_eq(vprintf_of(b, "x"), error);
	cr_assert_eq(tierpool_buf_set(b, "x", 1), error);
	cr_assert_eq(tierpool_buf_reserve(b, SIZE_MAX), error);
	cr_assert_null(tierpool_buf_cstr(b));
	cr_assert_eq(tierpool_buf_write_fd(b, -1), error, "a piece of the output is missing");
	cr_assert_eq(tierpool_buf_write_fd_from(b, -1, &(size_t){0}), error);
	cr_assert_eq(tierpool_buf_read_fd(b, -1, 1), error);
	cr_assert_eq(tierpool_buf_consume(b, 1), error);
	errno = 0;
	cr_assert_null(tierpool_buf_detach(b, &(size_t){0}));
	cr_assert_eq(errno, -error);
	errno = 0;
	cr_assert_null(tierpool_buf_open(b));
	cr_assert_eq(errno, -error);
	cr_assert(b->len == len && b->cap == cap && b->data == data);
	cr_assert_eq(memcmp(b->data, text, len), 0);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_error(b), 0);
	cr_assert(b->len == 0 && b->cap == cap && b->data == data, "the capacity was not kept");
	cr_assert_eq(tierpool_buf_append(b, text, 100), 0);
}

Test(buffer, an_error_sticks_until_reset_and_leaves_the_content_whole)
{
	wchar_t invalid[] = {0x7fffffff, 0};
	/* The compiler would refuse it as a literal. */
	static const char *volatile too_wide = "%99999999999d";

	tierpool_buf_append(b, text, 1000);
	cr_assert_eq(tierpool_buf_reserve(b, SIZE_MAX), -ENOMEM);
	expect_stuck(-ENOMEM);
	cr_assert_eq(tierpool_buf_append(b, NULL, 1), -EINVAL);
	expect_stuck(-EINVAL);
	cr_assert_eq(tierpool_buf_printf(b, "some of it %ls", invalid), -EILSEQ);
	expect_stuck(-EILSEQ);
	cr_assert_eq(vprintf_of(b, too_wide, 1), -EOVERFLOW);
	expect_stuck(-EOVERFLOW);
	tierpool_buf_reserve(b, SIZE_MAX);
	tierpool_put(b);
	b = (tierpool_get_sized)(pool, 1000);
	cr_assert_eq(tierpool_buf_error(b), 0, "the next borrower has the last one's error");
}

Test(buffer, an_error_may_be_forgotten_and_the_content_stays)
{
	tierpool_buf_append(b, text, 1000);
	cr_assert_eq(tierpool_buf_reserve(b, SIZE_MAX), -ENOMEM);
	tierpool_buf_clear_error(b);
	cr_assert_eq(tierpool_buf_error(b), 0);
	cr_assert_eq(tierpool_buf_append(b, text + 1000, 24), 0);
	expect_content(text, 1024);
	tierpool_buf_secret(b);
	tierpool_buf_append(b, NULL, 1);
	tierpool_buf_clear_error(b);
	cr_assert_eq(b->tp_limit, 0, "it is no secret any more");
	cr_assert_eq(tierpool_buf_append(b, text, 1), 0);
}

Test(buffer, sizes_that_overflow_are_errors)
{
	/* Volatile, because the compiler knows that some of these are wrong. */
	static const volatile size_t sizes[] = {SIZE_MAX, SIZE_MAX - 50, SIZE_MAX - 99,
		SIZE_MAX - 100, SIZE_MAX - 8192, SIZE_MAX / 2 + 1, SIZE_MAX / 2 - 100};

	tierpool_buf_append(b, text, 100);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		cr_assert_eq(tierpool_buf_reserve(b, sizes[i]), -ENOMEM, "%zu", sizes[i]);
		expect_stuck(-ENOMEM);
		cr_assert_eq(tierpool_buf_append(b, text, sizes[i]), -ENOMEM, "%zu", sizes[i]);
		expect_stuck(-ENOMEM);
		cr_assert_eq(tierpool_buf_set(b, text, sizes[i]), -ENOMEM, "%zu", sizes[i]);
		expect_stuck(-ENOMEM);
	}
}

Test(buffer, out_of_memory_sticks_and_leaves_the_content_whole)
{
	struct tierpool_stats before;

	tierpool_buf_append(b, text, 1024);
	limited.limit = 4096;
	before = stats();
	cr_assert_eq(tierpool_buf_append(b, text, 3073), -ENOMEM);
	expect_stuck(-ENOMEM);
	cr_assert_eq(stats().grows, before.grows);
	cr_assert_eq(stats().allocs, before.allocs, "an alloc that failed was counted");
	cr_assert_eq(tierpool_buf_set(b, text, 4096), 0);
	cr_assert_null(tierpool_buf_cstr(b), "no room for the NUL");
	expect_stuck(-ENOMEM);
	tierpool_buf_set(b, text, 4096);
	cr_assert_eq(tierpool_buf_printf(b, "%s", "x"), -ENOMEM);
	expect_stuck(-ENOMEM);
}

/* ---- printf and cstr ---- */

Test(buffer, printf_fits_to_the_byte_with_its_nul)
{
	char wanted[4096];

	for (int n = 1000; n <= 1100; n++) {
		tierpool_put(b);
		tierpool_trim(pool, 0);
		b = (tierpool_get_sized)(pool, 1024);
		tierpool_buf_append_str(b, "head:");
		cr_assert_eq(tierpool_buf_printf(b, "%*d%s", n - 8, 42, "end"), 0);
		snprintf(wanted, sizeof wanted, "head:%*d%s", n - 8, 42, "end");
		expect_content(wanted, strlen(wanted));
		cr_assert_eq(b->cap, strlen(wanted) < 1024 ? 1024 : 2048, "%d", n);
	}
	cr_assert_eq(tierpool_buf_printf(b, "%s", ""), 0);
	cr_assert_eq(vprintf_of(b, "%s %d%%", "some", 7), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b) + strlen(wanted), "some 7%");
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_printf(b, "%*s", 100000, "far"), 0);
	cr_assert_eq(b->len, 100000);
	cr_assert_eq(memcmp(b->data + 99990, "       far", 10), 0);
}

Test(buffer, printf_prints_the_errno_of_its_caller)
{
	errno = ENOENT;
	cr_assert_eq(tierpool_buf_printf(b, "%m"), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b), strerror(ENOENT));
	tierpool_buf_set(b, text, 1020);
	errno = EXDEV; /* also where it has to grow first */
	cr_assert_eq(tierpool_buf_printf(b, "%m"), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b) + 1020, strerror(EXDEV));
}

Test(buffer, cstr_puts_a_nul_after_the_length_also_where_it_was_full)
{
	cr_assert_str_eq(tierpool_buf_cstr(b), "");
	tierpool_buf_append(b, "a\0b", 3);
	b->data[3] = 'x';
	cr_assert_eq(memcmp(tierpool_buf_cstr(b), "a\0b", 4), 0);
	cr_assert_eq(b->len, 3, "the NUL was counted");
	tierpool_buf_set(b, text, 1024);
	cr_assert_eq(tierpool_buf_cstr(b), b->data);
	cr_assert_eq(b->cap, 2048);
	cr_assert_eq(b->data[1024], '\0');
	expect_content(text, 1024);
}

/* ---- secrets: 's' is never seen again ---- */

static void fill_secret(void)
{
	/* Beyond len as well: the whole capacity is to be wiped. */
	memset(b->data, 's', b->cap);
	b->len = 10;
}

Test(buffer, a_secret_is_wiped_over_the_whole_capacity_before_it_is_freed, .init = NULL)
{
	buffer_start_with(TIERPOOL_RETAIN_NONE);
	tierpool_buf_secret(b);
	fill_secret();
	tierpool_buf_reserve(b, 3000); /* by growth */
	cr_assert_eq(limited.frees, 1);
	cr_assert_eq(memcmp(b->data, "ssssssssss", 10), 0);
	fill_secret();
	tierpool_buf_reset(b); /* which does not make it less secret */
	tierpool_buf_printf(b, "%*s", 9000, "s");
	fill_secret();
	tierpool_buf_set(b, b->data, b->cap);
	tierpool_buf_append(b, b->data, b->len);
	fill_secret();
	tierpool_buf_append(b, NULL, 1); /* nor does an error */
	tierpool_put(b);
	cr_assert_eq(limited.frees, 4);
	b = (tierpool_get_sized)(pool, 2 << 20); /* above max_size */
	tierpool_buf_secret(b);
	fill_secret();
	tierpool_buf_reserve(b, 4 << 20);
	fill_secret();
	tierpool_put(b);
	cr_assert_eq(limited.frees, 6);
	cr_assert_eq(limited.unwiped, 0, "%u blocks", limited.unwiped);
	b = (tierpool_get_sized)(pool, 1000); /* the control: this one's is seen */
	fill_secret();
	tierpool_put(b);
	cr_assert_eq(limited.unwiped, 1);
}

Test(buffer, a_secret_is_wiped_before_its_block_is_kept)
{
	tierpool_buf *grown = b;
	char *block[2] = {b->data, NULL};

	tierpool_buf_secret(b);
	fill_secret();
	tierpool_buf_reserve(b, 3000);
	block[1] = b->data;
	fill_secret();
	tierpool_put(b);
	for (int i = 0; i < 2; i++) {
		b = (tierpool_get_sized)(pool, i ? 4096 : 1024);
		cr_assert_eq(b->data, block[i], "not the block that was kept");
		for (size_t at = 0; at < b->cap; at++)
			cr_assert_neq(b->data[at], 's', "byte %zu of %zu", at, b->cap);
	}
	cr_assert_eq(b, grown);
}

Test(buffer, a_secret_is_one_until_it_is_put)
{
	tierpool_buf *same = b;

	tierpool_buf_secret(b);
	tierpool_put(b);
	b = (tierpool_get_sized)(pool, 1000);
	cr_assert_eq(b, same);
	fill_secret();
	tierpool_put(b);
	b = (tierpool_get_sized)(pool, 1000);
	cr_assert_eq(b->data[1023], 's', "the next borrower's content was wiped");
}
