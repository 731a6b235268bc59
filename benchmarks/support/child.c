/* SPDX-License-Identifier: MIT */
/*
 * The child, and the pipe to it: child.h.
 */
#include "support/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/program.h"

/* Returns: 0; -ECANCELED. */
static int child_wait(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -ECANCELED;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ECANCELED;
}

int child_run(
	void (*measure)(const void *job, void *result), const void *job, void *result, size_t size)
{
	int ends[2], error;
	pid_t child;

	/* Else the child would print it as well. */
	if (fflush(stdout) || pipe2(ends, O_CLOEXEC))
		return -errno;
	child = fork();
	if (!child) {
		measure(job, result);
		/* It is less than a pipe holds, so this waits for nobody. */
		_exit(write(ends[1], result, size) == (ssize_t)size ? 0 : FAILED);
	}
	error = child < 0 ? -errno : child_wait(child);
	close(ends[1]);
	if (!error && read(ends[0], result, size) != (ssize_t)size)
		error = -ECANCELED;
	close(ends[0]);
	return error;
}
