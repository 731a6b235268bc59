/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_DEBUG=leaks: each buffer that is not put is reported, when its pool is destroyed and when
 * the process exits; and no other one.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "allocations.h"
#include "base/atomic.h"
#include "profiled_program.h"

TestSuite(leaks, .init = folder_new, .fini = folder_end, .timeout = 100);

#define LEAKS "TIERPOOL_DEBUG=leaks"
#define AT_DESTROY(pool) "tierpool: pool " pool " is destroyed: "
#define AT_EXIT "tierpool: at the end of the process: "

static void assert_said(unsigned times, const char *what)
{
	cr_assert_eq(occurrences(program_said, what), times, "%u times \"%s\" in:\n%s",
		occurrences(program_said, what), what, program_said);
}

/* ---- what is reported ---- */

static tierpool_site here = TIERPOOL_SITE_INIT("here"), there = TIERPOOL_SITE_INIT("there");

/* Keeps a call from being the last thing that a function does, which compilers turn into a jump. */
#define STAYS() __asm__ volatile("" ::: "memory")

__attribute__((noinline)) static void forgets_one(tierpool *pool, tierpool_site *site)
{
	(void)borrow(pool, site);
	STAYS();
}

__attribute__((noinline)) static void forgets_some(tierpool *pool, tierpool_site *site, unsigned n)
{
	while (n--) {
		forgets_one(pool, site);
		borrow_and_put(pool, site);
	}
	STAYS();
}

static void forgets_in_two_pools(void)
{
	tierpool *a = MAKE(.name = "pool a"), *b = MAKE(.name = "pool b");

	forgets_some(a, &here, 3);
	forgets_some(b, &there, 2);
	forgets_one(b, &here);
	NEED(tierpool_destroy(a) == 3);
}

Test(leaks, are_reported_by_site_and_stack_of_the_pool_that_is_destroyed_and_of_all_at_exit)
{
	const char *at_exit;

	program_run_in(forgets_in_two_pools, LEAKS);
	at_exit = strstr(program_said, AT_EXIT);
	cr_assert_not_null(at_exit, "%s", program_said);
	cr_assert_eq(strstr(program_said, AT_DESTROY("pool a") "3 buffers are out, 3K bytes\n"),
		program_said, "%s", program_said);
	assert_said(1, AT_EXIT "6 buffers are out, 6K bytes\n");
	assert_said(2, "  3 out, 3K bytes, from test/profile/test_leaks.c:");
	assert_said(2, " here of pool a\n");
	assert_said(1, " there of pool b\n");
	assert_said(1, " here of pool b\n");
	cr_assert_lt(strstr(program_said, " here of pool a\n"), at_exit);
	cr_assert_gt(strstr(program_said, " there of pool b\n"), at_exit);
	cr_assert_gt(strstr(program_said, " here of pool b\n"), at_exit);
	/* Functions that no dynamic linker knows. */
	cr_assert_geq(occurrences(program_said, "      forgets_one\n"), 4, "%s", program_said);
	cr_assert_geq(occurrences(program_said, "      forgets_some\n"), 3, "%s", program_said);
}

static void forgets_of_the_default_pool(void)
{
	(void)borrow(tierpool_default(), &here);
	(void)!(tierpool_get)(tierpool_default());
	NEED(tierpool_destroy(tierpool_default()) == 2);
}

Test(leaks, of_the_default_pool_are_reported_at_exit)
{
	program_run_in(forgets_of_the_default_pool, LEAKS);
	assert_said(0, "is destroyed");
	assert_said(1, AT_EXIT "2 buffers are out");
	assert_said(1, " here of tierpool\n");
	assert_said(1, "from (calls without a site) of tierpool\n");
}

static void forgets_sizes(void)
{
	tierpool *pool = MAKE(.name = "pool");
	tierpool_buf *b = tierpool_get_at(pool, 100, &here);

	NEED(b && tierpool_get_at(pool, 5000, &there) && tierpool_get_at(pool, 20 * MIB, &there));
	NEED(!tierpool_buf_reserve(b, 100000));
	tierpool_put(tierpool_get_at(pool, 30 * MIB, &there));
}

Test(leaks, have_the_size_that_they_have_grown_to)
{
	program_run_in(forgets_sizes, LEAKS);
	assert_said(1, AT_EXIT "3 buffers are out");
	assert_said(1, "  1 out, 128K bytes, from test/profile/test_leaks.c:");
	assert_said(1, "  1 out, 8K bytes, from test/profile/test_leaks.c:");
	assert_said(1, "  1 out, 20M bytes, from test/profile/test_leaks.c:");
}

/* ---- what is not reported ---- */

static tierpool *shared;
static tierpool_buf *handed;

