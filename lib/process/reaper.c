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
#include "base/keep_errno.h"
#include "process/atfork.h"
#include "process/registry.h"

/* At most 15 bytes (pthread_setname_np). */
#define THREAD_NAME "tierpool-reaper"

/* Files that report memory pressure: the system's, and that of the process's own cgroup. */
#define PRESSURES 2
#define SYSTEM_PRESSURE "/proc/pressure/memory"

/*
 * Microseconds: some task waited for memory through a tenth of two seconds. A process without
 * privileges may ask for no smaller window (linux/Documentation/accounting/psi.rst).
 */
static const char trigger[] = "some 200000 2000000";

/* What the thread sleeps on: an event by which it is woken, and pressure. */
enum { WAKE, PRESSURE, FILES = PRESSURE + PRESSURES };

/* Each thread has one of its own and frees it at its end. Others use the event, in wake_lock. */
struct reaper_watch {
	struct pollfd file[FILES];
};

static struct {
	pthread_mutex_t lock; /* of starts, thread and unreported */
	unsigned starts;
	pthread_t thread;
	int unreported; /* errno: why pressure cannot be watched; 0: none, or it was printed */
	/* Taken after lock. Puts take it: so, but for forks, it is held for moments only. */
	pthread_mutex_t wake_lock;
	/*
	 * NULL: no reaper is started. Written with both locks; read by anyone. A thread ends when
	 * this is no longer its own watch.
	 */
	struct reaper_watch *watch;
	uint64_t ticks, pressure_trims; /* written by the thread, read by anyone */
} reaper = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake_lock = PTHREAD_MUTEX_INITIALIZER};

static void reaper_event_raise(int event)
{
	int error = errno;
	uint64_t one = 1;

	/*
	 * It fails if the event's count is at its maximum, which wakes the reaper anyway, or if the
	 * program has closed the file. Not write(): that is a cancellation point, where
	 * pthread_cancel would end the thread in the middle of a put.
	 */
	if (syscall(SYS_write, event, &one, sizeof one) < 0)
		errno = error;
}

static void reaper_wake_current(void)
{
	pthread_mutex_lock(&reaper.wake_lock);
	if (reaper.watch)
		reaper_event_raise(reaper.watch->file[WAKE].fd);
	pthread_mutex_unlock(&reaper.wake_lock);
}

void tp_reaper_wake(void)
{
	/*
	 * Acquire: pairs with the release in reaper_watch_set. A call that finds no watch here did
	 * its exchange of unwatched (tp_decay_kept) before a reaper that starts now does its own.
	 * That reaper looks at the entry afterwards, and sees what was kept.
	 */
	if (tp_load_acquire(&reaper.watch))
		reaper_wake_current();
}

