/* SPDX-License-Identifier: MIT */
/*
 * For tests of what a process tells on stderr, and how it ends: a child whose stderr is read.
 *
 *   if (child_begin(&child)) { in the child; _exit(status); }
 *   status = child_end(&child, report, sizeof report);
 */
#ifndef CHILD_H
#define CHILD_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int told; /* the reading end of its stderr */
};

/* Forks. True: this is the child, which has to end by _exit or a signal. */
static inline bool child_begin(struct child *child)
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
	child->told = fd[0];
	return false;
}

/* Waits for one that was forked in whatever way: its status, as waitpid(2) gives it. */
static inline int child_await(pid_t pid)
{
	int status = -1;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* Waits for it: its status, as waitpid(2) gives it, and in report what it wrote, with a NUL. */
static inline int child_end(struct child *child, char *report, size_t size)
{
	size_t length = 0;
	ssize_t n;

	while (length < size - 1 && (n = read(child->told, report + length, size - 1 - length)) > 0)
		length += (size_t)n;
	report[length] = '\0';
	close(child->told);
	return child_await(child->pid);
}

#endif
