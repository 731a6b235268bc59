/* SPDX-License-Identifier: MIT */
/*
 * Misuse: each kind is found, reported with the pool, the mistake and the size, and changes
 * nothing.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tierpool/pool.h>
#include <tierpool/stats.h>

#include "child.h"
#include "pool/misuse.h"

#define NAME "the misused pool"

static tierpool *pool;
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

static void start(void)
{
	struct tierpool_backing roomy = {sizeof roomy, roomy_alloc, roomy_free, NULL};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.name = NAME;
	options.backing = &roomy;
	cr_assert_eq(tierpool_create(&pool, &options), 0);
	zero_fd = open("/dev/zero", O_RDONLY);
	null_fd = open("/dev/null", O_WRONLY);
}

static tierpool_buf *get(void)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, 2000);

	cr_assert_not_null(b);
	cr_assert_eq(b->cap, 2048);
	return b;
}

static tierpool_buf *idle(void)
{
	tierpool_buf *b = get();

	memset(b->data, 'i', b->cap);
	tierpool_put(b);
	return b;
}

TestSuite(misuse, .init = start);

/* ---- a handler ---- */

static struct {
	unsigned calls;
	char pool[64], what[64];
	const tierpool_buf *buffer;
} reported;

static void report_note(const char *name, const char *what, const tierpool_buf *b)
{
	reported.calls++;
	snprintf(reported.pool, sizeof reported.pool, "%s", name);
	snprintf(reported.what, sizeof reported.what, "%s", what);
	reported.buffer = b;
}

static void expect_reported(const tierpool_buf *b, const char *name, const char *what)
{
	cr_assert_eq(reported.calls, 1, "reported %u times", reported.calls);
	cr_assert_str_eq(reported.pool, name);
	cr_assert_str_eq(reported.what, what);
	cr_assert_eq(reported.buffer, b);
	reported.calls = 0;
}

static struct tierpool_stats stats(void)
{
	struct tierpool_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_stats_read(pool, &s), 0);
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
CALL(printf, tierpool_buf_printf(b, "%d", 1))
CALL(set, tierpool_buf_set(b, "x", 1))
CALL(cstr, tierpool_buf_cstr(b) ? 0 : -EINVAL)
CALL(read_fd, (int)tierpool_buf_read_fd(b, zero_fd, 1))
CALL(write_fd, (int)tierpool_buf_write_fd(b, null_fd))
CALL(error, tierpool_buf_error(b))
CALL(open, (errno = 0, tierpool_buf_open(b) ? 0 : -errno))
CALL(reset, (tierpool_buf_reset(b), -EINVAL))
CALL(secret, (tierpool_buf_secret(b), -EINVAL))

static const struct call {
	const char *name;
	int (*call)(tierpool_buf *b);
} calls[] = {{"put", call_put}, {"reserve", call_reserve}, {"append_byte", call_append_byte},
	{"printf", call_printf}, {"set", call_set}, {"cstr", call_cstr}, {"read_fd", call_read_fd},
	{"write_fd", call_write_fd}, {"error", call_error}, {"open", call_open},
	{"append", call_append}, {"append_str", call_append_str}, {"reset", call_reset},
	{"secret", call_secret}};
#define CALLS (sizeof calls / sizeof *calls)
/* The last two do not mind a length beyond the capacity; reset is how to repair it. */
#define CALLS_OF_LENGTH (CALLS - 2)

/* Makes the call. It must be refused, reported once, and leave header and counts alone. */
static void expect_refused(
	const struct call *c, tierpool_buf *b, const char *name, const char *what)
{
	struct tierpool_stats before = stats(), after;
	uint64_t misuses = tp_misuse_count();
	tierpool_buf header;
	int answer;

	memcpy(&header, b, sizeof header);
	answer = c->call(b);
	cr_assert_eq(answer, -EINVAL, "%s gave %d: %s", c->name, answer, what);
	cr_assert_eq(memcmp(&header, b, sizeof header), 0, "%s wrote the header", c->name);
	cr_assert_eq(
		reported.calls, 1, "%s was reported %u times: %s", c->name, reported.calls, what);
	expect_reported(b, name, what);
	cr_assert_eq(tp_misuse_count(), misuses + 1);
	after = stats();
	cr_assert_eq(memcmp(&before, &after, sizeof after), 0, "%s was counted", c->name);
}