struct tp_reaper_counts tp_reaper_count(void)
{
	/* Relaxed: numbers for people, which order nothing. */
	return (struct tp_reaper_counts){.running = tp_load_relaxed(&reaper.watch),
		.ticks = tp_load_relaxed(&reaper.ticks),
		.pressure_trims = tp_load_relaxed(&reaper.pressure_trims)};
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

/* Reads the process's cgroup of version 2, which stands behind "0::". False: it is in none. */
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

/* With the lock. If neither file can be had, unreported says why; once for the process. */
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

/* Without the lock: a thread that holds stderr's lock and forks waits for ours. */
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
 * Whether any file reports pressure. One that is gone is left out from now on, and before it is
 * closed: the child of a fork must not close its number, which may be another file's by then.
 */
static bool reaper_sees_pressure(struct pollfd *pressure)
{
	bool under_pressure = false;

	for (unsigned i = 0; i < PRESSURES; i++) {
		if (pressure[i].revents & POLLERR) {
			int file = tp_exchange_relaxed(&pressure[i].fd, -1);

			close(file);
		} else if (pressure[i].revents & POLLPRI)
			under_pressure = true;
	}
	return under_pressure;
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

/* Milliseconds until due, for poll; -1: no limit. */
static int reaper_wait_ms(uint64_t due)
{
	uint64_t now = tp_clock_ms();

	if (due >= TP_DUE_NEVER)
		return -1;
	return due <= now ? 0 : due - now < INT_MAX ? (int)(due - now) : INT_MAX;
}

/* Milliseconds between two walks of a reaper that cannot wait, or cannot be woken. */
#define BLIND_MS 100

/*
 * Sleeps until due, or until a file reports something. Returns: whether one did. Sleeps for
 * BLIND_MS if poll is refused, by a sandbox or because fewer files are allowed than the reaper has;
 * and for BLIND_MS at most if the program has closed its event.
 */
static bool reaper_sleep(uint64_t due, struct reaper_watch *watch, nfds_t files)
{
	struct pollfd *file = watch->file;
	int wait = reaper_wait_ms(due), ready;

	if (file[WAKE].fd < 0)
		wait = wait < 0 || wait > BLIND_MS ? BLIND_MS : wait;
	ready = poll(file, files, wait);
	if (ready < 0 && errno != EINTR)
		syscall(SYS_nanosleep, &(struct timespec){.tv_nsec = BLIND_MS * 1000000}, NULL);
	return ready > 0;
}

/* Leaves out the files that the program has closed: each poll would return at once for them. */
static void reaper_files_forget(struct reaper_watch *watch)
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
		uint64_t due = reaper_tick_due(), wakes;
		/* If nothing is idle, nothing could be freed under pressure. */
		nfds_t files = due == TP_DUE_EMPTY ? PRESSURE : FILES;

		/* Pressure from the time when it was not watched is over: read and ignored. */
		if (was_empty && files == FILES)
			(void)poll(watch->file + PRESSURE, PRESSURES, 0);
		was_empty = files != FILES;
		if (!reaper_sleep(due, watch, files))
			continue;
		reaper_files_forget(watch);
		if (watch->file[WAKE].revents & POLLIN)
			(void)!read(watch->file[WAKE].fd, &wakes, sizeof wakes);
		if (files > PRESSURE && reaper_sees_pressure(watch->file + PRESSURE))
			reaper_empty_all();
	}
	/*
	 * Another reaper may have been started since. If our last walk found a buffer in an entry
	 * that was empty before, its put woke neither reaper: so wake the new one. This takes
	 * wake_lock, in which the stopper takes the watch away and raises its event. So after it
	 * the watch is ours alone.
	 */
	reaper_wake_current();
	reaper_watch_free(watch);
	return NULL;
}

/* ---- starts and stops ---- */

static void reaper_fork(enum tp_fork phase)
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

TP_ATFORK_ADD_REAPER static void reaper_atfork(void)
{
	static struct tp_atfork_handler handler = {.handle = reaper_fork};

	tp_atfork_add(&handler);
}

/* With the lock. Returns: NULL with errno on failure. */
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

/* With the lock. Release: pairs with the acquires in tp_reaper_wake and reaper_run. */
static void reaper_watch_set(struct reaper_watch *watch)
{
	pthread_mutex_lock(&reaper.wake_lock);
	tp_store_release(&reaper.watch, watch);
	pthread_mutex_unlock(&reaper.wake_lock);
}

/* With the lock. Returns: 0 or -errno. */
static int reaper_thread_start(void)
{
	sigset_t all, before;
	struct reaper_watch *watch = reaper_watch_open();
	int error;

	if (!watch)
		return -errno;
	/* Before the thread finds an entry empty: the puts after that must find the watch. */
	reaper_watch_set(watch);
	/* The thread inherits that all signals are blocked. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&reaper.thread, NULL, reaper_run, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		reaper_watch_set(NULL);
		reaper_watch_free(watch);
		return -error;
	}
	pthread_setname_np(reaper.thread, THREAD_NAME);
	return 0;
}

int tierpool_reaper_start(void)
{
	int error = 0, unreported, cancel;

	tp_atfork_start();
	/* To open a file and to print are cancellation points. */
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
	TP_KEEP_ERRNO;
	pthread_t thread;
	bool last;
	int cancel;

	pthread_mutex_lock(&reaper.lock);
	last = reaper.starts && !--reaper.starts;
	thread = reaper.thread;
	if (last) {
		struct reaper_watch *watch = reaper.watch;

		/* In wake_lock: no put uses the event of a watch whose thread may end now. */
		pthread_mutex_lock(&reaper.wake_lock);
		tp_store_release(&reaper.watch, NULL);
		reaper_event_raise(watch->file[WAKE].fd);
		pthread_mutex_unlock(&reaper.wake_lock);
	}
	pthread_mutex_unlock(&reaper.lock);
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
