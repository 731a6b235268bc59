/* SPDX-License-Identifier: MIT */
#include "process/pressure.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/keep_errno.h"

/*
 * A file that is open for microseconds, in the program's own table of files. In these the program may
 * close it (closefrom(3)), and may open another one of the same number. So
 *
 *   pressure_line    reads by pread: what is no plain file refuses that, and loses no byte
 *   pressure_close   closes the number only if it is still the same file
 *
 * Two gaps remain, each between two system calls in a row: open and fstat, and fstat and close. If in one
 * of them the program closes the number and opens a file of its own there, that file is closed. A table of
 * files of the thread's own (CLOSE_RANGE_UNSHARE) would leave no gap, but is no choice:
 *   - a cache's destroy and a backing run in the reaper's thread, and may close files of the program
 *   - another thread that leaves the common table closes what it had there, which the kernel takes for
 *     a close by the process: what mq_notify(3) has asked for is gone
 */
struct pressure_file {
	int number;
	struct stat identity;
};

/* False, with errno: it cannot be had. */
static bool pressure_open(struct pressure_file *file, const char *path)
{
	int error;

	file->number = open(path, O_RDONLY | O_CLOEXEC);
	if (file->number < 0 || !fstat(file->number, &file->identity))
		return file->number >= 0;
	/* Refused; or the program has closed it, and then the number is not ours. */
	error = errno;
	if (error != EBADF)
		close(file->number);
	errno = error;
	return false;
}

static void pressure_close(const struct pressure_file *file)
{
	struct stat now;

	if (!fstat(file->number, &now) && now.st_dev == file->identity.st_dev &&
		now.st_ino == file->identity.st_ino)
		close(file->number);
}

/*
 * Reads the line that begins at a place, without its newline. Returns: how far it is to the next line,
 * if the whole line is there; else 0, with an empty line; -errno.
 */
static ssize_t pressure_line(const struct pressure_file *file, char *line, size_t size, off_t at)
{
	ssize_t n = pread(file->number, line, size - 1, at);
	char *end;

	if (n < 0)
		return -errno;
	end = memchr(line, '\n', (size_t)n);
	/* The last line may have no newline. One that fills all of the room may be cut. */
	if (!end && n == (ssize_t)size - 1)
		n = 0;
	line[end ? end - line : n] = 0;
	return end ? end - line + 1 : n;
}

/* Returns: microseconds, or TP_PRESSURE_UNKNOWN with *error. */
static uint64_t pressure_waited(const char *path, int *error)
{
	uint64_t waited = TP_PRESSURE_UNKNOWN;
	struct pressure_file file;
	char line[128];
	ssize_t n;

	*error = 0;
	if (!pressure_open(&file, path)) {
		*error = -errno;
		return TP_PRESSURE_UNKNOWN;
	}
	n = pressure_line(&file, line, sizeof line, 0);
	pressure_close(&file);
	if (n < 0 || sscanf(line, "some %*s %*s %*s total=%" SCNu64, &waited) != 1)
		*error = n < 0 ? (int)n : -EINVAL;
	return waited;
}

/*
 * Reads the path of the process's cgroup of version 2 within its hierarchy, which stands behind
 * "0::". False: it is in none; or in one that is not under the root of its cgroup namespace, and so
 * under no mount: such a path begins with "/.."; or in one whose path is too long to be opened.
 */
static bool pressure_cgroup(char line[PATH_MAX])
{
	struct pressure_file file;
	off_t at = 0;
	ssize_t n;

	if (!pressure_open(&file, "/proc/self/cgroup"))
		return false;
	do {
		n = pressure_line(&file, line, PATH_MAX, at);
		at += n;
	} while (n > 0 && strncmp(line, "0::", 3));
	pressure_close(&file);
	return n > 0 && (strncmp(line + 3, "/..", 3) || (line[6] && line[6] != '/'));
}

static uint64_t pressure_waited_in_cgroup(void)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char line[PATH_MAX], path[PATH_MAX + 64];
	uint64_t waited = TP_PRESSURE_UNKNOWN;
	int error;

	if (!pressure_cgroup(line))
		return TP_PRESSURE_UNKNOWN;
	for (unsigned i = 0; i < 2 && waited == TP_PRESSURE_UNKNOWN; i++) {
		snprintf(path, sizeof path, "%s%s/memory.pressure", mounts[i], line + 3);
		waited = pressure_waited(path, &error);
	}
	return waited;
}

int tp_pressure_read(struct tp_pressure *now)
{
	TP_KEEP_ERRNO;
	int error;

	now->at_ms = tp_clock_ms();
	now->waited_us[0] = pressure_waited(TP_PRESSURE_SYSTEM, &error);
	now->waited_us[1] = pressure_waited_in_cgroup();
	return now->waited_us[1] == TP_PRESSURE_UNKNOWN ? error : 0;
}

bool tp_pressure_is(const struct tp_pressure *before, const struct tp_pressure *now)
{
	uint64_t tenth_us = (now->at_ms - before->at_ms) * 1000 / 10;

	for (unsigned i = 0; i < TP_PRESSURES; i++) {
		uint64_t from = before->waited_us[i], to = now->waited_us[i];

		/* It is less than before if the process is in another cgroup by now. */
		if (from != TP_PRESSURE_UNKNOWN && to != TP_PRESSURE_UNKNOWN && to >= from &&
			to - from >= tenth_us)
			return true;
	}
	return false;
}
