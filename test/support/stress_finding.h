/* SPDX-License-Identifier: MIT */
/*
 * The first finding, at which a stress program ends.
 */
#ifndef STRESS_FINDING_H
#define STRESS_FINDING_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/atomic.h"

static int stop, broken;

/* Says what was found, if it is the first, and stops all threads. */
__attribute__((format(printf, 1, 2))) static void broke(const char *format, ...)
{
	va_list args;

	tp_store_relaxed(&stop, 1);
	if (tp_exchange_relaxed(&broken, 1))
		return;
	va_start(args, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

#endif
