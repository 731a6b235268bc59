/* SPDX-License-Identifier: MIT */
/*
 * For tests of what a process prints on stderr, and how it ends: a child whose stderr is read.
 *
 *   if (child_begin(&child)) { in the child; _exit(status); }
 *   status = child_end(&child, report, sizeof report);
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int report; /* the reading end of its stderr */
};

/* Forks. True: this is the child, which has to end by _exit or a signal. */
bool child_begin(struct child *child);

/* Waits for a child, forked here or elsewhere. Returns its status, as waitpid(2) gives it. */
int child_await(pid_t pid);

/*
 * Waits for the child. Returns its status, as waitpid(2) gives it; what it wrote on stderr is in
 * report, with a NUL behind it.
 */
int child_end(struct child *child, char *report, size_t size);

#endif
