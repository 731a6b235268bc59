/* SPDX-License-Identifier: MIT */
/*
 * A process that measures, and its resident memory: process.h.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/measure.h"
#include "support/program.h"

#define PROCESS_ROLLUP "/proc/self/smaps_rollup"

void process_fail(const char *what, int error)
{
	fprintf(stderr, "given_back: %s: %s\n", what, strerror(error));
	_exit(FAILED);
}

void process_pin(void)
{
	unsigned cpus[2];
	int error = cpus_choose(cpus, false) ? pin(cpus[0]) : -EINVAL;

	if (error)
		process_fail("a CPU", -error);
}

/* ---- what it reads of itself ---- */

bool process_resident_known(void)
{
	return !access(PROCESS_ROLLUP, R_OK);
}

/* No stdio: a FILE would be allocated in between. */
double process_resident(void)
{
	char text[4096];
	int file = open(PROCESS_ROLLUP, O_RDONLY | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, text, sizeof text - 1);
	const char *rss;

	if (n < 0)
		process_fail(PROCESS_ROLLUP, errno);
	close(file);
	text[n] = '\0';
	rss = strstr(text, "\nRss:");
	if (!rss)
		process_fail(PROCESS_ROLLUP, ENODATA);
	return KIB * strtod(rss + strlen("\nRss:"), NULL);
}

struct tierpool_stats process_stats(tierpool *pool)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	int error = tierpool_stats_read(pool, &stats);

	if (error)
		process_fail("tierpool_stats_read", -error);
	return stats;
}
