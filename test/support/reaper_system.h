/* SPDX-License-Identifier: MIT */
/*
 * For tests of the reaper and what the system does to it: files of memory pressure, and the one that
 * names the process's cgroup, say what the test wants; threads cannot be had when the test says so.
 *
 * Its object is linked into those programs that want it, and is in no archive: from there each
 * program would get it that calls one of these functions (test.mk).
 */
#ifndef REAPER_SYSTEM_H
#define REAPER_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#define SYSTEM "/proc/pressure/memory"
#define CGROUPS "/proc/self/cgroup"
#define CGROUP "/sys/fs/cgroup/some/group/memory.pressure"

enum { OF_SYSTEM, OF_CGROUP, FILES };

struct kernel {
	bool none[FILES];          /* there is no such file */
	const char *says[FILES];   /* in place of what tasks have waited */
	uint64_t waited_us[FILES]; /* what tasks have waited for memory */
	const char *cgroups;       /* the content of CGROUPS */
	const char *cgroup_file;   /* the only one that is there, in place of CGROUP */
	char asked[4096 + 64];     /* the last file that was asked for below /sys/fs/cgroup */
	unsigned readings;         /* so far, in which all of these files were asked for */
	/* Called in the thread that is about to read one of them. */
	void (*before_read)(int file);
	bool no_thread;
};
extern struct kernel kernel;

/* More time passed in which some task waited: far more than a tenth of what a test takes. */
void kernel_tasks_wait(unsigned which);

/* So much time that a reaper looks for pressure, if it does at all: it is woken, and has waited. */
void kernel_time_passes(void);

/*
 * hold: the next thread that is about to read one of these files is held there, for long enough that a
 * fork which does not wait for it is over. await: until one is.
 */
void kernel_hold_reading(void);
void kernel_await_reading(void);

/* tierpool_reaper_start, with such a system; the second asserts that it succeeds. */
int reaper_try_to_start(void);
void reaper_start(void);

#endif
