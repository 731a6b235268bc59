/* SPDX-License-Identifier: MIT */
/*
 * Child processes, and their resident memory: process.h.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/measure.h"
#include "support/program.h"

#define PROCESS_ROLLUP "/proc/self/smaps_rollup"

void process_fail(const char *what, int error)
{
	fprintf(stderr, "given_back: %s: %s\n", what, strerror(error));
	_exit(FAILED);
}

/* ---- the child ---- */

static void process_pin(void)
{
	unsigned cpus[2];
	int error = cpus_choose(cpus, false) ? pin(cpus[0]) : -EINVAL;

	if (error)
		process_fail("a CPU", -error);
}

/* Returns: the exit status. */
static int process_wait(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

int process_run(
	void (*measure)(const void *job, void *result), const void *job, void *result, size_t size)
{
	int ends[2], status;
	pid_t child;

	/* Else the child would print it as well. */
	if (fflush(stdout) || pipe2(ends, O_CLOEXEC))
		return FAILED;
	child = fork();
	if (!child) {
		process_pin();
		measure(job, result);
		/* It is less than a pipe holds, so this waits for nobody. */
		_exit(write(ends[1], result, size) == (ssize_t)size ? 0 : FAILED);
	}
	close(ends[1]);
	status = child > 0 ? process_wait(child) : FAILED;
	if (!status && read(ends[0], result, size) != (ssize_t)size)
		status = FAILED;
	close(ends[0]);
	return status;
}

/* ---- what it reads of itself ---- */

bool process_resident_known(void)
{
	return !access(PROCESS_ROLLUP, R_OK);
}

/* No stdio: a FILE would be allocated in between. */
double process_resident(void)
{
	char text[4096];
	int file = open(PROCESS_ROLLUP, O_RDONLY | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, text, sizeof text - 1);
	const char *rss;

	if (n < 0)
		process_fail(PROCESS_ROLLUP, errno);
	close(file);
	text[n] = '\0';
	rss = strstr(text, "\nRss:");
	if (!rss)
		process_fail(PROCESS_ROLLUP, ENODATA);
	return KIB * strtod(rss + strlen("\nRss:"), NULL);
}

struct tierpool_stats process_stats(tierpool *pool)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	int error = tierpool_stats_read(pool, &stats);

	if (error)
		process_fail("tierpool_stats_read", -error);
	return stats;
}
