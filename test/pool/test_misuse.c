/* SPDX-License-Identifier: MIT */
/*
 * Misuse: each kind is found, reported with the pool, the mistake and the size, and changes
 * nothing.
 */
#include <criterion/criterion.h>
#include <errno.h>
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
#include "cpus.h"
#include "memory/bufstate.h"
#include "misuse_calls.h"
#include "pool/misuse.h"

TestSuite(misuse, .init = misuse_start);

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

static void expect_length_refused(tierpool_buf *b)
{
	b->len = b->cap + 1;
	expect_refused(&calls[0], b, NAME, "its length is beyond its capacity");
	b->len = b->cap;
	tierpool_put(b);
	cr_assert_eq(reported.calls, 0);
	cr_assert_eq(stats().borrowed, 0);
}

Test(misuse, a_put_that_is_not_plain_is_reported_with_a_length_beyond_the_capacity)
{
	tierpool_buf *b = get();

	tierpool_on_misuse(report_note);
	tierpool_buf_secret(b);
	expect_length_refused(b);
	b = get();
	cr_assert_eq(tierpool_buf_append(b, NULL, 1), -EINVAL);
	expect_length_refused(b);
	expect_length_refused((tierpool_get)(misused)); /* of a place that is new: recorded */
}

Test(misuse, where_there_is_no_fast_way_each_put_is_reported_with_a_length_beyond_the_capacity)
{
	tierpool_buf *b = get();

	if (b->tp_state == TP_BUFSTATE_FAST)
		skip("on the fast way a put looks at the state only");
	tierpool_on_misuse(report_note);
	expect_length_refused(b);
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
	b = (tierpool_get_sized)(misused, 2 << 20); /* freed: above max_size */
	tierpool_put(b);
	expect_refused(&calls[0], b, NAME, "put twice");
	b = idle(); /* freed by a trim */
	tierpool_trim(misused, 0);
	expect_refused(&calls[0], b, NAME, "put twice");
	tierpool_retain_set(misused, TIERPOOL_RETAIN_NONE);
	b = idle(); /* freed: nothing is kept */
	expect_refused(&calls[0], b, NAME, "put twice");
	tierpool_retain_set(misused, 1 << 20);
	b = idle(); /* in a stack or a depot */
	other = get();
	cr_assert_eq(other, b, "calls after its put do not keep a buffer from being lent again");
	tierpool_put(other);
	expect_refused(&calls[0], b, NAME, "put twice");
	other = (tierpool_get_sized)(misused, 100); /* which keeps the destroyed pool there */
	cr_assert_eq(tierpool_destroy(misused), 1);
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
	tierpool_trim(misused, 0);
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
