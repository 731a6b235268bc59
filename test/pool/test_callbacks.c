/* SPDX-License-Identifier: MIT */
/*
 * Write callbacks: through pointers of the types that libraries declare.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <tierpool/callbacks.h>

#include "buffer_fixture.h"

/* As msgpack, yajl, jansson and libcurl have them (msgpack_packer_write, yajl_print_t ...). */
static int (*const first)(void *, const char *, size_t) = tierpool_write_cb;
static void (*const nothing)(void *, const char *, size_t) = tierpool_write_cb_void;
static int (*const last)(const char *, size_t, void *) = tierpool_write_cb_last;
static size_t (*const items)(char *, size_t, size_t, void *) = tierpool_write_cb_curl;

TestSuite(callbacks, .init = buffer_start);

Test(callbacks, each_appends_and_says_so_as_its_library_wants)
{
	cr_assert_eq(first(b, text, 10), 0);
	nothing(b, text + 10, 20);
	cr_assert_eq(last(text + 30, 30, b), 0);
	cr_assert_eq(items(text + 60, 1, 40, b), 40);
	cr_assert_eq(items(text + 100, 50, 40, b), 2000);
	cr_assert_eq(items(text, 0, SIZE_MAX, b), 0);
	cr_assert_eq(items(NULL, 1, 0, b), 0);
	cr_assert_eq(first(b, NULL, 0), 0);
	cr_assert_eq(last(text, 0, b), 0);
	cr_assert_eq(tierpool_buf_error(b), 0);
	expect_content(text, 2100);
}

/* All of them fail now, and append nothing. */
static void expect_failure(tierpool_buf *to)
{
	cr_assert_eq(first(to, "x", 1), -1);
	nothing(to, "x", 1);
	cr_assert_eq(last("x", 1, to), -1);
	cr_assert_eq(items(text, 1, 1, to), 0);
	cr_assert_eq(items(text, SIZE_MAX, SIZE_MAX, to), 0);
}

Test(callbacks, an_error_is_told_and_sticks)
{
	limited.limit = 2048;
	tierpool_buf_append(b, text, 1000);
	for (unsigned i = 0; i < 5; i++) {
		switch (i) {
		case 0:
			cr_assert_eq(first(b, text, 2000), -1);
			break;
		case 1:
			nothing(b, text, 2000);
			break;
		case 2:
			cr_assert_eq(last(text, 2000, b), -1);
			break;
		case 3:
			cr_assert_eq(items(text, 2, 1000, b), 0);
			break;
		default:
			cr_assert_eq(first(b, NULL, 1), -1);
		}
		cr_assert_eq(tierpool_buf_error(b), i == 4 ? -EINVAL : -ENOMEM);
		expect_failure(b);
		expect_content(text, 1000);
		cr_assert_eq(tierpool_buf_error(b), i == 4 ? -EINVAL : -ENOMEM);
		tierpool_buf_reset(b);
		tierpool_buf_append(b, text, 1000);
	}
}

Test(callbacks, a_product_that_overflows_is_an_error_also_of_an_empty_buffer)
{
	cr_assert_eq(items(text, SIZE_MAX / 2 + 1, 2, b), 0);
	cr_assert_eq(tierpool_buf_error(b), -ENOMEM);
	expect_failure(b);
	expect_content(text, 0);
	tierpool_buf_reset(b);
	tierpool_buf_append(b, text, 100);
	cr_assert_eq(
		items(text, ((size_t)1 << 32) + 1, (size_t)1 << 32, b), 0, "it wraps to 4 GiB");
	cr_assert_eq(tierpool_buf_error(b), -ENOMEM);
	expect_content(text, 100);
}

Test(callbacks, the_buffer_of_a_get_that_failed_is_a_failure)
{
	expect_failure(NULL);
}
