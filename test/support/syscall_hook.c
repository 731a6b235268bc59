/* SPDX-License-Identifier: MIT */
#include "syscall_hook.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/atomic.h"

void (*syscall_before)(long number, const long argument[6]);
_Thread_local int syscall_error;

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	void (*before)(long, const long *) = tp_load_acquire(&syscall_before);
	long argument[6];
	va_list args;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	va_start(args, number);
	for (unsigned i = 0; i < 6; i++)
		argument[i] = va_arg(args, long);
	va_end(args);
	syscall_error = 0;
	if (before)
		before(number, argument);
	if (syscall_error) {
		errno = syscall_error;
		return -1;
	}
	return next(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		argument[5]);
}
