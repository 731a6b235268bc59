/* SPDX-License-Identifier: MIT */
#include "misuse_calls.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tierpool *misused;
static int zero_fd, null_fd;

/* Blocks larger than asked for, so that a write beyond a capacity does no harm here. */
static void *roomy_alloc(void *context, size_t n, size_t alignment)
{
	(void)context;
	return n > PTRDIFF_MAX ? NULL
			       : aligned_alloc(alignment, (n + 4095) / alignment * alignment);
}

static void roomy_free(void *context, void *block, size_t n)
{
	(void)context;
	(void)n;
	free(block);
}

void misuse_start(void)
{
	struct tierpool_backing roomy = {sizeof roomy, roomy_alloc, roomy_free, NULL};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.name = NAME;
	options.backing = &roomy;
	cr_assert_eq(tierpool_create(&misused, &options), 0);
	zero_fd = open("/dev/zero", O_RDONLY);
	null_fd = open("/dev/null", O_WRONLY);
}

tierpool_buf *get(void)
{
	tierpool_buf *b = (tierpool_get_sized)(misused, 2000);

	cr_assert_not_null(b);
	cr_assert_eq(b->cap, 2048);
	return b;
}

tierpool_buf *idle(void)
{
	tierpool_buf *b = get();

	memset(b->data, 'i', b->cap);
	tierpool_put(b);
	return b;
}

/* ---- a handler ---- */

struct reported reported;

void report_note(const char *name, const char *what, const tierpool_buf *b)
{
	reported.calls++;
	snprintf(reported.pool, sizeof reported.pool, "%s", name);
	snprintf(reported.what, sizeof reported.what, "%s", what);
	reported.buffer = b;
}

void expect_reported(const tierpool_buf *b, const char *name, const char *what)
{
	cr_assert_eq(reported.calls, 1, "reported %u times", reported.calls);
	cr_assert_str_eq(reported.pool, name);
	cr_assert_str_eq(reported.what, what);
	cr_assert_eq(reported.buffer, b);
	reported.calls = 0;
}

struct tierpool_stats stats(void)
{
	struct tierpool_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_stats_read(misused, &s), 0);
	return s;
}

/*
 * ---- every call on a buffer; as an int what it returned, or -EINVAL where it returns nothing ----
 */

#define CALL(name, answer)                      \
	static int call_##name(tierpool_buf *b) \
	{                                       \
		return (answer);                \
	}

CALL(put, (tierpool_put(b), -EINVAL))
CALL(reserve, tierpool_buf_reserve(b, 1))
CALL(append, tierpool_buf_append(b, "x", 1))
CALL(append_str, tierpool_buf_append_str(b, "x"))
CALL(append_byte, tierpool_buf_append_byte(b, 'x'))
CALL(append_u64, tierpool_buf_append_u64(b, 1))
CALL(append_i64, tierpool_buf_append_i64(b, -1))
CALL(append_hex, tierpool_buf_append_hex(b, 1))
CALL(append_double, tierpool_buf_append_double(b, 0.5))
CALL(append_json, tierpool_buf_append_json(b, "x", 1))
CALL(printf, tierpool_buf_printf(b, "%d", 1))
CALL(set, tierpool_buf_set(b, "x", 1))
CALL(cstr, tierpool_buf_cstr(b) ? 0 : -EINVAL)
CALL(read_fd, (int)tierpool_buf_read_fd(b, zero_fd, 1))
CALL(write_fd, (int)tierpool_buf_write_fd(b, null_fd))
CALL(write_fd_from, (int)tierpool_buf_write_fd_from(b, null_fd, &(size_t){0}))
CALL(consume, tierpool_buf_consume(b, 0))
CALL(detach, (errno = 0, tierpool_buf_detach(b, NULL) ? 0 : -errno))
CALL(clear_error, (tierpool_buf_clear_error(b), -EINVAL))
CALL(error, tierpool_buf_error(b))
CALL(open, (errno = 0, tierpool_buf_open(b) ? 0 : -errno))
CALL(reset, (tierpool_buf_reset(b), -EINVAL))
CALL(secret, (tierpool_buf_secret(b), -EINVAL))

const struct call calls[CALLS] = {{"put", call_put}, {"reserve", call_reserve},
	{"append_byte", call_append_byte}, {"append_u64", call_append_u64},
	{"append_i64", call_append_i64}, {"append_hex", call_append_hex},
	{"append_double", call_append_double}, {"append_json", call_append_json},
	{"printf", call_printf}, {"set", call_set}, {"cstr", call_cstr}, {"read_fd", call_read_fd},
	{"write_fd", call_write_fd}, {"write_fd_from", call_write_fd_from},
	{"consume", call_consume}, {"detach", call_detach}, {"error", call_error},
	{"open", call_open}, {"append", call_append}, {"append_str", call_append_str},
	{"clear_error", call_clear_error}, {"reset", call_reset}, {"secret", call_secret}};
