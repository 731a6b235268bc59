/* SPDX-License-Identifier: MIT */
#include "base/pathname.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool tp_pathname(char *path, size_t size, const char *pattern)
{
	const char *p = strstr(pattern, "%p");
	int length = p ? snprintf(path, size, "%.*s%ld%s", (int)(p - pattern), pattern,
				 (long)getpid(), p + 2)
		       : snprintf(path, size, "%s", pattern);

	return length >= 0 && (size_t)length < size;
}
