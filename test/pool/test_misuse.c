/* SPDX-License-Identifier: MIT */
/*
 * Misuse: each kind is found, told with the pool, the deed and the size, and changes nothing.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
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

#define NAME "the misused pool"

static tierpool *pool;

/* More than is asked for, so that a write beyond a capacity hurts nobody here. */
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
} told;

static void tell(const char *name, const char *what, const tierpool_buf *b)
{
	told.calls++;
	snprintf(told.pool, sizeof told.pool, "%s", name);
	snprintf(told.what, sizeof told.what, "%s", what);
	told.buffer = b;
}

static void expect_told(const tierpool_buf *b, const char *name, const char *what)
{
	cr_assert_eq(told.calls, 1, "told %u times", told.calls);
	cr_assert_str_eq(told.pool, name);
	cr_assert_str_eq(told.what, what);
	cr_assert_eq(told.buffer, b);
	told.calls = 0;
}

static struct tierpool_stats stats(void)
{
	struct tierpool_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_stats_read(pool, &s), 0);
	return s;
}

/* ---- every call on a buffer; each gives what it answered as an int, -EINVAL where it has none
 * ---- */

static int call_reserve(tierpool_buf *b)
{
	return tierpool_buf_reserve(b, 1);
}

static int call_append(tierpool_buf *b)
{
	return tierpool_buf_append(b, "x", 1);
}

static int call_append_str(tierpool_buf *b)
{
	return tierpool_buf_append_str(b, "x");
}

static int call_append_byte(tierpool_buf *b)
{
	return tierpool_buf_append_byte(b, 'x');
}

static int call_printf(tierpool_buf *b)
{
	return tierpool_buf_printf(b, "%d", 1);
}

static int call_set(tierpool_buf *b)
{
	return tierpool_buf_set(b, "x", 1);
}

static int call_cstr(tierpool_buf *b)
{
	return tierpool_buf_cstr(b) ? 0 : -EINVAL;
}

static int call_read_fd(tierpool_buf *b)
{
	int zero = open("/dev/zero", O_RDONLY), n = (int)tierpool_buf_read_fd(b, zero, 1);

	close(zero);
	return n;
}

static int call_write_fd(tierpool_buf *b)
{
	int null = open("/dev/null", O_WRONLY), n = (int)tierpool_buf_write_fd(b, null);

	close(null);
	return n;
}

static int call_error(tierpool_buf *b)
{
	return tierpool_buf_error(b);
}

static int call_open(tierpool_buf *b)
{
	errno = 0;
	return tierpool_buf_open(b) ? 0 : -errno;
}

static int call_reset(tierpool_buf *b)
{
	tierpool_buf_reset(b);
	return -EINVAL;
}

static int call_secret(tierpool_buf *b)
{
	tierpool_buf_secret(b);
	return -EINVAL;
}

static int call_put(tierpool_buf *b)
{
	tierpool_put(b);
	return -EINVAL;
}

static const struct call {
	const char *name;
	int (*call)(tierpool_buf *b);
} calls[] = {{"put", call_put}, {"reserve", call_reserve}, {"append_byte", call_append_byte},
	{"printf", call_printf}, {"set", call_set}, {"cstr", call_cstr}, {"read_fd", call_read_fd},
	{"write_fd", call_write_fd}, {"error", call_error}, {"open", call_open},
	{"append", call_append}, {"append_str", call_append_str}, {"reset", call_reset},
	{"secret", call_secret}};
#define CALLS (sizeof calls / sizeof *calls)
/* Of a length beyond the capacity the last two say nothing; reset is how to mend it. */
#define CALLS_OF_LENGTH (CALLS - 2)

/* Makes the call, which must be refused, be told of once, and leave header and counts alone. */
static void expect_refused(
	const struct call *c, tierpool_buf *b, const char *name, const char *what)
{
	struct tierpool_stats before = stats(), after;
	tierpool_buf header;
	int answer;

	memcpy(&header, b, sizeof header);
	answer = c->call(b);
	cr_assert_eq(answer, -EINVAL, "%s gave %d: %s", c->name, answer, what);
	cr_assert_eq(memcmp(&header, b, sizeof header), 0, "%s wrote the header", c->name);
	cr_assert_eq(told.calls, 1, "%s was told of %u times: %s", c->name, told.calls, what);
	expect_told(b, name, what);
	after = stats();
	cr_assert_eq(memcmp(&before, &after, sizeof after), 0, "%s was counted", c->name);
}

Test(misuse, every_call_on_an_idle_buffer_is_told_and_does_nothing)
{
	tierpool_buf *b = idle();

	tierpool_on_misuse(tell);
	for (size_t i = 0; i < CALLS; i++)
		expect_refused(&calls[i], b, NAME, i ? "used after it was put" : "put twice");
	cr_assert_eq(get(), b);
	for (size_t i = 0; i < b->cap; i++)
		cr_assert_eq(b->data[i], 'i', "byte %zu of the idle block was written", i);
	tierpool_put(b);
	cr_assert_eq(told.calls, 0);
}

