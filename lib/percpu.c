/* SPDX-License-Identifier: MIT */
#include "percpu.h"

#include <unistd.h>

/* glibc 2.35 and later; weak, so that the library loads where they are missing. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

ptrdiff_t tp_percpu_rseq;

__attribute__((constructor)) static void percpu_start(void)
{
	if (&__rseq_size && &__rseq_offset && __rseq_size)
		tp_percpu_rseq = __rseq_offset;
}

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
