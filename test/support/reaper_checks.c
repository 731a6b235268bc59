/* SPDX-License-Identifier: MIT */
#include "reaper_checks.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "cpus.h"

time_t reaper_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

unsigned reapers(int *tid)
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

/*
 * Whether a thread sleeps for longer than anybody waits here. The kernel says "running" of a thread that
 * was woken and has not come to run, so this is true only where no wake is under way.
 */
static bool sleeps_for_long(int tid)
{
	unsigned long call = 0, word, operation, value, timeout = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fscanf(file, "%lu %lx %lx %lx %lx", &call, &word, &operation, &value, &timeout) != 5)
		call = (unsigned long)-1;
	fclose(file);
	/* The timeout is a pointer into the stack of the thread. */
	return call == SYS_futex &&
	       (!timeout || ((const struct timespec *)timeout)->tv_sec > PATIENCE_S);
}

bool falls_asleep(void)
{
	int tid = 0;

	if (access("/proc/self/syscall", R_OK))
		skip("the kernel does not say in which call a thread sleeps");
	return reapers(&tid) == 1 && comes_true(sleeps_for_long(tid));
}
