/* SPDX-License-Identifier: MIT */
#include "reaper_system.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "process/reaper.h"

struct kernel kernel = {.cgroups = "3:cpu:/elsewhere\n0::/some/group\n", .cgroup_file = CGROUP};

/* Whatever would be there without these. */
#define NEXT(name)                     \
	static __typeof__(name) *next; \
	if (!next)                     \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

static __thread int opened_here = -1; /* one of these files, which this thread has not read yet */

static int file_of(const char *content)
{
	int file = memfd_create("of the test", MFD_CLOEXEC);

	if (file < 0 || write(file, content, strlen(content)) != (ssize_t)strlen(content))
		return -1;
	return opened_here = file;
}

static int pressure_file(unsigned which)
{
	char content[256];

	if (tp_load_relaxed(&kernel.none[which])) {
		errno = ENOENT;
		return -1;
	}
	if (kernel.says[which])
		return file_of(kernel.says[which]);
	snprintf(content, sizeof content,
		"some avg10=1.00 avg60=0.20 avg300=0.00 total=%llu\n"
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
		(unsigned long long)tp_load_relaxed(&kernel.waited_us[which]));
	return file_of(content);
}

int open(const char *path, int flags, ...)
{
	NEXT(open);
	va_list args;
	int mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	if (!strcmp(path, SYSTEM) || !strcmp(path, CGROUPS) || !strncmp(path, "/sys/fs/cgroup", 14))
		cr_assert_eq(flags, O_RDONLY | O_CLOEXEC);
	else
		return next(path, flags, mode);
	if (!strcmp(path, SYSTEM))
		return pressure_file(OF_SYSTEM);
	if (!strcmp(path, CGROUPS))
		return file_of(kernel.cgroups);
	snprintf(kernel.asked, sizeof kernel.asked, "%s", path);
	if (!strcmp(path, kernel.cgroup_file)) {
		int file = pressure_file(OF_CGROUP);

		(void)tp_add_release(&kernel.readings, 1u);
		return file;
	}
	errno = ENOENT;
	return -1;
}

ssize_t pread(int file, void *to, size_t n, off_t at)
{
	NEXT(pread);
	void (*before)(int) = tp_load_acquire(&kernel.before_read);

	if (file == opened_here) {
		opened_here = -1;
		if (before)
			before(file);
	}
	return next(file, to, n, at);
}

static sem_t is_held;

static void hold_once(int file)
{
	(void)file;
	tp_store_release(&kernel.before_read, NULL);
	sem_post(&is_held);
	usleep(50000);
}

void kernel_hold_reading(void)
{
	sem_init(&is_held, 0, 0);
	tp_store_release(&kernel.before_read, hold_once);
}

void kernel_await_reading(void)
{
	while (sem_wait(&is_held))
		;
}

void kernel_tasks_wait(unsigned which)
{
	/* A million seconds. */
	(void)tp_add_relaxed(&kernel.waited_us[which], UINT64_C(1000000000000));
}

static uint32_t passed_s;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	NEXT(clock_gettime);
	int result = next(clock, now);

	if (clock == CLOCK_MONOTONIC_COARSE)
		now->tv_sec += tp_load_relaxed(&passed_s);
	return result;
}

void kernel_time_passes(void)
{
	(void)tp_add_relaxed(&passed_s, 3u);
	tp_reaper_wake();
}

static __thread bool is_starting; /* this thread starts the reaper */

int pthread_create(
	pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	NEXT(pthread_create);

	return is_starting && kernel.no_thread ? EAGAIN : next(id, attributes, run, argument);
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
