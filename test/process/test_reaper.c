/* SPDX-License-Identifier: MIT */
/*
 * The reaper: the thread, its starts and stops, what it ticks and when it sleeps. Against other
 * threads, forks and callbacks: test_reaper_threads.c; where calls fail, beside the program's files, and under
 * memory pressure: test_reaper_failures.c, test_reaper_files.c, test_reaper_pressure.c.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>

#include "cache_objects.h"
#include "pool_checks.h"
#include "process/reaper.h"
#include "reaper_checks.h"
#include "tasks.h"

TestSuite(reaper, .timeout = 120);

/*
 * In place of the C library's: the reaper itself finds no file of pressure, and does not wake to look
 * again. These tests are not about the memory of the machine that they run on.
 */
int open(const char *path, int flags, ...)
{
	static int (*next)(const char *, int, ...);
	va_list args;
	int mode;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "open");
	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	if (strstr(path, "pressure") && gettid() != getpid()) {
		errno = ENOENT;
		return -1;
	}
	return next(path, flags, mode);
}

static void start(void)
{
	cr_assert_eq(tierpool_reaper_start(), 0);
}

/* ---- the thread ---- */

Test(reaper, is_one_thread_of_that_name_until_it_was_stopped_as_often_as_started)
{
	for (unsigned i = 0; i < 3; i++)
		tierpool_reaper_stop();
	cr_assert_eq(reapers(NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		start();
		cr_assert_eq(reapers(NULL), 1, "a stop too many counts for nothing");
	}
	for (unsigned i = 0; i < 2; i++) {
		tierpool_reaper_stop();
		cr_assert_eq(reapers(NULL), 1);
	}
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
	tierpool_reaper_stop();
	start();
	cr_assert_eq(reapers(NULL), 1);
	tierpool_reaper_stop();
}

/* The signals that a thread blocks, number 1 the lowest bit. */
static unsigned long long blocked_by(int tid)
{
	unsigned long long signals = 0;
	FILE *status = task_open(tid, "status");
	char line[256];

	cr_assert_not_null(status);
	while (fgets(line, sizeof line, status) && sscanf(line, "SigBlk: %llx", &signals) != 1)
		;
	fclose(status);
	return signals;
}

Test(reaper, blocks_all_signals_and_its_starter_none_more)
{
	unsigned long long blocked;
	sigset_t before, after;
	int tid = 0;

	sigemptyset(&before);
	sigaddset(&before, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	start();
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int number = 1; number < SIGRTMIN; number++)
		cr_assert_eq(sigismember(&after, number), sigismember(&before, number));
	/* Not while it is being created, when the C library has blocked them for itself. */
	cr_assert(falls_asleep());
	cr_assert_eq(reapers(&tid), 1);
	blocked = blocked_by(tid);
	/* Two cannot be; and those below SIGRTMIN are the C library's own. */
	for (int number = 1; number <= SIGRTMAX; number++)
		if (number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN))
			cr_assert(blocked >> (number - 1) & 1, "signal %d", number);
	tierpool_reaper_stop();
}

/* ---- what it ticks ---- */

#define SOON 5 /* milliseconds */

static size_t idle_in(tierpool *pool)
{
	return stats_of(pool).idle;
}

Test(reaper, ticks_pools_and_caches_that_nobody_touches_until_they_are_empty)
{
	tierpool *pool[2] = {pool_new(.decay_ms = SOON), pool_new(.decay_ms = 3 * SOON)};
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 2 * SOON);

	fill(pool[0]);
	fill(pool[1]);
	objects_give(cache, 200);
	start();
	cr_assert(comes_true(!idle_in(pool[0])));
	cr_assert(comes_true(!idle_in(pool[1])));
	cr_assert(comes_true(objects_destroyed() == 200));
	tierpool_reaper_stop();
	cr_assert_geq(at_rest(pool[0]).ticks, 2);
	cr_assert_geq(tp_reaper_count().ticks, 6, "two of each");
	cache_end(cache);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(tierpool_destroy(pool[i]), 0);
}

Test(reaper, starts_again_after_a_stop_and_does_nothing_in_between)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = SOON);
	size_t destroyed;

	for (unsigned i = 1; i <= 5; i++) {
		start();
		objects_give(cache, 100);
		cr_assert(comes_true(objects_destroyed() == 100 * i));
		tierpool_reaper_stop();
	}
	cr_assert(comes_true(!reapers(NULL)));
	objects_give(cache, 100);
	/* A put that comes late frees some. */
	destroyed = objects_destroyed();
	usleep(4 * SOON * 1000);
	cr_assert_eq(objects_destroyed(), destroyed);
	cache_end(cache);
}