Test(misuse, every_call_on_a_header_that_was_overwritten_is_told_and_does_nothing)
{
	/* As a string or a memset that ran over does: not even its pool is believed. */
	static const int with[] = {'A', 0, 0xff};
	tierpool_buf *b = get(), header;

	tierpool_on_misuse(tell);
	memcpy(&header, b, sizeof header);
	for (size_t i = 0; i < CALLS; i++)
		for (size_t j = 0; j < sizeof with / sizeof *with; j++) {
			memset((void *)b, with[j], sizeof *b);
			expect_refused(&calls[i], b, "unknown pool", "its header was overwritten");
			memcpy((void *)b, &header, sizeof header);
		}
	/* What append asks first, its limit, is whole here: it need not look further. */
	for (size_t i = 0; i < CALLS; i++) {
		if (!strncmp(calls[i].name, "append", 6))
			continue;
		b->tp_state = 0;
		expect_refused(&calls[i], b, NAME, "its header was overwritten");
		memcpy((void *)b, &header, sizeof header);
	}
	cr_assert_eq(tierpool_buf_append_str(b, "whole again"), 0);
	tierpool_put(b);
	cr_assert_eq(told.calls, 0);
	cr_assert_eq(stats().borrowed, 0);
}

Test(misuse, calls_that_use_a_length_beyond_the_capacity_are_told_and_do_nothing)
{
	tierpool_buf *b = get();

	tierpool_on_misuse(tell);
	memset(b->data, 'o', b->cap + 2);
	for (size_t i = 1; i < CALLS_OF_LENGTH; i++) {
		b->len = b->cap + 1;
		expect_refused(&calls[i], b, NAME, "its length is beyond its capacity");
		cr_assert_eq(b->data[b->len], 'o', "%s wrote beyond the capacity", calls[i].name);
	}
	tierpool_buf_reset(b);
	cr_assert_eq(told.calls, 0);
	cr_assert_eq(tierpool_buf_append_str(b, "mended"), 0);
	tierpool_put(b);
}

Test(misuse, a_put_with_the_stream_open_is_told_and_leaves_the_buffer_borrowed)
{
	tierpool_buf *b = get();
	FILE *stream = tierpool_buf_open(b);

	tierpool_on_misuse(tell);
	fputs("one", stream);
	expect_refused(&calls[0], b, NAME, "put while its stream is open");
	fputs(", two", stream);
	cr_assert_eq(fclose(stream), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b), "one, two");
	tierpool_put(b);
	cr_assert_eq(told.calls, 0);
	cr_assert_eq(stats().borrowed, 0);
}

Test(misuse, a_second_put_is_found_wherever_the_first_one_went)
{
	tierpool_buf *b, *other;

	tierpool_on_misuse(tell);
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
	b = idle(); /* in a slab, or in a depot */
	other = get();
	cr_assert_eq(other, b, "a put buffer is lent again, whatever was tried with it");
	tierpool_put(other);
	expect_refused(&calls[0], b, NAME, "put twice");
	other = (tierpool_get_sized)(pool, 100); /* its pool is destroyed, but for another's sake */
	cr_assert_eq(tierpool_destroy(pool), 1);
	tierpool_put(b);
	expect_told(b, NAME, "put twice");
	tierpool_put(other);
}

Test(misuse, a_buffer_with_more_than_a_plain_state_is_found_as_well)
{
	tierpool_buf *b = get();

	tierpool_on_misuse(tell);
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
	cr_assert_null((void *)tierpool_on_misuse(tell));
	cr_assert(tierpool_on_misuse(other_handler) == tell);
	tierpool_put(idle());
	cr_assert(tierpool_on_misuse(tell) == other_handler);
	cr_assert_eq(told.calls, 0, "the handler that was replaced was called");
	cr_assert(tierpool_on_misuse(NULL) == tell);
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
	snprintf(wanted, sizeof wanted, "tierpool: %s: buffer %p (%zu bytes): %s\n", NAME,
		(void *)b, b->cap, what);
	cr_assert_str_eq(report, wanted, "%s", c->name);
}

Test(misuse, without_a_handler_every_kind_names_pool_deed_and_size_and_aborts)
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

Test(misuse, a_second_put_ends_the_process, .signal = SIGABRT)
{
	cr_redirect_stderr();
	tierpool_put(idle());
}

Test(misuse, a_put_of_an_overwritten_header_ends_the_process, .signal = SIGABRT)
{
	tierpool_buf *b = get();

	cr_redirect_stderr();
	memset((void *)b, 0, sizeof *b);
	tierpool_put(b);
}

Test(misuse, an_append_after_a_put_ends_the_process, .signal = SIGABRT)
{
	cr_redirect_stderr();
	tierpool_buf_append(idle(), "x", 1);
}

Test(misuse, a_null_is_none)
{
	tierpool_on_misuse(tell);
	tierpool_put(NULL);
	for (size_t i = 0; i < CALLS; i++)
		calls[i].call(NULL);
	cr_assert_eq(told.calls, 0);
}
