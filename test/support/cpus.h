/* SPDX-License-Identifier: MIT */
/*
 * For tests to which it matters where they run: on which CPUs, under Valgrind, in a sanitizer; and
 * what they do where it is not to be had.
 */
#ifndef CPUS_H
#define CPUS_H

#include <criterion/criterion.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Leaves the test, saying why to whoever runs it even quietly. */
static inline void skip(const char *why)
{
	fprintf(stderr, "skipped a test: %s\n", why);
	cr_skip_test("%s", why);
}

/*
 * By what it preloads; its headers are not everywhere. It has malloc for itself, and does not step.
 */
static inline bool under_valgrind(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return preloaded && strstr(preloaded, "vgpreload");
}

/* Keeps this thread on the nth CPU that it may use. False: there are not so many. */
static inline bool pin(unsigned nth)
{
	static cpu_set_t allowed;
	static bool known;
	cpu_set_t one;

	if (!known)
		known = !sched_getaffinity(0, sizeof allowed, &allowed);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !nth--) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			return !sched_setaffinity(0, sizeof one, &one);
		}
	return false;
}

/* Keeps this thread where it is: idle buffers below 256 KiB are found on the own CPU only. */
static inline void stay_on_this_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof one, &one);
}

#endif
