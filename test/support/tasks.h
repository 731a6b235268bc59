/* SPDX-License-Identifier: MIT */
/* The threads of this process, as the kernel tells of them in /proc/self/task: see proc(5). */
#ifndef TASKS_H
#define TASKS_H

#include <dirent.h>
#include <stdio.h>

/*
 * Goes through the threads, from *tasks = NULL on. Returns: the id of the next one; 0: there is none, and
 * *tasks is NULL again.
 */
int task_next(DIR **tasks);

/* Opens one of the files of a thread, for reading. NULL: it cannot be read, or the thread has ended. */
FILE *task_open(int tid, const char *name);

#endif
