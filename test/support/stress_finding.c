/* SPDX-License-Identifier: MIT */
#include "stress_finding.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/atomic.h"

int stop, broken;

void broke(const char *format, ...)
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
