/* SPDX-License-Identifier: MIT */
/*
 * The profile started, stopped and written while threads borrow, pools come and go, and the process
 * forks: no get is lost or recorded twice, no pool counts otherwise, and a child can use it at once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tierpool/profile.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "pool_checks.h"
#include "profile/samples_table.h"
#include "profile/snapshot.h"

#define THREADS 4
#define EACH (SANITIZED ? 5000u : 40000u)
#define FORMATS 5
#define SLOTS 8

static tierpool *pool;
static tierpool_site site[2] = {TIERPOOL_SITE_INIT("a"), TIERPOOL_SITE_INIT("b")};
static tierpool_buf *handed[SLOTS];
static uint32_t working, ended;
static bool endless; /* threads borrow until ended */

/* Threads do not assert: what they find is a line, and the end of the process. */
static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

/* Borrows, grows now and then, and hands on: what it puts another thread has borrowed. */
static void *works(void *seed)
{
	uint64_t random = (uint64_t)(uintptr_t)seed;

	for (unsigned i = 0; endless ? !tp_load_relaxed(&ended) : i < EACH; i++) {
		unsigned dice = (unsigned)next_random(&random);
		tierpool_buf *b = tierpool_get_at(pool, dice % 3 ? 1000 : 0, &site[dice / 3 % 2]);

		must(b, "a get succeeds");
		must(dice % 7 || !tierpool_buf_reserve(b, dice % 20000), "a growth succeeds");
		tierpool_put(tp_exchange_acq_rel(&handed[dice / 64 % SLOTS], b));
	}
	tp_sub_relaxed(&working, 1u);
	return NULL;
}

static pthread_t thread[THREADS];

static void threads_start(void)
{
	tp_store_relaxed(&working, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, works, (void *)(i + 1)), 0);
}

static void threads_end(void)
{
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_join(thread[i], NULL), 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		tierpool_put(handed[i]);
		handed[i] = NULL;
	}
}

static void start(void)
{
	pool = pool_new(.name = "pool");
}

