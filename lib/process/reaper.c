/* SPDX-License-Identifier: MIT */
#include "process/reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "process/fork.h"

/* At the most 15 bytes (pthread_setname_np). */
#define NAME "tierpool-reaper"

/* The system's, and the process's own cgroup's. */
#define PRESSURES 2
#define SYSTEM_PRESSURE "/proc/pressure/memory"

/*
 * Some task waited for memory through a tenth of two seconds. The window is the smallest that a
 * process without privileges may ask for (linux/Documentation/accounting/psi.rst).
 */
static const char trigger[] = "some 200000 2000000";

/* What a thread sleeps on: an event that wakes it, and pressure. */
enum { WAKE, PRESSURE, FILES = PRESSURE + PRESSURES };

/* The thread's own, from its start to its end; others, in the wake lock, use the event. */
struct reaper_watch {
	struct pollfd file[FILES];
};

static struct {
	pthread_mutex_t lock; /* of all but what says otherwise */
	unsigned starts;
	pthread_t thread;
	int unreported; /* why there is no news of pressure, until it is told */
	/*
	 * Taken by puts: held for no more than a write to an event, but for a fork, and after the
	 * other.
	 */
	pthread_mutex_t wake_lock;
	/* NULL: none is started. Written with both locks; a thread whose it no longer is ends. */
	struct reaper_watch *watch;
} reaper = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake_lock = PTHREAD_MUTEX_INITIALIZER};

static void reaper_event_raise(int event)
{
	int error = errno;
	uint64_t one = 1;

	/*
	 * It fails only where so many wakes are under way that one more is of no account, or where
	 * the program has closed it. Not write(), where pthread_cancel would end the thread amid a
	 * put.
	 */
	if (syscall(SYS_write, event, &one, sizeof one) < 0)
		errno = error;
}

void tp_reaper_wake(void)
{
	/*
	 * Acquire: pairs with reaper_watch_set. A caller who finds none did its exchange of unwatched
	 * (decay.c) before the exchange of a reaper that starts now, whose look comes after that
	 * and sees what was kept.
	 */
	if (!tp_load_acquire(&reaper.watch))
		return;
	pthread_mutex_lock(&reaper.wake_lock);
	if (reaper.watch)
		reaper_event_raise(reaper.watch->file[WAKE].fd);
	pthread_mutex_unlock(&reaper.wake_lock);
}

/* ---- memory pressure ---- */

static int reaper_pressure_open(const char *path)
{
	int file = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (file >= 0 && write(file, trigger, sizeof trigger) < 0) {
		int error = errno;

		close(file);
		file = -1;
		errno = error;
	}
	return file;
}

/* The process's cgroup of the second version, behind "0::". False: it is in none. */
static bool reaper_cgroup_read(char line[PATH_MAX])
{
	FILE *cgroups = fopen("/proc/self/cgroup", "re");
	bool found = false;

	if (!cgroups)
		return false;
	while (!found && fgets(line, PATH_MAX, cgroups))
		found = !strncmp(line, "0::", 3);
	fclose(cgroups);
	line[strcspn(line, "\n")] = 0;
	return found;
}

static int reaper_cgroup_open(void)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char line[PATH_MAX] = "", path[PATH_MAX + 64];
	int file = -1;

	if (!reaper_cgroup_read(line))
		return -1;
	for (unsigned i = 0; i < 2 && file < 0; i++) {
		snprintf(path, sizeof path, "%s%s/memory.pressure", mounts[i], line + 3);
		file = reaper_pressure_open(path);
	}
	return file;
}

/* With the lock. Has it told, once, where neither can be had. */
static void reaper_pressure_watch(struct pollfd *pressure)
{
	static bool reported;

	pressure[0] = (struct pollfd){.fd = reaper_cgroup_open(), .events = POLLPRI};
	pressure[1] =
		(struct pollfd){.fd = reaper_pressure_open(SYSTEM_PRESSURE), .events = POLLPRI};
	if (pressure[0].fd < 0 && pressure[1].fd < 0 && !reported) {
		reaper.unreported = errno;
		reported = true;
	}
}

