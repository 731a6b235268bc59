/* SPDX-License-Identifier: MIT */
/*
 * The reaper where no thread can be had, one that starts while another ends, and the first that starts
 * during a fork.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "child.h"
#include "idle/decay.h"
#include "process/reaper.h"
#include "process/registry.h"
#include "reaper_checks.h"
#include "reaper_system.h"
#include "syscall_hook.h"

TestSuite(reaper, .timeout = 90);

/* ---- no thread ---- */

Test(reaper, without_a_thread_it_does_not_start_and_counts_nothing)
{
	sigset_t before, after;

	kernel.no_thread = true;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(reaper_try_to_start(), -EAGAIN);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int number = 1; number < SIGRTMIN; number++)
		cr_assert_eq(sigismember(&after, number), sigismember(&before, number));
	cr_assert_eq(reapers(NULL), 0);
	cr_assert_not(tp_reaper_count().running);
	kernel.no_thread = false;
	/* One start counts as one, whatever came before. */
	reaper_start();
	cr_assert_eq(reapers(NULL), 1);
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
}

/* ---- two at a time ---- */

static sem_t may_sleep; /* the first thread that is about to sleep */
static bool waits;      /* it does so */

/* The operation of a call is the same with FUTEX_PRIVATE_FLAG and without. */
static bool is_sleep(long number, const long argument[6])
{
	return number == SYS_futex && (argument[1] & 127) == 0;
}

static void hold_first_sleep(long number, const long argument[6])
{
	bool first = false;

	if (is_sleep(number, argument) && tp_cas_strong_acq_rel(&waits, &first, true))
		while (sem_wait(&may_sleep))
			;
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
	sem_init(&may_sleep, 0, 0);
	tp_store_release(&syscall_before, hold_first_sleep);
	reaper_start();
	cr_assert(comes_true(tp_load_acquire(&waits)));
	pthread_create(&stopper, NULL, stop, NULL);
	cr_assert(comes_true(!tp_reaper_count().running));
	reaper_start();
	/* The new one is woken for what is kept. */
	objects_give(cache, 100);
	cr_assert(comes_true(objects_destroyed() == 100));
	usleep(20000);
	sem_post(&may_sleep);
	pthread_join(stopper, NULL);
	cr_assert(comes_true(reapers(NULL) == 1));
	objects_give(cache, 100);
	cr_assert(comes_true(objects_destroyed() == 200));
	tierpool_reaper_stop();
	cache_end(cache);
}

/* What is kept between the walk and the sleep. */
Test(reaper, one_that_is_about_to_sleep_does_not_miss_a_wake)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);

	sem_init(&may_sleep, 0, 0);
	tp_store_release(&syscall_before, hold_first_sleep);
	reaper_start();
	cr_assert(comes_true(tp_load_acquire(&waits)));
	objects_give(cache, 100);
	sem_post(&may_sleep);
	cr_assert(comes_true(objects_destroyed() == 100));
	tierpool_reaper_stop();
	cache_end(cache);
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

static void *start_first(void *unused)
{
	reaper_start();
	return unused;
}

/* The start has a lock while it reads. */
Test(reaper, a_fork_during_the_very_first_start_leaves_the_child_one_that_starts)
{
	pthread_t starter;
	pid_t child;

	kernel_hold_reading();
	pthread_create(&starter, NULL, start_first, NULL);
	kernel_await_reading();
	child = fork();
	if (!child) {
		alarm(20);
		_exit(reaper_try_to_start());
	}
	cr_assert_eq(child_await(child), 0);
	pthread_join(starter, NULL);
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
}