Test(reaper, decay_ms_UINT_MAX_means_never)
{
	tierpool_cache *soon = cache_new(.destroy = object_destroy, .decay_ms = SOON);
	tierpool_cache *never = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	tierpool *pool = pool_new(.decay_ms = UINT_MAX);
	unsigned n = fill(pool);

	objects_give(never, 100);
	start();
	/* Each time the one is emptied the others have been looked at. */
	for (unsigned i = 1; i <= 5; i++) {
		objects_give(soon, 100);
		cr_assert(comes_true(objects_destroyed() == 100 * i));
	}
	cr_assert_eq(at_rest(pool).idle, n);
	cr_assert_eq(at_rest(pool).ticks, 0);
	tierpool_cache_destroy(soon);
	cr_assert_eq(objects.destroyed, 500);
	cr_assert_eq(objects_in(IDLE), 100);
	tierpool_reaper_stop();
	cache_end(never);
	tierpool_destroy(pool);
}

/* ---- when it sleeps ---- */

/* It sleeps, and wakes each time that something is kept in one of two that decay soon. */
static void expect_wakes(tierpool *pool, tierpool_cache *cache)
{
	size_t before = objects_destroyed();

	for (unsigned i = 1; i <= 2; i++) {
		cr_assert(falls_asleep(), "it goes on waking");
		fill(pool);
		cr_assert(comes_true(!idle_in(pool)));
		cr_assert(falls_asleep(), "it goes on waking");
		objects_give(cache, 1);
		cr_assert(comes_true(objects_destroyed() == before + i));
	}
}

Test(reaper, sleeps_while_nothing_is_there_or_due_soon_and_wakes_for_what_is_made_and_kept)
{
	tierpool *quick, *slow = NULL, *never = NULL;
	tierpool_cache *cache;
	unsigned n = 0;

	start();
	for (unsigned round = 0; round < 2; round++) {
		cr_assert(falls_asleep());
		quick = pool_new(.decay_ms = SOON);
		fill(quick);
		cr_assert(comes_true(!idle_in(quick)));
		cache = cache_new(.destroy = object_destroy, .decay_ms = SOON);
		expect_wakes(quick, cache);
		tierpool_destroy(quick);
		cache_end(cache);
		if (round)
			break;
		/* The other time these are there, and not empty. */
		slow = pool_new(.decay_ms = 1000000);
		never = pool_new(.decay_ms = UINT_MAX);
		n = fill(slow);
		fill(never);
	}
	cr_assert_eq(at_rest(slow).idle, n);
	tierpool_reaper_stop();
	tierpool_destroy(slow);
	tierpool_destroy(never);
}

Test(reaper, wakes_for_a_block_that_growth_displaces)
{
	tierpool *pool = pool_new(.decay_ms = SOON);
	tierpool_buf *b = tierpool_get_sized(pool, KIB);

	start();
	cr_assert(falls_asleep());
	cr_assert_eq(tierpool_buf_reserve(b, 4 * KIB), 0);
	cr_assert_eq(stats_of(pool).grows, 1);
	cr_assert(comes_true(stats_of(pool).drops_decay == 1));
	tierpool_reaper_stop();
	cr_assert_eq(at_rest(pool).idle, 0);
	tierpool_put(b);
	tierpool_destroy(pool);
}

/*
 * What lies on one CPU only can also go by a get there; the rest, and what comes back, must not
 * stay.
 */
Test(reaper, a_get_from_an_empty_cpu_leaves_nothing_behind)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = SOON);
	struct object *o;

	start();
	for (unsigned i = 0; i < 20; i++) {
		objects_give(cache, 200);
		if ((o = object_get(cache)))
			object_put(cache, o);
	}
	cr_assert(comes_true(objects_destroyed() == 4000));
	tierpool_reaper_stop();
	cache_end(cache);
}

/* ---- without files ---- */

Test(reaper, needs_no_file)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = SOON);
	struct rlimit files, none;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = (struct rlimit){0, files.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (unsigned i = 1; i <= 3; i++) {
		start();
		objects_give(cache, 100);
		cr_assert(comes_true(objects_destroyed() == 100 * i));
		tierpool_reaper_stop();
	}
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	cr_assert(comes_true(!reapers(NULL)));
	cache_end(cache);
}
