/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <criterion/criterion.h>

bool child_begin(struct child *child)
{
	int fd[2];

	cr_assert_eq(pipe(fd), 0);
	child->pid = fork();
	if (!child->pid) {
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		return true;
	}
	close(fd[1]);
	child->report = fd[0];
	return false;
}

int child_await(pid_t pid)
{
	int status = -1;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

int child_end(struct child *child, char *report, size_t size)
{
	size_t length = 0;
	ssize_t n;

	while (length < size - 1 &&
		(n = read(child->report, report + length, size - 1 - length)) > 0)
		length += (size_t)n;
	report[length] = '\0';
	close(child->report);
	return child_await(child->pid);
}
