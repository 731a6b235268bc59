/* SPDX-License-Identifier: MIT */
/*
 * The reaper and memory pressure: when it looks for it, what it does when the kernel reports it, and
 * where the kernel does not.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "child.h"
#include "cpus.h"
#include "pool_checks.h"
#include "process/reaper.h"
#include "reaper_checks.h"
#include "reaper_system.h"

TestSuite(reaper, .timeout = 90);

/* The reaper looks, once more or for the first time; from now on it has something to compare with. */
static bool looks(void)
{
	unsigned readings = tp_load_relaxed(&kernel.readings);

	kernel_time_passes();
	return comes_true(tp_load_acquire(&kernel.readings) != readings);
}

static void tasks_wait(unsigned which)
{
	kernel_tasks_wait(which);
	kernel_time_passes();
}

Test(reaper, under_pressure_empties_every_pool_and_cache)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	tierpool *pool[2] = {pool_new(.decay_ms = UINT_MAX), pool_new(.decay_ms = 1000000)};
	tierpool_budget *budget; /* it has nothing that could be freed */

	cr_assert_eq(tierpool_budget_create(&budget, 1), 0);
	cr_assert_not(tp_reaper_count().running);
	reaper_start();
	cr_assert(tp_reaper_count().running);
	for (unsigned round = 1; round <= 4; round++) {
		fill(pool[0]);
		fill(pool[1]);
		objects_give(cache, 200);
		cr_assert(looks());
		tasks_wait(round % FILES);
		cr_assert(comes_true(!stats_of(pool[0]).idle));
		cr_assert(comes_true(!stats_of(pool[1]).idle));
		cr_assert(comes_true(objects_destroyed() == 200 * round));
		cr_assert_eq(tp_reaper_count().pressure_trims, round);
	}
	tierpool_reaper_stop();
	cr_assert_not(tp_reaper_count().running);
	cr_assert_eq(tp_reaper_count().ticks, 0);
	tierpool_budget_destroy(budget);
	cr_assert_eq(at_rest(pool[0]).drops_trim, at_rest(pool[0]).frees);
	cache_end(cache);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(tierpool_destroy(pool[i]), 0);
}

Test(reaper, wakes_to_look_while_something_is_idle_only)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	unsigned readings;

	reaper_start();
	cr_assert(falls_asleep());
	readings = tp_load_relaxed(&kernel.readings);
	objects_give(cache, 100);
	/* The first look, and one after a sleep. */
	cr_assert(comes_true(tp_load_relaxed(&kernel.readings) >= readings + 2));
	tasks_wait(OF_SYSTEM);
	cr_assert(comes_true(objects_destroyed() == 100));
	cr_assert(falls_asleep(), "it wakes, and has nothing");
	readings = tp_load_relaxed(&kernel.readings);
	kernel_time_passes();
	cr_assert(falls_asleep());
	usleep(20000);
	cr_assert_eq(tp_load_relaxed(&kernel.readings), readings);
	tierpool_reaper_stop();
	cache_end(cache);
}

Test(reaper, pressure_while_nothing_was_idle_is_no_news)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);

	reaper_start();
	for (unsigned round = 0; round < 4; round++) {
		cr_assert(falls_asleep());
		kernel_tasks_wait(OF_SYSTEM);
		objects_give(cache, 100);
		for (unsigned i = 0; i < 3; i++)
			cr_assert(looks());
		cr_assert_eq(objects_destroyed(), 100 * round);
		tasks_wait(OF_SYSTEM);
		cr_assert(comes_true(objects_destroyed() == 100 * (round + 1)));
	}
	tierpool_reaper_stop();
	cache_end(cache);
}

Test(reaper, a_file_that_is_no_more_is_left_out_and_the_other_is_not)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);

	objects_give(cache, 100);
	reaper_start();
	cr_assert(looks());
	tp_store_relaxed(&kernel.none[OF_CGROUP], true);
	kernel_tasks_wait(OF_CGROUP);
	for (unsigned i = 0; i < 3; i++)
		cr_assert(looks());
	cr_assert_eq(objects_destroyed(), 0);
	tasks_wait(OF_SYSTEM);
	cr_assert(comes_true(objects_destroyed() == 100));
	tierpool_reaper_stop();
	cache_end(cache);
}

