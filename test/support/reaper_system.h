/* SPDX-License-Identifier: MIT */
/*
 * For tests of the reaper and what the system tells it: the system's calls as this program's own.
 * Files of pressure are sockets, of which the test holds the other end; other calls fail or wait
 * when the test says so.
 */
#ifndef REAPER_SYSTEM_H
#define REAPER_SYSTEM_H

#include "cache_objects.h"
#include "pool_checks.h"
#include "reaper_checks.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>

#define SYSTEM "/proc/pressure/memory"
#define CGROUP "/sys/fs/cgroup/some/group/memory.pressure"
#define TRIGGER "some 200000 2000000"

/* ---- the system ---- */

enum { OF_SYSTEM, OF_CGROUP, FILES };

#define FILES_MOST 3 /* that the reaper waits for */

static struct {
	bool none[FILES];   /* there is no such file */
	bool refuses_write; /* there is, and takes no trigger */
	int ours[FILES], theirs[FILES];
	bool no_memory, no_thread, no_poll;
	unsigned polls;
	bool listening;         /* a poll waits for pressure as well */
	int polled[FILES_MOST]; /* by the reaper's last poll that waited for anything */
	/* The next poll waits for it; the next file of pressure; the reaper's next close, done. */
	sem_t *hold, *hold_open, *hold_close;
} kernel = {.ours = {-1, -1}, .theirs = {-1, -1}};

/* Whatever would be there without these. */
#define NEXT(name)                     \
	static __typeof__(name) *next; \
	if (!next)                     \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

static int pressure_file(unsigned which)
{
	sem_t *hold = tp_exchange_acq_rel(&kernel.hold_open, NULL);
	int pair[2];

	while (hold && sem_wait(hold))
		;
	if (kernel.none[which]) {
		errno = ENOENT;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	kernel.ours[which] = pair[0];
	kernel.theirs[which] = pair[1];
	return pair[1];
}

int open(const char *path, int flags, ...)
{
	NEXT(open);
	va_list args;
	int mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	if (!strcmp(path, SYSTEM))
		return pressure_file(OF_SYSTEM);
	if (!strcmp(path, CGROUP))
		return pressure_file(OF_CGROUP);
	/* Nor is there another hierarchy, whatever this machine has. */
	if (!strncmp(path, "/sys/fs/cgroup", 14)) {
		errno = ENOENT;
		return -1;
	}
	return next(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	NEXT(fopen);
	static char cgroups[] = "3:cpu:/elsewhere\n0::/some/group\n";

	if (!strcmp(path, "/proc/self/cgroup"))
		return fmemopen(cgroups, sizeof cgroups - 1, "r");
	return next(path, mode);
}

ssize_t write(int fd, const void *from, size_t n)
{
	NEXT(write);
	for (unsigned i = 0; i < FILES; i++)
		if (kernel.refuses_write && fd >= 0 && fd == kernel.theirs[i]) {
			errno = EPERM;
			return -1;
		}
	return next(fd, from, n);
}

/* What the test has sent: 'p' is pressure, 'e' that the file is no more. */
static short pressure_event(int fd)
{
	char letter = 0;

	if (recv(fd, &letter, 1, MSG_DONTWAIT) != 1)
		return 0;
	return letter == 'p' ? POLLPRI : POLLERR;
}

/* Criterion polls as well. */
static __thread bool is_starting, is_reaper;

int poll(struct pollfd *file, nfds_t count, int timeout)
{
	NEXT(poll);
	sem_t *hold;
	int ready;

	if (!is_reaper)
		return next(file, count, timeout);
	hold = tp_exchange_acq_rel(&kernel.hold, NULL);
	while (hold && sem_wait(hold))
		;
	tp_add_relaxed(&kernel.polls, 1u);
	if (tp_load_relaxed(&kernel.no_poll)) {
		errno = EPERM;
		return -1;
	}
	for (nfds_t i = 0; i < count; i++)
		if (file[i].events == POLLPRI)
			file[i].events = POLLIN;
	for (nfds_t i = 0; i < count && i < FILES_MOST && timeout; i++)
		kernel.polled[i] = file[i].fd;
	tp_store_release(&kernel.listening, count > FILES && timeout);
	ready = next(file, count, timeout);
	tp_store_release(&kernel.listening, false);
	for (nfds_t i = 0; i < count; i++)
		if (file[i].fd >= 0 && (file[i].fd == kernel.theirs[OF_SYSTEM] ||
					       file[i].fd == kernel.theirs[OF_CGROUP])) {
			file[i].events = POLLPRI;
			if (ready > 0 && (file[i].revents & POLLIN))
				file[i].revents = pressure_event(file[i].fd);
		}
	return ready;
}

int close(int fd)
{
	NEXT(close);
	int result = next(fd);
	sem_t *hold = is_reaper ? tp_exchange_acq_rel(&kernel.hold_close, NULL) : NULL;

	while (hold && sem_wait(hold))
		;
	return result;
}

static inline void send_news(unsigned which, char letter)
{
	cr_assert_eq(send(kernel.ours[which], &letter, 1, MSG_NOSIGNAL), 1);
}

/* Whether the library has closed its end. */
static inline bool is_closed(unsigned which)
{
	char byte;

	return recv(kernel.ours[which], &byte, 1, MSG_DONTWAIT) == 0;
}

#if !SANITIZED
void *calloc(size_t count, size_t n)
{
	NEXT(calloc);
	return is_starting && kernel.no_memory ? NULL : next(count, n);
}
#endif

struct thread {
	void *(*run)(void *);
	void *argument;
};

static void *thread_run(void *context)
{
	struct thread thread = *(struct thread *)context;

	free(context);
	is_reaper = true;
	return thread.run(thread.argument);
}

int pthread_create(
	pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	NEXT(pthread_create);
	struct thread *thread;

	if (!is_starting)
		return next(id, attributes, run, argument);
	if (kernel.no_thread)
		return EAGAIN;
	thread = malloc(sizeof *thread);
	*thread = (struct thread){run, argument};
	return next(id, attributes, thread_run, thread);
}

static int try_to_start(void)
{
	int result;

	is_starting = true;
	result = tierpool_reaper_start();
	is_starting = false;
	return result;
}

static inline void start(void)
{
	cr_assert_eq(try_to_start(), 0);
}

/* What a file of pressure was asked for. */
static inline void assert_asked(unsigned which)
{
	char asked[64] = "";

	cr_assert_eq(recv(kernel.ours[which], asked, sizeof asked, MSG_DONTWAIT), sizeof TRIGGER);
	cr_assert_str_eq(asked, TRIGGER);
}

#endif
