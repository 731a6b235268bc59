/* SPDX-License-Identifier: MIT */
/*
 * For tests of the reaper: which threads of this process are one, what the kernel tells of them,
 * and patience. How soon anything happens is the scheduler's affair, that it happens at all the
 * test's.
 */
#ifndef REAPER_CHECKS_H
#define REAPER_CHECKS_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 30

static inline time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Waits for a condition. False: in vain. */
#define comes_true(condition)                             \
	(__extension__({                                  \
		time_t until = seconds() + PATIENCE_S;    \
		while (!(condition) && seconds() < until) \
			usleep(1000);                     \
		(condition);                              \
	}))

/* The reapers of this process; the first one's thread id in *tid, if there is any. */
static inline unsigned reapers(int *tid)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	unsigned count = 0;

	while (tasks && (task = readdir(tasks))) {
		char path[64 + sizeof task->d_name], name[32] = "";
		FILE *comm;

		snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
		comm = fopen(path, "re");
		if (!comm)
			continue;
		if (fgets(name, sizeof name, comm) && !strcmp(name, "tierpool-reaper\n") &&
			!count++ && tid)
			*tid = atoi(task->d_name);
		fclose(comm);
	}
	if (tasks)
		closedir(tasks);
	return count;
}

/* A field of a thread's status file, as a number of that base. */
static inline unsigned long long status_of(int tid, const char *field, int base)
{
	unsigned long long value = 0;
	char path[64], line[256];
	FILE *status;

	snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
	status = fopen(path, "re");
	cr_assert_not_null(status);
	while (fgets(line, sizeof line, status))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			value = strtoull(line + strlen(field) + 1, NULL, base);
	fclose(status);
	return value;
}

/* Until the reaper has not woken for so long that it would have, if it were to wake by itself. */
static inline bool falls_asleep(void)
{
	time_t until = seconds() + PATIENCE_S;
	unsigned long long switches = 0, before;
	int tid = 0;

	if (reapers(&tid) != 1)
		return false;
	do {
		before = switches;
		usleep(300000);
		switches = status_of(tid, "voluntary_ctxt_switches", 10);
	} while (switches != before && seconds() < until);
	return switches == before;
}

#endif
