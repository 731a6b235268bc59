/* SPDX-License-Identifier: MIT */
#include "tasks.h"

#include <stdlib.h>

int task_next(DIR **tasks)
{
	struct dirent *task;

	if (!*tasks)
		*tasks = opendir("/proc/self/task");
	if (!*tasks)
		return 0;
	while ((task = readdir(*tasks)))
		if (task->d_name[0] != '.')
			return atoi(task->d_name);
	closedir(*tasks);
	*tasks = NULL;
	return 0;
}

FILE *task_open(int tid, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
	return fopen(path, "re");
}
