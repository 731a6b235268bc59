/* SPDX-License-Identifier: MIT */
/*
 * The reaper where calls fail, what it leaves behind, one that starts while another ends, and the
 * first that starts during a fork.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "child.h"
#include "cpus.h"
#include "idle/decay.h"
#include "pool_checks.h"
#include "process/registry.h"
#include "reaper_checks.h"
#include "reaper_system.h"
#include "syscall_hook.h"

TestSuite(reaper, .timeout = 90);

/* ---- calls that fail ---- */

static void assert_fails(int error)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(reaper_try_to_start(), error);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int number = 1; number < SIGRTMIN; number++)
		cr_assert_eq(sigismember(&after, number), sigismember(&before, number));
	cr_assert_eq(reapers(NULL), 0);
}

/* One start counts as one, whatever came before. */
static void assert_starts(void)
{
	reaper_start();
	cr_assert_eq(reapers(NULL), 1);
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
}

Test(reaper, without_memory_it_does_not_start_and_counts_nothing)
{
	if (!kernel_has_memory())
		skip("a sanitizer or Valgrind has malloc for itself");
	kernel.no_memory = true;
	assert_fails(-ENOMEM);
	kernel.no_memory = false;
	assert_starts();
}

Test(reaper, without_a_thread_it_does_not_start_and_leaves_no_file_open)
{
	kernel.no_thread = true;
	assert_fails(-EAGAIN);
	kernel_assert_asked(OF_SYSTEM);
	cr_assert(kernel_is_closed(OF_SYSTEM));
	kernel.no_thread = false;
	assert_starts();
}

/* With a cache of which given objects have gone already: it goes on ticking, and sleeps between. */
static void assert_ticks_without_spinning(tierpool_cache *cache, unsigned given)
{
	for (unsigned i = 1; i <= 2; i++) {
		unsigned polls = tp_load_relaxed(&kernel.polls);

		objects_give(cache, 100);
		cr_assert(comes_true(objects_destroyed() == given + 100 * i));
		/* A few at each of its ticks; one that spins makes hundred thousands of them. */
		cr_assert_lt(tp_load_relaxed(&kernel.polls) - polls, 1000);
	}
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
	cache_end(cache);
}

Test(reaper, where_it_may_not_wait_for_anything_it_ticks_without_spinning)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 5);

	reaper_start();
	cr_assert(falls_asleep());
	tp_store_relaxed(&kernel.no_poll, true);
	assert_ticks_without_spinning(cache, 0);
}

Test(reaper, one_whose_files_the_program_closes_ticks_without_spinning)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 5);

	reaper_start();
	/* It has to come to its next poll, to see that they are gone. */
	objects_give(cache, 1);
	cr_assert(comes_true(tp_load_acquire(&kernel.listening)));
	for (unsigned i = 0; i < FILES_MOST; i++)
		if (kernel.polled[i] >= 0)
			close(kernel.polled[i]);
	cr_assert(comes_true(objects_destroyed() == 1));
	assert_ticks_without_spinning(cache, 1);
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
	reaper_start();
	tierpool_reaper_stop();
}

static void run_without_thread(void)
{
	kernel.no_thread = true;
	cr_assert_eq(reaper_try_to_start(), -EAGAIN);
	kernel.no_thread = false;
}

static void run_without_memory(void)
{
	kernel.no_memory = true;
	cr_assert_eq(reaper_try_to_start(), -ENOMEM);
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

Test(reaper, while_it_runs_three_files_are_open)
{
	bool before[NUMBERS], during[NUMBERS];
	unsigned opened = 0;

	files_look(before);
	run_and_close(reaper_start);
	files_look(during);
	for (unsigned i = 0; i < NUMBERS; i++)
		opened += during[i] && !before[i];
	cr_assert_eq(opened, 3);
	tierpool_reaper_stop();
}

Test(reaper, after_the_last_stop_or_a_start_that_failed_no_file_is_open)
{
	leaves_no_file_open(run_once);
	leaves_no_file_open(run_without_thread);
	if (kernel_has_memory())
		leaves_no_file_open(run_without_memory);
}

Test(reaper, in_the_child_of_a_fork_none_of_its_files_is_open)
{
	bool before[NUMBERS], after[NUMBERS];
	pid_t child;

	files_look(before);
	run_and_close(reaper_start);
	child = fork();
	if (!child) {
		files_look(after);
		_exit(memcmp(after, before, sizeof before) != 0);
	}
	cr_assert_eq(child_await(child), 0);
	tierpool_reaper_stop();
}

/* Bytes that wait to be read from a file. */
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
	reaper_start();
	cr_assert(comes_true(objects_destroyed() == 100));
	cr_assert(comes_true(!stats_of(pool).idle));
	cr_assert(falls_asleep());
	cache[1] = cache_new(.destroy = object_destroy, .decay_ms = 1);
	objects_give(cache[1], 100);
	cr_assert(comes_true(objects_destroyed() == 200));
	tierpool_reaper_stop();
	cr_assert_eq(unread(pair[0]), 14, "the reaper read from a file of the program");
	cr_assert_eq(unread(pair[1]), 0);
	cache_end(cache[0]);
	cache_end(cache[1]);
	tierpool_destroy(pool);
}

