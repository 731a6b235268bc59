/* SPDX-License-Identifier: MIT */
#include "resident.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpus.h"

bool resident_is_useful(void)
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
 * From smaps_rollup, which counts pages. statm adds up counters of the CPUs instead, and since
 * Linux 6.2 these are wrong by some dozens of pages a CPU.
 */
size_t resident(void)
{
	char text[512] = "";
	const char *line = NULL;
	int rollup = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);

	if (rollup < 0)
		return 0;
	/* By hand, because stdio takes memory of its own. */
	if (read(rollup, text, sizeof text - 1) > 0)
		line = strstr(text, "\nRss:");
	close(rollup);
	return line ? strtoull(line + strlen("\nRss:"), NULL, 10) << 10 : 0;
}

size_t above(size_t bytes, size_t start)
{
	return bytes > start ? bytes - start : 0;
}

tierpool_buf *get_touched(tierpool *pool, size_t size)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, size);

	if (b)
		memset(b->data, 1, b->cap);
	return b;
}