static void *puts_it(void *unused)
{
	NEED(!tierpool_buf_reserve(handed, 10000));
	tierpool_put(handed);
	handed = borrow(shared, &there);
	return unused;
}

static void hands_over(void)
{
	pthread_t thread;

	shared = MAKE(.name = "pool");
	handed = borrow(shared, &here);
	NEED(!pthread_create(&thread, NULL, puts_it, NULL) && !pthread_join(thread, NULL));
	tierpool_put(handed);
	program_use(shared, 1000);
	NEED(!tierpool_destroy(shared));
}

static void puts_after_the_destroy(void)
{
	tierpool *pool = MAKE(.name = "pool");
	tierpool_buf *b = borrow(pool, &here);

	NEED(tierpool_destroy(pool) == 1);
	tierpool_put(b);
}

static tierpool_buf *put_at_last;

/* As a program does that frees all that it has: it may be linked with the static library. */
__attribute__((destructor)) static void put_it_at_last(void)
{
	tierpool_put(put_at_last);
}

static void puts_at_last(void)
{
	put_at_last = borrow(MAKE(.name = "pool"), &here);
}

Test(leaks, are_none_if_all_is_put_whenever_and_by_whom)
{
	program_run_in(hands_over, LEAKS);
	cr_assert_str_eq(program_said, "");
	program_run_in(puts_at_last, LEAKS);
	cr_assert_str_eq(program_said, "");
	program_run_in(puts_after_the_destroy, LEAKS);
	assert_said(1, AT_DESTROY("pool") "1 buffer is out, 1K bytes\n");
	assert_said(0, AT_EXIT);
}

Test(leaks, are_not_reported_without_the_word)
{
	program_run_in(forgets_in_two_pools, "TIERPOOL_PROFILE=out");
	cr_assert_str_eq(program_said, "");
}

/* ---- many ---- */

#define THREADS 4
#define EACH (SANITIZED ? 10000u : 50000u)
#define FORGOTTEN 17

static uint32_t borrowed;

/* Holds some at a time, which grow now and then; forgets those whose turns are so. */
static void *borrows_many(void *unused)
{
	tierpool_buf *held[8] = {NULL};

	for (unsigned i = 0; i < EACH; i++) {
		tierpool_buf **slot = &held[i % 8];

		tierpool_put(*slot);
		*slot = NULL;
		if (tp_add_relaxed(&borrowed, 1u) % (THREADS * EACH / FORGOTTEN + 1) == 7) {
			forgets_one(shared, &there);
			continue;
		}
		*slot = borrow(shared, &here);
		NEED(i % 16 || !tierpool_buf_reserve(*slot, (*slot)->cap));
	}
	for (unsigned i = 0; i < 8; i++)
		tierpool_put(held[i]);
	return unused;
}

static void forgets_seventeen_of_many(void)
{
	pthread_t thread[THREADS];

	shared = MAKE(.name = "pool");
	for (unsigned i = 0; i < THREADS; i++)
		NEED(!pthread_create(&thread[i], NULL, borrows_many, NULL));
	for (unsigned i = 0; i < THREADS; i++)
		NEED(!pthread_join(thread[i], NULL));
	NEED(tierpool_destroy(shared) == FORGOTTEN);
}

Test(leaks, of_many_borrows_by_four_threads_are_exactly_those_that_were_forgotten)
{
	program_run_in(forgets_seventeen_of_many, LEAKS);
	assert_said(1, AT_DESTROY("pool") "17 buffers are out");
	assert_said(1, AT_EXIT "17 buffers are out");
	assert_said(2, "  17 out, ");
	assert_said(2, " there of pool\n");
	assert_said(0, " here of pool");
	cr_assert_eq(occurrences(program_said, "borrows_many"), 2, "%s", program_said);
}

Test(leaks, are_found_whatever_else_is_asked_for)
{
	static const char *const debug[] = {"TIERPOOL_DEBUG=leaks,check",
		"TIERPOOL_DEBUG=poison,leaks", "TIERPOOL_DEBUG=leaks,check,poison",
		"TIERPOOL_DEBUG=unpooled,leaks", LEAKS};

	for (size_t i = 0; i < sizeof debug / sizeof *debug; i++) {
		program_run_in(forgets_in_two_pools, debug[i], "TIERPOOL_TRACE=trace",
			"TIERPOOL_PROFILE=out", "TIERPOOL_PROFILE_SIGNAL=USR2");
		assert_said(1, AT_DESTROY("pool a") "3 buffers are out, 3K bytes\n");
		assert_said(1, AT_EXIT "6 buffers are out, 6K bytes\n");
		cr_assert_eq(files(), 2);
		cr_assert(strstr(file_text("out"), "Sums are exact"));
		cr_assert_gt(strlen(file_text("trace")), 6);
	}
}

