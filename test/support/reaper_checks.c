/* SPDX-License-Identifier: MIT */
#include "reaper_checks.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/syscall.h>

#include "cpus.h"
#include "tasks.h"

time_t reaper_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

unsigned reapers(int *tid)
{
	DIR *tasks = NULL;
	unsigned count = 0;

	for (int next; (next = task_next(&tasks));) {
		FILE *comm = task_open(next, "comm");
		char name[32] = "";

		if (!comm)
			continue;
		if (fgets(name, sizeof name, comm) && !strcmp(name, "tierpool-reaper\n") &&
			!count++ && tid)
			*tid = next;
		fclose(comm);
	}
	return count;
}

/*
 * Whether a thread sleeps for longer than anybody waits here. The kernel says "running" of a thread that
 * was woken and has not come to run, so this is true only where no wake is under way.
 */
static bool sleeps_for_long(int tid)
{
	unsigned long call = 0, word, operation, value, timeout = 0;
	FILE *file = task_open(tid, "syscall");

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