/* All numbers of files may be in use for a moment. */
Test(reaper, what_cannot_be_read_for_a_while_is_read_with_a_later_tick)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	tierpool_cache *ticking = cache_new(.destroy = object_destroy, .decay_ms = 5);

	kernel.none[OF_SYSTEM] = kernel.none[OF_CGROUP] = true;
	objects_give(cache, 100);
	reaper_start();
	cr_assert(looks());
	cr_assert(falls_asleep(), "it wakes to look for what is not there");
	tp_store_relaxed(&kernel.none[OF_SYSTEM], false);
	kernel_tasks_wait(OF_SYSTEM);
	objects_give(ticking, 10);
	cr_assert(comes_true(objects_destroyed() == 10));
	cr_assert(looks());
	tasks_wait(OF_SYSTEM);
	cr_assert(comes_true(objects_destroyed() == 110));
	tierpool_reaper_stop();
	cache_end(cache);
	cache_end(ticking);
}

/* In a child: starts twice, and ticks. */
static int child_ticks(void)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);
	bool ticked = true;

	for (unsigned i = 1; i <= 2 && ticked; i++) {
		reaper_start();
		objects_give(cache, 100);
		ticked = comes_true(objects_destroyed() == 100 * i);
		tierpool_reaper_stop();
	}
	return !ticked;
}

static void *start_elsewhere(void *unused)
{
	reaper_start();
	return unused;
}

/* In a child: has stderr for itself and forks while another thread has to say something there. */
static int child_forks(void)
{
	pthread_t starter;
	pid_t child;
	int status;

	alarm(20);
	flockfile(stderr);
	pthread_create(&starter, NULL, start_elsewhere, NULL);
	usleep(50000);
	child = fork();
	if (!child)
		_exit(0);
	status = child_await(child);
	funlockfile(stderr);
	pthread_join(starter, NULL);
	tierpool_reaper_stop();
	return !!status;
}

/* What a process with such a system says on stderr. */
static const char *said(int (*run)(void))
{
	static char report[1024];
	struct child child;

	/* By itself, and not that there is no rseq mode here, where it was asked for. */
	tierpool_cache_destroy(cache_with(NULL));
	if (child_begin(&child))
		_exit(run());
	cr_assert_eq(child_end(&child, report, sizeof report), 0);
	return report;
}

static void assert_says_once(int reason, int (*run)(void))
{
	char expected[256];

	snprintf(expected, sizeof expected,
		"tierpool: no news of memory pressure (" SYSTEM
		": %s): the reaper ticks, and nothing else\n",
		strerror(reason));
	cr_assert_str_eq(said(run), expected);
}

Test(reaper, where_there_is_no_news_of_it_it_says_so_once_and_ticks)
{
	kernel.none[OF_SYSTEM] = kernel.none[OF_CGROUP] = true;
	assert_says_once(ENOENT, child_ticks);
}

Test(reaper, where_the_kernel_counts_no_pressure_it_says_so_once_and_ticks)
{
	kernel.says[OF_SYSTEM] = "";
	kernel.none[OF_CGROUP] = true;
	assert_says_once(EINVAL, child_ticks);
}

Test(reaper, it_says_so_without_a_lock_that_a_fork_waits_for)
{
	kernel.none[OF_SYSTEM] = kernel.none[OF_CGROUP] = true;
	assert_says_once(ENOENT, child_forks);
}

Test(reaper, one_file_of_the_two_is_enough)
{
	for (unsigned missing = 0; missing < FILES; missing++) {
		memset(kernel.none, 0, sizeof kernel.none);
		kernel.none[missing] = true;
		cr_assert_str_empty(said(child_ticks));
	}
}
