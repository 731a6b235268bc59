/* SPDX-License-Identifier: MIT */
/*
 * The reaper where calls fail, one that starts while another ends, and the first that starts during
 * a fork.
 */
#include "child.h"
#include "reaper_system.h"

TestSuite(reaper_failures, .timeout = 90);

/* ---- calls that fail ---- */

static void assert_fails(int error)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(try_to_start(), error);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int number = 1; number < SIGRTMIN; number++)
		cr_assert_eq(sigismember(&after, number), sigismember(&before, number));
	cr_assert_eq(reapers(NULL), 0);
}

/* One start counts as one, whatever came before. */
static void assert_starts(void)
{
	start();
	cr_assert_eq(reapers(NULL), 1);
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
}

Test(reaper_failures, without_memory_it_does_not_start_and_counts_nothing)
{
	if (SANITIZED)
		skip("the sanitizer has malloc for itself");
	if (under_valgrind())
		skip("Valgrind has malloc for itself");
	kernel.no_memory = true;
	assert_fails(-ENOMEM);
	kernel.no_memory = false;
	assert_starts();
}

Test(reaper_failures, without_a_thread_it_does_not_start_and_leaves_no_file_open)
{
	kernel.no_thread = true;
	assert_fails(-EAGAIN);
	assert_asked(OF_SYSTEM);
	cr_assert(is_closed(OF_SYSTEM));
	kernel.no_thread = false;
	assert_starts();
}

Test(reaper_failures, where_it_may_not_wait_for_anything_it_ticks_without_spinning)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 20);

	start();
	cr_assert(falls_asleep());
	tp_store_relaxed(&kernel.no_poll, true);
	for (unsigned i = 1; i <= 3; i++) {
		unsigned polls = tp_load_relaxed(&kernel.polls);

		objects_give(cache, 100);
		cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 100 * i));
		/* A few at each of its ticks; one that spins makes hundred thousands of them. */
		cr_assert_lt(tp_load_relaxed(&kernel.polls) - polls, 1000);
	}
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
	cache_end(cache);
}

Test(reaper_failures, one_whose_files_the_program_closes_ticks_without_spinning)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 20);

	start();
	/* It has to come to its next poll, to see that they are gone. */
	objects_give(cache, 1);
	cr_assert(comes_true(tp_load_acquire(&kernel.listening)));
	for (unsigned i = 0; i < FILES_MOST; i++)
		if (kernel.polled[i] >= 0)
			close(kernel.polled[i]);
	for (unsigned i = 1; i <= 3; i++) {
		unsigned polls = tp_load_relaxed(&kernel.polls);

		objects_give(cache, 100);
		cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 1 + 100 * i));
		cr_assert_lt(tp_load_relaxed(&kernel.polls) - polls, 1000);
	}
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
	cache_end(cache);
}

/* ---- two at a time ---- */

static sem_t old_may_poll;

static void *stop(void *unused)
{
	tierpool_reaper_stop();
	return unused;
}

Test(reaper_failures, one_that_is_started_does_not_take_the_wake_of_one_that_ends)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);
	pthread_t stopper;

	/* The old one is told to end when it is about to sleep. */
	sem_init(&old_may_poll, 0, 0);
	tp_store_relaxed(&kernel.hold, &old_may_poll);
	start();
	cr_assert(comes_true(!tp_load_relaxed(&kernel.hold)));
	pthread_create(&stopper, NULL, stop, NULL);
	usleep(50000);
	start();
	/* The new one wakes for whatever it is told. */
	objects_give(cache, 100);
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 100));
	usleep(50000);
	sem_post(&old_may_poll);
	pthread_join(stopper, NULL);
	cr_assert(comes_true(reapers(NULL) == 1));
	objects_give(cache, 100);
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 200));
	tierpool_reaper_stop();
	cache_end(cache);
}

static bool is_forking;
static pthread_t first_starter;

static void *start_first(void *unused)
{
	start();
	return unused;
}

/* Once the library's own handlers have run, of those that are there. */
static void during_fork(void)
{
	if (!is_forking)
		return;
	pthread_create(&first_starter, NULL, start_first, NULL);
	usleep(50000);
}

Test(reaper_failures, a_fork_during_the_very_first_start_leaves_the_child_one_that_starts)
{
	sem_t may_open;
	pid_t child;

	/* Before anything of the library is used. Such handlers run last one first. */
	pthread_atfork(during_fork, NULL, NULL);
	cache_end(cache_new(.destroy = object_destroy));
	sem_init(&may_open, 0, 0);
	kernel.hold_open = &may_open;
	is_forking = true;
	child = fork();
	if (!child) {
		alarm(20);
		kernel.hold_open = NULL;
		_exit(try_to_start());
	}
	sem_post(&may_open);
	cr_assert_eq(child_await(child), 0);
	pthread_join(first_starter, NULL);
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
}
