/* SPDX-License-Identifier: MIT */
#include "process/reaper.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/keep_errno.h"
#include "base/lock.h"
#include "process/atfork.h"
#include "process/pressure.h"
#include "process/registry.h"

/* At most 15 bytes (pthread_setname_np). */
#define THREAD_NAME "tierpool-reaper"

/* Of linux/futex.h, which not every C library comes with. */
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129

/* Milliseconds between two looks for memory pressure. */
#define LOOK_MS 2000

static struct {
	struct tp_lock lock; /* of starts, begun, thread and reported; and while files are open */
	unsigned starts;
	uintptr_t begun; /* threads so far */
	pthread_t thread;
	bool reported; /* that memory pressure cannot be read */
	/*
	 * The number of the thread, among those begun; 0: no reaper is started. Written with lock,
	 * read by anyone. A thread ends when this is no longer its own number.
	 */
	uintptr_t current;
	/*
	 * What threads sleep on, a futex: it is counted up to wake them. It may wrap: they ask only
	 * whether it has changed since their walk began.
	 */
	uint32_t wakes;
	uint64_t ticks, pressure_trims; /* written by the thread, read by anyone */
} reaper = {.lock = TP_LOCK_INIT};

/*
 * Wakes all threads: one that is to end, and one that was started since. Release: pairs with the
 * acquire in reaper_run.
 */
