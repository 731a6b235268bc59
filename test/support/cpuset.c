/* SPDX-License-Identifier: MIT */
#include "cpuset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	char parent[300], child[340]; /* folders of the hierarchy; empty: none */
} cpuset;

static bool cpuset_write(const char *folder, const char *file, const char *text)
{
	char path[400];
	int fd;
	bool written;

	snprintf(path, sizeof path, "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return written;
}

static bool cpuset_copy(const char *from, const char *to, const char *file)
{
	char path[400], text[400] = "";
	int fd;

	snprintf(path, sizeof path, "%s/%s", from, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
		text[0] = '\0';
	if (fd >= 0)
		close(fd);
	return *text && cpuset_write(to, file, text);
}

/* Where this process is in the hierarchy of cpusets, version 1. */
static bool cpuset_find(void)
{
	char line[256];
	FILE *cgroup = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (cgroup && !found && fgets(line, sizeof line, cgroup)) {
		const char *path = strstr(line, ":cpuset:");

		found = path;
		if (found)
			snprintf(cpuset.parent, sizeof cpuset.parent, "/sys/fs/cgroup/cpuset%.*s",
				(int)strcspn(path + 8, "\n"), path + 8);
	}
	if (cgroup)
		fclose(cgroup);
	return found;
}

static bool cpuset_move(const char *folder)
{
	char pid[16];

	snprintf(pid, sizeof pid, "%d", getpid());
	return cpuset_write(folder, "cgroup.procs", pid);
}

/* The process, with all its threads, may use only this CPU. NULL; or why it cannot be done. */
const char *cpuset_enter(unsigned cpu)
{
	char text[16];

	if (!cpuset_find())
		return "there is no hierarchy of cpusets (cgroup v1) here";
	snprintf(cpuset.child, sizeof cpuset.child, "%s/tierpool.%d", cpuset.parent, getpid());
	if (mkdir(cpuset.child, 0755))
		return "no cpuset can be made here";
	snprintf(text, sizeof text, "%u", cpu);
	if (!cpuset_copy(cpuset.parent, cpuset.child, "cpuset.mems") ||
		!cpuset_write(cpuset.child, "cpuset.cpus", text) || !cpuset_move(cpuset.child))
		return "no cpuset can be entered here";
	return NULL;
}

/* Moves the process back, and removes the cpuset. */
void cpuset_leave(void)
{
	if (!*cpuset.child)
		return;
	cpuset_move(cpuset.parent);
	/* A thread that was joined may still be there for a moment. */
	for (unsigned i = 0; i < 1000 && rmdir(cpuset.child) && errno == EBUSY; i++)
		usleep(1000);
}
