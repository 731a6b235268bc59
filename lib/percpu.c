/* SPDX-License-Identifier: MIT */
#include "percpu.h"

#include <unistd.h>

unsigned tp_percpu_count(void)
{
	/* Configured rather than online: a CPU that comes up later has its place already. */
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return n > 0 ? (unsigned)n : 1;
}

const char *tp_percpu_mode(void)
{
	return "locked";
}
