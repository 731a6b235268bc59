/* SPDX-License-Identifier: MIT */
/*
 * For tests of what the reaper leaves alone: the memory pressure of the machine that they happen to
 * run on is none of theirs. To be included by one file of a program.
 */
#ifndef NO_PRESSURE_H
#define NO_PRESSURE_H

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

/*
 * In place of the C library's: what tells of pressure takes what is written, and tells of nothing.
 */
int open(const char *path, int flags, ...)
{
	static int (*next)(const char *, int, ...);
	va_list args;
	int mode;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "open");
	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, int) : 0;
	va_end(args);
	return next(strstr(path, "pressure") ? "/dev/null" : path, flags, mode);
}

#endif
