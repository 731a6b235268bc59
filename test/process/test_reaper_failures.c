/* SPDX-License-Identifier: MIT */
/*
 * The reaper where calls fail, what it leaves behind, one that starts while another ends, and the
 * first that starts during a fork.
 */
#include "child.h"
#include "reaper_system.h"

#include <sys/ioctl.h>

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

/* ---- what it leaves behind ---- */

#define NUMBERS 64 /* of files, from 0; more than are open here */

static void files_look(bool is_open[NUMBERS])
{
	for (int i = 0; i < NUMBERS; i++)
		is_open[i] = fcntl(i, F_GETFD) >= 0;
}

static void run_once(void)
{
	start();
	tierpool_reaper_stop();
}

static void run_in_vain(void)
{
	kernel.no_thread = true;
	cr_assert_eq(try_to_start(), -EAGAIN);
	kernel.no_thread = false;
}

static void run_without_memory(void)
{
	kernel.no_memory = true;
	cr_assert_eq(try_to_start(), -ENOMEM);
	kernel.no_memory = false;
}

/* And closes the test's own ends of its files. */
static void run_and_close(void (*run)(void))
{
	run();
	for (unsigned i = 0; i < FILES; i++)
		close(kernel.ours[i]);
}

static void leaves_no_file_open(void (*run)(void))
{
	bool before[NUMBERS], after[NUMBERS];

	files_look(before);
	run_and_close(run);
	files_look(after);
	for (unsigned i = 0; i < NUMBERS; i++)
		cr_assert_eq(after[i], before[i], "file %u", i);
}

Test(reaper_failures, while_it_runs_three_files_are_open)
{
	bool before[NUMBERS], during[NUMBERS];
	unsigned opened = 0;

	files_look(before);
	run_and_close(start);
	files_look(during);
	for (unsigned i = 0; i < NUMBERS; i++)
		opened += during[i] && !before[i];
	cr_assert_eq(opened, 3);
	tierpool_reaper_stop();
}

Test(reaper_failures, after_the_last_stop_no_file_is_open)
{
	leaves_no_file_open(run_once);
}

Test(reaper_failures, after_a_start_in_vain_no_file_is_open)
{
	leaves_no_file_open(run_in_vain);
}

Test(reaper_failures, after_a_start_without_memory_no_file_is_open)
{
	if (SANITIZED)
		skip("the sanitizer has malloc for itself");
	if (under_valgrind())
		skip("Valgrind has malloc for itself");
	leaves_no_file_open(run_without_memory);
}

static int unread(int file)
{
	int bytes;

	cr_assert_eq(ioctl(file, FIONREAD, &bytes), 0);
	return bytes;
}

/* The program closes what it did not open, and opens files of its own. */
static void leaves_numbers_alone(void (*run)(void))
{
	tierpool_cache *cache[2];
	bool before[NUMBERS];
	tierpool *pool;
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	files_look(before);
	run_and_close(run);
	for (int i = 0; i < NUMBERS; i++)
		if (!before[i])
			cr_assert_eq(dup2(pair[0], i), i);
	cache[0] = cache_new(.destroy = object_destroy, .decay_ms = 1);
	objects_give(cache[0], 100);
	pool = pool_new(.decay_ms = 1);
	fill(pool);
	cr_assert_eq(unread(pair[1]), 0, "a put wrote into a file of the program");
	cr_assert_eq(write(pair[1], "of the program", 14), 14);
	start();
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 100));
	cr_assert(comes_true(!stats_of(pool).idle));
	cr_assert(falls_asleep());
	cache[1] = cache_new(.destroy = object_destroy, .decay_ms = 1);
	objects_give(cache[1], 100);
	cr_assert(comes_true(tp_load_relaxed(&objects.destroyed) == 200));
	tierpool_reaper_stop();
	cr_assert_eq(unread(pair[0]), 14, "the reaper read from a file of the program");
	cr_assert_eq(unread(pair[1]), 0);
	cache_end(cache[0]);
	cache_end(cache[1]);
	tierpool_destroy(pool);
}

Test(reaper_failures, after_the_last_stop_it_leaves_the_program_s_files_alone)
{
	leaves_numbers_alone(run_once);
}

Test(reaper_failures, after_a_start_in_vain_it_leaves_the_program_s_files_alone)
{
	leaves_numbers_alone(run_in_vain);
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