Test(misuse, every_call_on_an_idle_buffer_is_reported_and_does_nothing)
{
	tierpool_buf *b = idle();

	tierpool_on_misuse(report_note);
	for (size_t i = 0; i < CALLS; i++)
		expect_refused(&calls[i], b, NAME, i ? "used after it was put" : "put twice");
	cr_assert_eq(get(), b);
	for (size_t i = 0; i < b->cap; i++)
		cr_assert_eq(b->data[i], 'i', "byte %zu of the idle block was written", i);
	tierpool_put(b);
	cr_assert_eq(reported.calls, 0);
}

Test(misuse, every_call_on_a_header_that_was_overwritten_is_reported_and_does_nothing)
{
	/* What a string or a memset that runs over leaves: not even the pool can be believed. */
	static const int with[] = {'A', 0, 0xff};
	tierpool_buf *b = get(), header;

	tierpool_on_misuse(report_note);
	memcpy(&header, b, sizeof header);
	for (size_t i = 0; i < CALLS; i++)
		for (size_t j = 0; j < sizeof with / sizeof *with; j++) {
			memset((void *)b, with[j], sizeof *b);
			expect_refused(&calls[i], b, "unknown pool", "its header was overwritten");
			memcpy((void *)b, &header, sizeof header);
		}
	/* An append looks at its limit first, which is whole here, and needs to look no further. */
	for (size_t i = 0; i < CALLS; i++) {
		if (!strncmp(calls[i].name, "append", 6))
			continue;
		b->tp_state = 0;
		expect_refused(&calls[i], b, NAME, "its header was overwritten");
		memcpy((void *)b, &header, sizeof header);
	}
	cr_assert_eq(tierpool_buf_append_str(b, "whole again"), 0);
	tierpool_put(b);
	cr_assert_eq(reported.calls, 0);
	cr_assert_eq(stats().borrowed, 0);
}

Test(misuse, calls_that_use_a_length_beyond_the_capacity_are_reported_and_do_nothing)
{
	tierpool_buf *b = get();

	tierpool_on_misuse(report_note);
	memset(b->data, 'o', b->cap + 2);
	for (size_t i = 1; i < CALLS_OF_LENGTH; i++) {
		b->len = b->cap + 1;
		expect_refused(&calls[i], b, NAME, "its length is beyond its capacity");
		cr_assert_eq(b->data[b->len], 'o', "%s wrote beyond the capacity", calls[i].name);
	}
	tierpool_buf_reset(b);
	cr_assert_eq(reported.calls, 0);
	cr_assert_eq(tierpool_buf_append_str(b, "mended"), 0);
	tierpool_put(b);
}

Test(misuse, a_put_with_the_stream_open_is_reported_and_leaves_the_buffer_borrowed)
{
	tierpool_buf *b = get();
	FILE *stream = tierpool_buf_open(b);

	tierpool_on_misuse(report_note);
	fputs("one", stream);
	expect_refused(&calls[0], b, NAME, "put while its stream is open");
	fputs(", two", stream);
	cr_assert_eq(fclose(stream), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b), "one, two");
	tierpool_put(b);
	cr_assert_eq(reported.calls, 0);
	cr_assert_eq(stats().borrowed, 0);
}

Test(misuse, a_second_put_is_found_wherever_the_first_one_went)
{
	tierpool_buf *b, *other;

	tierpool_on_misuse(report_note);
	b = (tierpool_get_sized)(pool, 2 << 20); /* freed: above max_size */
	tierpool_put(b);
	expect_refused(&calls[0], b, NAME, "put twice");
	b = idle(); /* freed by a trim */
	tierpool_trim(pool, 0);
	expect_refused(&calls[0], b, NAME, "put twice");
	tierpool_retain_set(pool, TIERPOOL_RETAIN_NONE);
	b = idle(); /* freed: nothing is kept */
	expect_refused(&calls[0], b, NAME, "put twice");
	tierpool_retain_set(pool, 1 << 20);
	b = idle(); /* in a stack or a depot */
	other = get();
	cr_assert_eq(other, b, "calls after its put do not keep a buffer from being lent again");
	tierpool_put(other);
	expect_refused(&calls[0], b, NAME, "put twice");
	other = (tierpool_get_sized)(pool, 100); /* which keeps the destroyed pool there */
	cr_assert_eq(tierpool_destroy(pool), 1);
	tierpool_put(b);
	expect_reported(b, NAME, "put twice");
	tierpool_put(other);
}

