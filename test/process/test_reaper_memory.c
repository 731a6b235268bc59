/* SPDX-License-Identifier: MIT */
/*
 * The reaper under memory pressure that the kernel reports: processes in a memory cgroup that is
 * too small for the file which they read again and again, so that they wait for its pages. It lasts
 * no longer than it takes to be noticed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache_objects.h"
#include "pool_checks.h"
#include "reaper_checks.h"

#define READERS 4
#define FILE_BYTES (64 * MIB)
#define LIMIT "8388608"

static char group[128];
static pid_t reader[READERS];
static int file = -1;

static bool group_write(const char *name, const char *value)
{
	char path[256];
	int fd;
	bool done;

	snprintf(path, sizeof path, "%s/%s", group, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	if (fd >= 0)
		close(fd);
	return done;
}

/* Of the second version, or of the first. False: there is none that we may make. */
static bool group_make(void)
{
	static const char *const parents[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/memory"};
	static const char *const limits[] = {"memory.max", "memory.limit_in_bytes"};

	for (unsigned version = 0; version < 2; version++) {
		snprintf(group, sizeof group, "%s/tierpool-test-%d", parents[version], getpid());
		if (!mkdir(group, 0700)) {
			if (group_write(limits[version], LIMIT))
				return true;
			rmdir(group);
		}
	}
	return false;
}

/* A file on a disk, of which nothing is in memory. */
static bool file_make(void)
{
	static char block[MIB];
	char path[] = "/var/tmp/tierpool-test-XXXXXX";

	file = mkstemp(path);
	if (file < 0)
		return false;
	unlink(path);
	for (size_t at = 0; at < FILE_BYTES; at += sizeof block)
		if (write(file, block, sizeof block) != sizeof block)
			return false;
	return !fdatasync(file) && !posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static void read_again_and_again(void)
{
	static char block[MIB];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Longer than anybody waits. */
	alarm(2 * PATIENCE_S);
	if (!group_write("cgroup.procs", "0"))
		_exit(1);
	for (;;)
		for (size_t at = 0; at < FILE_BYTES; at += sizeof block)
			if (pread(file, block, sizeof block, (off_t)at) < 0)
				_exit(1);
}

static void readers_start(void)
{
	for (unsigned i = 0; i < READERS; i++) {
		reader[i] = fork();
		cr_assert_geq(reader[i], 0);
		if (!reader[i])
			read_again_and_again();
	}
}

static void readers_end(void)
{
	for (unsigned i = 0; i < READERS; i++) {
		kill(reader[i], SIGKILL);
		waitpid(reader[i], NULL, 0);
	}
	close(file);
	/* The kernel lets go of it when it has seen all of them end. */
	cr_assert(comes_true(!rmdir(group) || errno == ENOENT));
}

/* Microseconds that some task of the system has waited for memory. */
static unsigned long long waited(void)
{
	FILE *pressure = fopen("/proc/pressure/memory", "re");
	unsigned long long total = 0;

	if (!pressure || fscanf(pressure, "some %*s %*s %*s total=%llu", &total) != 1)
		total = 0;
	if (pressure)
		fclose(pressure);
	return total;
}

Test(reaper_memory, pressure_empties_every_pool_and_cache, .timeout = 120)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	tierpool *pool = pool_new(.decay_ms = UINT_MAX);
	unsigned long long before = waited();
	bool emptied;

	if (access("/proc/pressure/memory", W_OK))
		skip("there is no news of memory pressure here");
	if (!group_make())
		skip("no memory cgroup can be made here");
	if (!file_make()) {
		rmdir(group);
		skip("no file can be made in /var/tmp");
	}
	fill(pool);
	objects_give(cache, 200);
	cr_assert_eq(tierpool_reaper_start(), 0);
	readers_start();
	emptied = comes_true(objects_destroyed() == 200 && !stats_of(pool).idle);
	readers_end();
	tierpool_reaper_stop();
	/* A tenth of the time is what is asked for, a fifth is certain to be one. */
	if (!emptied && waited() - before < PATIENCE_S * 200000ull)
		skip("too little memory pressure could be made");
	cr_assert(emptied);
	cr_assert_eq(at_rest(pool).drops_trim, at_rest(pool).frees);
	cache_end(cache);
	tierpool_destroy(pool);
}