static void reaper_wake_all(void)
{
	TP_KEEP_ERRNO;

	(void)tp_add_release(&reaper.wakes, 1u);
	syscall(SYS_futex, &reaper.wakes, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void tp_reaper_wake(void)
{
	/*
	 * Acquire: pairs with the release in reaper_thread_start. A call that finds no reaper here
	 * did its exchange of unwatched (tp_decay_kept) before a reaper that starts now does its
	 * own. That reaper looks at the entry afterwards, and sees what was kept.
	 */
	if (tp_load_acquire(&reaper.current))
		reaper_wake_all();
}

struct tp_reaper_counts tp_reaper_count(void)
{
	/* Relaxed: numbers for people, which order nothing. */
	return (struct tp_reaper_counts){.running = tp_load_relaxed(&reaper.current),
		.ticks = tp_load_relaxed(&reaper.ticks),
		.pressure_trims = tp_load_relaxed(&reaper.pressure_trims)};
}

/* ---- the thread ---- */

/* Ticks every entry that is due. Returns: when the next tick of any is due. */
static uint64_t reaper_tick_due(void)
{
	uint64_t now = tp_clock_ms(), next = TP_DUE_EMPTY;

	for (struct tp_registered *entry = NULL; (entry = tp_registry_next(entry));) {
		uint64_t due = entry->kind->due ? entry->kind->due(entry) : TP_DUE_EMPTY;

		if (due <= now) {
			tp_add_relaxed(&reaper.ticks, 1u);
			entry->kind->tick(entry);
			due = entry->kind->due(entry);
		}
		if (due < next)
			next = due;
	}
	return next;
}

static void reaper_empty_all(void)
{
	tp_add_relaxed(&reaper.pressure_trims, 1u);
	for (struct tp_registered *entry = NULL; (entry = tp_registry_next(entry));)
		if (entry->kind->empty)
			entry->kind->empty(entry);
}

#define MS_IN_S 1000
#define NS_IN_MS 1000000

/* Sleeps until a time, or until wakes has changed. */
static void reaper_sleep(uint32_t wakes, uint64_t until_ms)
{
	uint64_t now = tp_clock_ms(), wait = until_ms > now ? until_ms - now : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(wait / MS_IN_S), .tv_nsec = (long)(wait % MS_IN_S * NS_IN_MS)};

	if (wait)
		syscall(SYS_futex, &reaper.wakes, FUTEX_WAIT_PRIVATE, wakes,
			until_ms >= TP_DUE_NEVER ? NULL : &timeout, NULL, 0);
}

/* What a thread has read of memory pressure, since something is idle. */
struct reaper_news {
	struct tp_pressure last;
	bool has_looked, is_readable;
};

/* Reads memory pressure if that is due. Returns: whether memory was short since the look before. */
static bool reaper_look(struct reaper_news *news)
{
	struct tp_pressure now;
	bool is_short;

	if (news->has_looked && tp_clock_ms() < news->last.at_ms + LOOK_MS)
		return false;
	/* So that no fork gives the child a file that is open here. */
	tp_lock_take(&reaper.lock);
	news->is_readable = !tp_pressure_read(&now);
	tp_lock_give(&reaper.lock);
	is_short = news->has_looked && tp_pressure_is(&news->last, &now);
	news->has_looked = true;
	news->last = now;
	return is_short;
}

static void *reaper_run(void *number)
{
	struct reaper_news news = {.has_looked = false};

	for (;;) {
		/*
		 * Before the walk: a call that keeps something behind the walk's back counts it up,
		 * and so does a stop after it has changed current. Acquire: pairs with the release
		 * in reaper_wake_all.
		 */
		uint32_t wakes = tp_load_acquire(&reaper.wakes);
		uint64_t until;

		if (tp_load_acquire(&reaper.current) != (uintptr_t)number)
			break;
		until = reaper_tick_due();
		if (until == TP_DUE_EMPTY) {
			/* Nothing could be freed. What happens now is no news when something is idle. */
			news = (struct reaper_news){.has_looked = false};
		} else if (reaper_look(&news)) {
			reaper_empty_all();
			continue;
		}
		/* If nothing can be read, a look comes with a tick only: it may be readable by then. */
		if (news.is_readable && news.last.at_ms + LOOK_MS < until)
			until = news.last.at_ms + LOOK_MS;
		reaper_sleep(wakes, until);
	}
	/*
	 * Another reaper may have been started since. If our last walk found a buffer in an entry
	 * that was empty before, its put woke neither reaper: so wake the new one.
	 */
	tp_reaper_wake();
	return NULL;
}

/* ---- starts and stops ---- */

static void reaper_fork(enum tp_fork phase)
{
	if (phase == TP_FORK_PREPARE) {
		tp_lock_take(&reaper.lock);
		return;
	}
	if (phase == TP_FORK_CHILD) {
		reaper.current = 0;
		reaper.starts = 0;
	}
	tp_lock_give(&reaper.lock);
}

TP_ATFORK_ADD_REAPER static void reaper_atfork(void)
{
	static struct tp_atfork_handler handler = {.handle = reaper_fork};

	tp_atfork_add(&handler);
}

/* With the lock. Returns: 0 or -errno. */
static int reaper_thread_start(void)
{
	sigset_t all, before;
	int error;

	/*
	 * Before the thread finds an entry empty: the puts after that must find it. Release: pairs
	 * with the acquires in tp_reaper_wake and reaper_run.
	 */
	tp_store_release(&reaper.current, ++reaper.begun);
	/* The thread inherits that all signals are blocked. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&reaper.thread, NULL, reaper_run, (void *)reaper.begun);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		tp_store_release(&reaper.current, 0u);
	else
		pthread_setname_np(reaper.thread, THREAD_NAME);
	return -error;
}

/* With the lock. Returns: why memory pressure cannot be read, the first time; else 0. */
static int reaper_no_pressure(void)
{
	struct tp_pressure now;
	int error = reaper.reported ? 0 : -tp_pressure_read(&now);

	reaper.reported |= error;
	return error;
}

int tierpool_reaper_start(void)
{
	int error = 0, no_pressure = 0, cancel;

	error = tp_atfork_start();
	if (error)
		return error;
	/* To open a file and to print are cancellation points. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	tp_lock_take(&reaper.lock);
	if (!reaper.starts) {
		error = reaper_thread_start();
		no_pressure = error ? 0 : reaper_no_pressure();
	}
	if (!error)
		reaper.starts++;
	tp_lock_give(&reaper.lock);
	/* Without the lock: a thread that holds stderr's lock and forks waits for ours. */
	if (no_pressure)
		fprintf(stderr,
			"tierpool: no news of memory pressure (" TP_PRESSURE_SYSTEM
			": %s): the reaper ticks, and nothing else\n",
			strerror(no_pressure));
	pthread_setcancelstate(cancel, NULL);
	return error;
}

void tierpool_reaper_stop(void)
{
	TP_KEEP_ERRNO;
	pthread_t thread;
	bool last;
	int cancel;

	tp_lock_take(&reaper.lock);
	last = reaper.starts && !--reaper.starts;
	thread = reaper.thread;
	if (last) {
		/* Release: as in reaper_thread_start. */
		tp_store_release(&reaper.current, 0u);
		reaper_wake_all();
	}
	tp_lock_give(&reaper.lock);
	if (!last)
		return;
	/*
	 * Without the lock: a callback in the reaper's thread may start or stop the reaper. If this
	 * is such a callback, the thread ends after it, and nobody joins it.
	 */
	if (pthread_equal(pthread_self(), thread)) {
		pthread_detach(thread);
		return;
	}
	/* pthread_join is a cancellation point: the thread would never be joined. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_join(thread, NULL);
	pthread_setcancelstate(cancel, NULL);
}