/* ---- in hard programs ---- */

static void profiles_itself(void)
{
	tierpool *pool = MAKE(.name = "pool");
	FILE *nowhere = fopen("/dev/null", "w");

	forgets_one(pool, &here);
	NEED(tierpool_profile_start(0) == -EALREADY);
	forgets_one(pool, &here);
	NEED(nowhere && !tierpool_profile_write(nowhere, TIERPOOL_PROFILE_TEXT));
	fclose(nowhere);
	tierpool_profile_stop();
	forgets_one(pool, &here);
	NEED(tierpool_profile_start(0) == -EALREADY);
}

Test(leaks, are_all_found_in_a_program_that_profiles_itself)
{
	program_run_in(profiles_itself, LEAKS);
	assert_said(1, AT_EXIT "3 buffers are out, 3K bytes\n");
}

static void *is_cancelled(void *ended)
{
	tierpool *pool = MAKE(.name = "pool");

	forgets_one(pool, &here);
	pthread_cancel(pthread_self());
	NEED(tierpool_destroy(pool) == 1);
	*(bool *)ended = true;
	pthread_testcancel();
	NEED(false);
	return NULL;
}

static void is_cancelled_before_a_destroy(void)
{
	pthread_t thread;
	bool ended = false;

	/* The first pool of a process may be cancelled when it warns of the environment. */
	tierpool_destroy(MAKE(.name = "first"));
	NEED(!pthread_create(&thread, NULL, is_cancelled, &ended) && !pthread_join(thread, NULL));
	NEED(ended);
}

Test(leaks, are_reported_by_a_destroy_that_is_not_cancelled)
{
	program_run_in(is_cancelled_before_a_destroy, LEAKS);
	assert_said(1, AT_DESTROY("pool") "1 buffer is out, 1K bytes\n");
	assert_said(1, AT_EXIT "1 buffer is out, 1K bytes\n");
}

static void forks(void)
{
	tierpool *pool = MAKE(.name = "pool");
	tierpool_buf *b = borrow(pool, &there);
	int status;
	pid_t child;

	forgets_one(pool, &there);
	child = fork();
	if (!child) {
		alarm(20);
		tierpool_put(b);
		forgets_some(pool, &here, 2);
		exit(0);
	}
	NEED(waitpid(child, &status, 0) == child && status == 0);
	fputs("-- the parent\n", stderr);
	tierpool_put(b);
}

Test(leaks, of_a_child_are_its_own)
{
	const char *parent;

	program_run_in(forks, LEAKS);
	parent = strstr(program_said, "-- the parent\n");
	assert_said(1, AT_EXIT "2 buffers are out, 2K bytes\n");
	assert_said(1, AT_EXIT "1 buffer is out, 1K bytes\n");
	assert_said(1, " here of pool\n");
	assert_said(1, " there of pool\n");
	cr_assert(strstr(program_said, " here of pool\n") < parent &&
			  parent < strstr(program_said, " there of pool\n"),
		"%s", program_said);
}

/* ---- without memory ---- */

static void borrows_without_memory(void)
{
	tierpool *pool = MAKE(.name = "pool");

	/* The pool has pages of its own. */
	borrow_and_put(pool, &there);
	allocation_fails = (struct failing){1, true};
	for (unsigned i = 0; i < 100; i++)
		borrow_and_put(pool, &here);
	allocation_fails.at = 0;
	forgets_one(pool, &here);
}

Test(leaks, that_cannot_be_recorded_are_said_to_be_missing)
{
	program_run_in(borrows_without_memory, LEAKS);
	assert_said(1, AT_EXIT "1 buffer is out, 1K bytes\n");
	assert_said(1, "  and what is out of 100 more gets: they are not recorded\n");
}

static unsigned nth;

static void has_no_memory_at_the_end(void)
{
	tierpool *pool = MAKE(.name = "pool");

	forgets_some(pool, &here, 3);
	allocation_fails = (struct failing){nth, true};
}

Test(leaks, are_reported_without_names_if_there_is_no_memory_for_them)
{
	static const char nothing[] =
		"tierpool: TIERPOOL_DEBUG=leaks: no memory to report what is out\n";
	unsigned unreported = 0, unnamed = 0;

	for (nth = 1; nth < 12; nth++) {
		program_run_in(has_no_memory_at_the_end, LEAKS);
		if (!strcmp(program_said, nothing)) {
			unreported++;
			continue;
		}
		assert_said(1, AT_EXIT "3 buffers are out, 3K bytes\n");
		assert_said(1, " here of pool\n");
		unnamed += occurrences(program_said, "      0x") > 0;
	}
	cr_assert(unreported && unnamed, "%u, %u", unreported, unnamed);
}