Test(reaper, after_the_last_stop_it_leaves_the_program_s_files_alone)
{
	leaves_numbers_alone(run_once);
}

Test(reaper, after_a_start_that_failed_it_leaves_the_program_s_files_alone)
{
	leaves_numbers_alone(run_without_thread);
}

/* ---- two at a time ---- */

static sem_t old_may_poll;
static bool raised; /* an event was, while event_is_raised was the hook */

static void event_is_raised(long number, const long argument[6])
{
	(void)argument;
	if (number == SYS_write)
		tp_store_relaxed(&raised, true);
}

static void *stop(void *unused)
{
	tierpool_reaper_stop();
	return unused;
}

Test(reaper, one_that_is_started_does_not_take_the_wake_of_one_that_ends)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);
	pthread_t stopper;

	/* The old one is stopped when it is about to sleep. */
	sem_init(&old_may_poll, 0, 0);
	tp_store_relaxed(&kernel.hold, &old_may_poll);
	reaper_start();
	cr_assert(comes_true(!tp_load_relaxed(&kernel.hold)));
	tp_store_release(&syscall_before, event_is_raised);
	pthread_create(&stopper, NULL, stop, NULL);
	cr_assert(comes_true(tp_load_relaxed(&raised)));
	tp_store_release(&syscall_before, NULL);
	reaper_start();
	/* The new one is woken for what is kept. */
	objects_give(cache, 100);
	cr_assert(comes_true(objects_destroyed() == 100));
	usleep(20000);
	sem_post(&old_may_poll);
	pthread_join(stopper, NULL);
	cr_assert(comes_true(reapers(NULL) == 1));
	objects_give(cache, 100);
	cr_assert(comes_true(objects_destroyed() == 200));
	tierpool_reaper_stop();
	cache_end(cache);
}

static bool event_was_open;

/* The thread that is being stopped finds out by itself, and may end: then it closes its event. */
static void thread_may_end(long number, const long argument[6])
{
	int event = (int)argument[0];

	if (number != SYS_write)
		return;
	tp_store_release(&syscall_before, NULL);
	tp_store_relaxed(&kernel.no_poll, true);
	sem_post(&old_may_poll);
	for (unsigned i = 0; i < 100 && fcntl(event, F_GETFD) >= 0; i++)
		usleep(3000);
	event_was_open = fcntl(event, F_GETFD) >= 0;
	tp_store_relaxed(&kernel.no_poll, false);
}

Test(reaper, one_that_ends_keeps_its_event_until_its_stopper_has_used_it)
{
	sem_init(&old_may_poll, 0, 0);
	tp_store_relaxed(&kernel.hold, &old_may_poll);
	reaper_start();
	cr_assert(comes_true(!tp_load_relaxed(&kernel.hold)));
	tp_store_release(&syscall_before, thread_may_end);
	tierpool_reaper_stop();
	cr_assert_null(tp_load_relaxed(&syscall_before), "it was not stopped by its event");
	cr_assert(event_was_open, "the stop wrote to a file that was closed");
}

/* Something that the reaper looks at and finds empty; during its first look it is stopped. */
static struct {
	struct tp_registered registered;
	uint32_t looks;
	sem_t stopped, may_go;
} watched;

static uint64_t watched_due(struct tp_registered *self)
{
	(void)self;
	if (!tp_add_relaxed(&watched.looks, 1u)) {
		tierpool_reaper_stop();
		sem_post(&watched.stopped);
		while (sem_wait(&watched.may_go))
			;
	}
	return TP_DUE_EMPTY;
}

static void watched_dead(struct tp_registered *self)
{
	(void)self;
}

/* What was kept during its last look may have woken nobody, since it saw it. */
Test(reaper, one_that_ends_has_the_one_that_was_started_since_look_again)
{
	static const struct tp_kind kind = {.dead = watched_dead, .due = watched_due};

	sem_init(&watched.stopped, 0, 0);
	sem_init(&watched.may_go, 0, 0);
	watched.registered.name = "watched";
	watched.registered.kind = &kind;
	tp_registry_add(&watched.registered);
	reaper_start();
	while (sem_wait(&watched.stopped))
		;
	reaper_start();
	cr_assert(comes_true(tp_load_relaxed(&watched.looks) == 2));
	sem_post(&watched.may_go);
	cr_assert(comes_true(tp_load_relaxed(&watched.looks) == 3));
	cr_assert(comes_true(reapers(NULL) == 1));
	cr_assert(falls_asleep());
	tierpool_reaper_stop();
	tp_registry_close(&watched.registered);
	tp_registry_drop(&watched.registered);
}

static bool is_forking;
static pthread_t first_starter;

static void *start_first(void *unused)
{
	reaper_start();
	return unused;
}

/* Once the library's own handlers have run, of those that are there. */
static void during_fork(void)
{
	if (!is_forking)
		return;
	pthread_create(&first_starter, NULL, start_first, NULL);
	usleep(20000);
}

Test(reaper, a_fork_during_the_very_first_start_leaves_the_child_one_that_starts)
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
		_exit(reaper_try_to_start());
	}
	sem_post(&may_open);
	cr_assert_eq(child_await(child), 0);
	pthread_join(first_starter, NULL);
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
}
