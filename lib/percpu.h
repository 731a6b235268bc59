/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs there are, which one we are on, and how the per-CPU layer excludes others from it:
 * the mode. Owns nothing but the answers. Layer 1.
 */
#ifndef TP_PERCPU_H
#define TP_PERCPU_H

#include <sched.h>

/* Entries of a table indexed by CPU; the same for the life of the process. */
unsigned tp_percpu_count(void);

/* The CPU the caller runs on, brought below count. Stale as soon as it is known: a hint. */
static inline unsigned tp_percpu_current(unsigned count)
{
	unsigned cpu = (unsigned)sched_getcpu(); /* -1 where the kernel cannot tell */

	return cpu < count ? cpu : cpu % count;
}

/* "locked": the value of tierpool_stats.percpu. */
const char *tp_percpu_mode(void);

#endif
