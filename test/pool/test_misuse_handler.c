/* SPDX-License-Identifier: MIT */
/*
 * The handler of misuse: what it may do, and how it may leave.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

#include <tierpool/pool.h>
#include <tierpool/stats.h>

#include "child.h"
#include "misuse_calls.h"
#include "process/registry.h"

TestSuite(misuse_handler, .init = misuse_start);

static size_t references(void)
{
	return ((struct tp_registered *)(void *)misused)->references;
}

static jmp_buf out;

static void report_and_jump(const char *name, const char *what, const tierpool_buf *b)
{
	report_note(name, what, b);
	longjmp(out, 1);
}

/* Makes the call, out of which the handler jumps. It leaves no reference, and changes nothing. */
static void expect_jump(const struct call *c, tierpool_buf *b, const char *what)
{
	size_t held = references();
	struct tierpool_stats before = stats(), after;
	tierpool_buf header;

	memcpy(&header, b, sizeof header);
	if (!setjmp(out)) {
		c->call(b);
		cr_assert_fail("%s came back", c->name);
	}
	expect_reported(b, NAME, what);
	cr_assert_eq(memcmp(&header, b, sizeof header), 0, "%s wrote the header", c->name);
	cr_assert_eq(references(), held, "%s holds one", c->name);
	after = stats();
	cr_assert_eq(memcmp(&before, &after, sizeof after), 0, "%s was counted", c->name);
}

Test(misuse_handler, may_jump_out_of_each_call_and_all_goes_on)
{
	tierpool_buf *b = idle();
	pid_t child;

	tierpool_on_misuse(report_and_jump);
	for (size_t i = 0; i < CALLS; i++)
		expect_jump(&calls[i], b, i ? "used after it was put" : "put twice");
	b = get();
	for (size_t i = 1; i < CALLS_OF_LENGTH; i++) {
		b->len = b->cap + 1;
		expect_jump(&calls[i], b, "its length is beyond its capacity");
	}
	tierpool_buf_reset(b);
	tierpool_buf_secret(b);
	b->len = b->cap + 1;
	expect_jump(&calls[0], b, "its length is beyond its capacity");
	b->len = 0;
	cr_assert_not_null(tierpool_buf_open(b));
	expect_jump(&calls[0], b, "put while its stream is open");
	/* All locks are free: these take each of them. */
	cr_assert_eq(tierpool_buf_append_str(b, "on it goes"), 0);
	tierpool_trim(NULL, 0);
	child = fork();
	if (!child)
		_exit(0);
	cr_assert_eq(child_await(child), 0);
	cr_assert_eq(tierpool_destroy(misused), 1);
}

static void *put_and_exit(void *buffer)
{
	tierpool_put(buffer);
	return buffer;
}

static void report_and_exit(const char *name, const char *what, const tierpool_buf *b)
{
	report_note(name, what, b);
	pthread_exit(NULL);
}

Test(misuse_handler, may_end_its_thread)
{
	tierpool_buf *b = idle();
	size_t held = references();
	pthread_t thread;
	void *returned = b;

	tierpool_on_misuse(report_and_exit);
	cr_assert_eq(pthread_create(&thread, NULL, put_and_exit, b), 0);
	cr_assert_eq(pthread_join(thread, &returned), 0);
	cr_assert_null(returned, "the thread went on");
	expect_reported(b, NAME, "put twice");
	cr_assert_eq(references(), held);
}

static void report_and_destroy(const char *name, const char *what, const tierpool_buf *b)
{
	report_note(name, what, b);
	cr_assert_eq(tierpool_destroy(misused), 0);
	cr_assert_eq(tierpool_tick(misused), 0, "the pool is gone");
	cr_assert_str_eq(name, NAME);
}

Test(misuse_handler, may_destroy_the_pool)
{
	tierpool_buf *b = idle();

	tierpool_on_misuse(report_and_destroy);
	tierpool_put(b);
	expect_reported(b, NAME, "put twice");
}

static size_t name_length;

static void report_length(const char *name, const char *what, const tierpool_buf *b)
{
	report_note(name, what, b);
	name_length = strlen(name);
}

Test(misuse_handler, is_told_of_a_long_name_the_first_255_bytes)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	char name[1000];
	tierpool_buf *b;

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = 0;
	options.name = name;
	cr_assert_eq(tierpool_destroy(misused), 0);
	cr_assert_eq(tierpool_create(&misused, &options), 0);
	b = idle();
	tierpool_on_misuse(report_length);
	tierpool_put(b);
	cr_assert_eq(reported.calls, 1);
	cr_assert_eq(name_length, 255);
}