static void end(void)
{
	struct tierpool_stats s = at_rest(pool);

	cr_assert_eq(s.borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

TestSuite(control_threads, .init = start, .fini = end, .timeout = 200);

/* Writes it in a format, and finds it whole, or not there if it must not. */
static void write_once(unsigned format)
{
	FILE *nowhere = fopen("/dev/null", "w");

	must(nowhere && !tierpool_profile_write(nowhere, format), "a profile can be written");
	fclose(nowhere);
}

static void assert_recorded(double gets)
{
	struct tp_snapshot *s = tp_snapshot_take();
	double seen = 0, out = 0, by_stack = 0;

	cr_assert_not_null(s);
	for (size_t i = 0; i < s->sites; i++) {
		seen += s->site[i].gets.sum;
		out += s->site[i].out.sum;
	}
	for (size_t i = 0; i < s->stacks; i++)
		by_stack += s->stack[i].gets;
	cr_assert_eq(seen, gets, "%.0f of %.0f", seen, gets);
	cr_assert_eq(by_stack, gets);
	cr_assert_eq((double)s->samples, gets);
	cr_assert_eq(s->dropped, 0);
	cr_assert_eq(out, 0);
	tp_snapshot_free(s);
}

Test(control_threads, each_get_is_recorded_once_while_it_is_written)
{
	uint64_t before = at_rest(pool).gets;

	cr_assert_eq(tierpool_profile_start(1), 0);
	threads_start();
	for (unsigned i = 0; tp_load_relaxed(&working); i++)
		write_once(i % FORMATS);
	threads_end();
	tierpool_profile_stop();
	cr_assert_eq(at_rest(pool).gets - before, THREADS * EACH);
	assert_recorded(THREADS * EACH);
}

/* ---- started and stopped ---- */

static const size_t sample_bytes[] = {0, 1, 10000, 1000000};

static void toggle(unsigned i)
{
	must(!tierpool_profile_start(sample_bytes[i % 4]), "it starts");
	must(tierpool_profile_start(0) == -EALREADY, "it runs");
	write_once(i % FORMATS);
	tierpool_profile_stop();
}

static void *toggles(void *unused)
{
	for (unsigned i = 0; !tp_load_relaxed(&ended); i++)
		toggle(i);
	return unused;
}

static void *makes_pools(void *unused)
{
	while (!tp_load_relaxed(&ended)) {
		tierpool *one;
		tierpool_buf *b;

		must(!tierpool_create(&one, NULL), "a pool is made");
		b = tierpool_get_at(one, 0, &site[0]);
		must(b, "a get succeeds");
		tierpool_put(tierpool_get_at(one, 5000, &site[1]));
		must(tierpool_destroy(one) == 1, "one is borrowed");
		tierpool_put(b);
	}
	return unused;
}

Test(control_threads, starts_and_stops_while_threads_borrow_and_pools_come_and_go)
{
	pthread_t other;

	endless = true;
	cr_assert_eq(pthread_create(&other, NULL, makes_pools, NULL), 0);
	threads_start();
	for (unsigned i = 0; i < (SANITIZED ? 60 : 600); i++)
		toggle(i);
	tp_store_relaxed(&ended, 1u);
	threads_end();
	cr_assert_eq(pthread_join(other, NULL), 0);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	/* Whatever was drawn before, from now on each get is one. */
	cr_assert_eq(tierpool_profile_start(1), 0);
	for (unsigned i = 0; i < 1000; i++)
		tierpool_put(tierpool_get_at(pool, i % 2 ? 1000 : 0, &site[i % 2]));
	tierpool_profile_stop();
	assert_recorded(1000);
}

/* ---- forks ---- */

/* The child has one thread, and no buffer of the others. */
static void child_uses_it(void)
{
	alarm(30);
	for (unsigned i = 0; i < 3; i++) {
		int error = tierpool_profile_start(1);
		tierpool_buf *b = tierpool_get_at(pool, 0, &site[0]);

		must(!error || error == -EALREADY, "it starts, or runs");
		must(b && !tierpool_buf_reserve(b, 20000), "a buffer grows");
		tierpool_put(b);
		for (unsigned format = 0; format < FORMATS; format++)
			write_once(format);
		tierpool_profile_stop();
	}
	_exit(0);
}

Test(control_threads, a_child_of_a_fork_uses_it_whatever_other_threads_were_doing)
{
	pthread_t other[2];

	if (SANITIZED)
		skip("malloc of a sanitizer may stay locked in the child of a fork");
	cr_assert_eq(pthread_create(&other[0], NULL, toggles, NULL), 0);
	cr_assert_eq(pthread_create(&other[1], NULL, makes_pools, NULL), 0);
	endless = true;
	threads_start();
	for (unsigned i = 0; i < 60; i++) {
		pid_t child = fork();
		int status;

		if (!child)
			child_uses_it();
		cr_assert(waitpid(child, &status, 0) == child && status == 0, "status %#x",
			(unsigned)status);
	}
	tp_store_relaxed(&ended, 1u);
	threads_end();
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(pthread_join(other[i], NULL), 0);
}

static void *starts_first(void *unused)
{
	tp_store_release(&working, 1u);
	tierpool_profile_start(1);
	return unused;
}

/* In a process that has never unwound, of which a fork meets each moment of the first start. */
static int forks_at(unsigned moment)
{
	pthread_t other;
	int status = -1;
	pid_t child;

	must(!pthread_create(&other, NULL, starts_first, NULL), "a thread is made");
	while (!tp_load_acquire(&working))
		sched_yield();
	for (uint64_t begun_ns = tp_clock_ns(); tp_clock_ns() < begun_ns + moment * 2000;)
		continue;
	child = fork();
	if (!child) {
		alarm(30);
		tierpool_profile_start(1);
		tierpool_profile_stop();
		_exit(0);
	}
	waitpid(child, &status, 0);
	pthread_join(other, NULL);
	return status;
}

/* glibc loads the unwinder at its first use; a child that finds it half loaded is ended. */
Test(control_alone, a_fork_waits_for_the_unwinder_to_be_loaded)
{
	if (SANITIZED)
		skip("malloc of a sanitizer may stay locked in the child of a fork");
	for (unsigned moment = 0; moment < 300; moment++) {
		pid_t process = fork();
		int status;

		if (!process)
			_exit(forks_at(moment) != 0);
		cr_assert_eq(waitpid(process, &status, 0), process);
		cr_assert_eq(status, 0, "at %u us: %#x", moment * 2, (unsigned)status);
	}
}

/* As a thread that records a sample. */
static void *holds_the_lock(void *unused)
{
	tp_lock_take(&tp_samples.lock);
	tp_store_release(&working, 1u);
	usleep(200000);
	tp_lock_give(&tp_samples.lock);
	return unused;
}

/* Of a suite of its own, which makes no pool. */
Test(control_alone, a_child_can_use_it_though_no_pool_was_made_before_the_fork)
{
	pthread_t holder;
	int status;
	pid_t child;

	cr_assert_eq(tierpool_profile_start(1), 0);
	cr_assert_eq(pthread_create(&holder, NULL, holds_the_lock, NULL), 0);
	while (!tp_load_acquire(&working))
		usleep(100);
	child = fork();
	if (!child) {
		alarm(5);
		tierpool_profile_stop();
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "%x", status);
	pthread_join(holder, NULL);
}