/* Without the lock: a thread that has stderr's may wait for ours, to fork. */
static void reaper_report_no_pressure(int error)
{
	fprintf(stderr,
		"tierpool: no news of memory pressure (" SYSTEM_PRESSURE
		": %s): the reaper ticks, and nothing else\n",
		strerror(error));
}

static void reaper_watch_free(struct reaper_watch *watch)
{
	for (unsigned i = 0; i < FILES; i++)
		if (watch->file[i].fd >= 0)
			close(watch->file[i].fd);
	free(watch);
}

/*
 * Whether any tells of pressure. One that is no more is left out from now on: also from what the
 * child of a fork closes, which may have another file of that number by then.
 */
static bool reaper_is_pressed(struct pollfd *pressure)
{
	bool pressed = false;

	for (unsigned i = 0; i < PRESSURES; i++) {
		if (pressure[i].revents & POLLERR) {
			int file = tp_exchange_relaxed(&pressure[i].fd, -1);

			close(file);
		} else if (pressure[i].revents & POLLPRI)
			pressed = true;
	}
	return pressed;
}

/* ---- the thread ---- */

/* Ticks what is due. When the next one is. */
static uint64_t reaper_reap(void)
{
	uint64_t now = tp_clock_ms(), next = TP_DUE_EMPTY;

	for (struct tp_registered *entry = NULL; (entry = tp_registry_next(entry));) {
		uint64_t due = entry->kind->due(entry);

		if (due <= now) {
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
	for (struct tp_registered *entry = NULL; (entry = tp_registry_next(entry));)
		entry->kind->empty(entry);
}

/* Milliseconds until then, for poll; -1: for ever. */
static int reaper_wait_ms(uint64_t due)
{
	uint64_t now = tp_clock_ms();

	if (due >= TP_DUE_NEVER)
		return -1;
	return due <= now ? 0 : due - now < INT_MAX ? (int)(due - now) : INT_MAX;
}

/* Milliseconds between two looks where nobody can wake us. */
#define UNWOKEN_MS 100

/*
 * Sleeps until then, or until something happens; whether something did. Where it may not wait,
 * since a sandbox came up or fewer files are allowed than it has, or cannot be woken, since the
 * program has closed its files, it looks ten times a second.
 */
static bool reaper_sleep(uint64_t due, struct reaper_watch *watch, nfds_t files)
{
	struct pollfd *file = watch->file;
	int wait = reaper_wait_ms(due), ready;

	if (file[WAKE].fd < 0)
		wait = wait < 0 || wait > UNWOKEN_MS ? UNWOKEN_MS : wait;
	ready = poll(file, files, wait);
	if (ready < 0 && errno != EINTR)
		syscall(SYS_nanosleep, &(struct timespec){.tv_nsec = UNWOKEN_MS * 1000000}, NULL);
	return ready > 0;
}

/*
 * Leaves out what the program has closed of our files, which would make each poll return at once.
 */
static void reaper_files_lost(struct reaper_watch *watch)
{
	pthread_mutex_lock(&reaper.wake_lock);
	for (unsigned i = 0; i < FILES; i++)
		if (watch->file[i].revents & POLLNVAL)
			watch->file[i].fd = -1;
	pthread_mutex_unlock(&reaper.wake_lock);
}

static void *reaper_run(void *context)
{
	struct reaper_watch *watch = context;
	bool was_empty = false;

	while (tp_load_acquire(&reaper.watch) == watch) {
		uint64_t due = reaper_reap(), wakes;
		/* Where nothing is idle there is nothing to be had by pressure either. */
		nfds_t files = due == TP_DUE_EMPTY ? PRESSURE : FILES;

		/* What the kernel kept for us from a time when nobody asked is no news. */
		if (was_empty && files == FILES)
			(void)poll(watch->file + PRESSURE, PRESSURES, 0);
		was_empty = files != FILES;
		if (!reaper_sleep(due, watch, files))
			continue;
		reaper_files_lost(watch);
		if (watch->file[WAKE].revents & POLLIN)
			(void)!read(watch->file[WAKE].fd, &wakes, sizeof wakes);
		if (files > PRESSURE && reaper_is_pressed(watch->file + PRESSURE))
			reaper_empty_all();
	}
	/*
	 * Who kept what our last look saw may not have woken the one that was started since. And
	 * after this, whoever stopped us has let go of the watch.
	 */
	tp_reaper_wake();
	reaper_watch_free(watch);
	return NULL;
}

/* ---- starts and stops ---- */

void tp_reaper_fork(enum tp_fork phase)
{
	if (phase == TP_FORK_PREPARE) {
		pthread_mutex_lock(&reaper.lock);
		pthread_mutex_lock(&reaper.wake_lock);
		return;
	}
	if (phase == TP_FORK_CHILD) {
		if (reaper.watch)
			reaper_watch_free(reaper.watch);
		reaper.watch = NULL;
		reaper.starts = 0;
	}
	pthread_mutex_unlock(&reaper.wake_lock);
	pthread_mutex_unlock(&reaper.lock);
}

/* With the lock. NULL with errno. */
static struct reaper_watch *reaper_watch_open(void)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct reaper_watch *watch;

	if (event < 0)
		return NULL;
	watch = calloc(1, sizeof *watch);
	if (!watch) {
		close(event);
		errno = ENOMEM;
		return NULL;
	}
	watch->file[WAKE] = (struct pollfd){.fd = event, .events = POLLIN};
	reaper_pressure_watch(watch->file + PRESSURE);
	return watch;
}

/* With the lock. */
static void reaper_watch_set(struct reaper_watch *watch)
{
	pthread_mutex_lock(&reaper.wake_lock);
	tp_store_release(&reaper.watch, watch);
	pthread_mutex_unlock(&reaper.wake_lock);
}

/* With the lock. 0 or -errno. */
static int reaper_thread_start(void)
{
	sigset_t all, before;
	struct reaper_watch *watch = reaper_watch_open();
	int error;

	if (!watch)
		return -errno;
	/* Before it looks at anything, of which it is to be told. */
	reaper_watch_set(watch);
	/* It inherits that all signals are blocked. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&reaper.thread, NULL, reaper_run, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		reaper_watch_set(NULL);
		reaper_watch_free(watch);
		return -error;
	}
	pthread_setname_np(reaper.thread, NAME);
	return 0;
}

int tierpool_reaper_start(void)
{
	int error = 0, unreported, cancel;

	tp_fork_start();
	/* To open a file is a place where a thread may be cancelled, and so is to print. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_mutex_lock(&reaper.lock);
	if (!reaper.starts)
		error = reaper_thread_start();
	if (!error)
		reaper.starts++;
	unreported = reaper.unreported;
	reaper.unreported = 0;
	pthread_mutex_unlock(&reaper.lock);
	if (unreported)
		reaper_report_no_pressure(unreported);
	pthread_setcancelstate(cancel, NULL);
	return error;
}

void tierpool_reaper_stop(void)
{
	pthread_t thread;
	bool last;
	int cancel;

	pthread_mutex_lock(&reaper.lock);
	last = reaper.starts && !--reaper.starts;
	thread = reaper.thread;
	if (last) {
		struct reaper_watch *watch = reaper.watch;

		/* From before it can see that it has to end: it frees the watch. */
		pthread_mutex_lock(&reaper.wake_lock);
		tp_store_release(&reaper.watch, NULL);
		reaper_event_raise(watch->file[WAKE].fd);
		pthread_mutex_unlock(&reaper.wake_lock);
	}
	pthread_mutex_unlock(&reaper.lock);
	if (!last)
		return;
	/* Without the lock: what it is amid of may start or stop it. Or be this very call. */
	if (pthread_equal(pthread_self(), thread)) {
		pthread_detach(thread);
		return;
	}
	/* Here too, or nobody would ever join it. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_join(thread, NULL);
	pthread_setcancelstate(cancel, NULL);
}