Test(misuse, a_second_put_is_found_where_the_page_of_the_header_was_given_back)
{
	enum { BUFFERS = 1000 };
	tierpool_buf *b[BUFFERS];

	tierpool_on_misuse(report_note);
	for (unsigned i = 0; i < BUFFERS; i++)
		b[i] = get();
	for (unsigned i = 0; i < BUFFERS; i++)
		tierpool_put(b[i]);
	tierpool_trim(pool, 0);
	cr_assert_eq(b[BUFFERS / 2]->tp_state, 0, "its page is there");
	for (size_t i = 0; i < CALLS; i++)
		expect_refused(&calls[i], b[BUFFERS / 2], "unknown pool",
			i ? "used after it was put" : "put twice");
}

Test(misuse, a_buffer_with_more_than_a_plain_state_is_found_as_well)
{
	tierpool_buf *b = get();

	tierpool_on_misuse(report_note);
	tierpool_buf_secret(b);
	tierpool_buf_reserve(b, SIZE_MAX);
	tierpool_put(b);
	for (size_t i = 0; i < CALLS; i++)
		expect_refused(&calls[i], b, NAME, i ? "used after it was put" : "put twice");
}

static void other_handler(const char *name, const char *what, const tierpool_buf *b)
{
	(void)name;
	(void)what;
	(void)b;
}

Test(misuse, installing_a_handler_gives_the_previous_one)
{
	cr_assert_null((void *)tierpool_on_misuse(report_note));
	cr_assert(tierpool_on_misuse(other_handler) == report_note);
	tierpool_put(idle());
	cr_assert(tierpool_on_misuse(report_note) == other_handler);
	cr_assert_eq(reported.calls, 0, "the handler that was replaced was called");
	cr_assert(tierpool_on_misuse(NULL) == report_note);
	cr_assert_null((void *)tierpool_on_misuse(NULL));
}

/* ---- no handler: the report, and the end ---- */

/* Makes the call in a child: how that ended, and what it wrote to stderr. */
static int child_status(const struct call *c, tierpool_buf *b, char *report, size_t size)
{
	struct child child;

	if (child_begin(&child)) {
		c->call(b);
		_exit(0);
	}
	return child_end(&child, report, size);
}

static void expect_abort(const struct call *c, tierpool_buf *b, const char *what)
{
	char report[1000], wanted[200];
	int status = child_status(c, b, report, sizeof report);

	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: status %x", c->name,
		(unsigned)status);
	snprintf(wanted, sizeof wanted, "tierpool: pool %s: buffer %p (%zu bytes): %s\n", NAME,
		(void *)b, b->cap, what);
	cr_assert_str_eq(report, wanted, "%s", c->name);
}

Test(misuse, without_a_handler_every_kind_names_pool_mistake_and_size_and_aborts)
{
	tierpool_buf *b = idle();

	for (size_t i = 0; i < CALLS; i++)
		expect_abort(&calls[i], b, i ? "used after it was put" : "put twice");
	b = get();
	b->len = b->cap + 1;
	expect_abort(&calls[1], b, "its length is beyond its capacity");
	b->len = 0;
	cr_assert_not_null(tierpool_buf_open(b));
	expect_abort(&calls[0], b, "put while its stream is open");
	b->tp_state = 0;
	for (size_t i = 0; i < CALLS; i++)
		if (strncmp(calls[i].name, "append", 6))
			expect_abort(&calls[i], b, "its header was overwritten");
}

Test(misuse, a_null_is_none)
{
	tierpool_on_misuse(report_note);
	tierpool_put(NULL);
	for (size_t i = 0; i < CALLS; i++)
		calls[i].call(NULL);
	cr_assert_eq(reported.calls, 0);
}
