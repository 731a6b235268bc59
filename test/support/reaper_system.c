/* SPDX-License-Identifier: MIT */
#include "reaper_system.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "cpus.h"

#define CGROUP "/sys/fs/cgroup/some/group/memory.pressure"
#define TRIGGER "some 200000 2000000"

struct kernel kernel = {.ours = {-1, -1}, .theirs = {-1, -1}};

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

static __thread bool is_starting; /* this thread starts the reaper */
static __thread bool is_reaper;   /* or is one; Criterion polls as well */

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

void kernel_says(unsigned which, char letter)
{
	cr_assert_eq(send(kernel.ours[which], &letter, 1, MSG_NOSIGNAL), 1);
}

bool kernel_is_closed(unsigned which)
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

int reaper_try_to_start(void)
{
	int result;

	is_starting = true;
	result = tierpool_reaper_start();
	is_starting = false;
	return result;
}

void reaper_start(void)
{
	cr_assert_eq(reaper_try_to_start(), 0);
}

void kernel_assert_asked(unsigned which)
{
	char asked[64] = "";

	cr_assert_eq(recv(kernel.ours[which], asked, sizeof asked, MSG_DONTWAIT), sizeof TRIGGER);
	cr_assert_str_eq(asked, TRIGGER);
}

bool kernel_has_memory(void)
{
	return !SANITIZED && !under_valgrind();
}
