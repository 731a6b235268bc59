/* SPDX-License-Identifier: MIT */
/*
 * For tests of what goes back to the system: how much of the process is resident.
 */
#ifndef RESIDENT_H
#define RESIDENT_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpus.h"
#include "pool_checks.h"

/* There where a program is linked with jemalloc. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

/*
 * Whether resident() tells of the pool. Where not, the reason is said once, and the rest goes on.
 */
static inline bool resident_tells(void)
{
	static bool said;
	const char *why = SANITIZED          ? "a sanitizer keeps what is freed"
			  : under_valgrind() ? "Valgrind has a malloc of its own"
			  : access("/proc/self/smaps_rollup", R_OK)
				  ? "/proc/self/smaps_rollup cannot be read"
				  : NULL;

	if (why && !said)
		fprintf(stderr, "skipped a part, which is about resident bytes: %s\n", why);
	said = true;
	return !why;
}

/*
 * Bytes of the process that are resident; 0: unknown. From smaps_rollup, which counts pages: statm
 * tells what counters of the CPUs add up to, and since Linux 6.2 is off by up to some dozens of
 * pages a CPU, by hundreds where there are many CPUs.
 */
static inline size_t resident(void)
{
	char text[512] = "";
	const char *line = NULL;
	int rollup = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);

	if (rollup < 0)
		return 0;
	/* By hand: stdio takes memory of its own. */
	if (read(rollup, text, sizeof text - 1) > 0)
		line = strstr(text, "\nRss:");
	close(rollup);
	return line ? strtoull(line + strlen("\nRss:"), NULL, 10) * KIB : 0;
}

static inline size_t above(size_t bytes, size_t start)
{
	return bytes > start ? bytes - start : 0;
}

/* With all its pages touched. NULL where the get failed. */
static inline tierpool_buf *get_touched(tierpool *pool, size_t size)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, size);

	if (b)
		memset(b->data, 1, b->cap);
	return b;
}

#endif
