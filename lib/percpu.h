/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs there are, which one we are on, and how the per-CPU layer excludes others from it:
 * the mode. Owns nothing but the answers. Layer 1.
 */
#ifndef TP_PERCPU_H
#define TP_PERCPU_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "base.h"

/* Entries of a table indexed by CPU; the same for the life of the process. */
unsigned tp_percpu_count(void);

/*
 * Where glibc keeps the caller's rseq area, from the thread pointer; 0: nowhere that we know of.
 * Set when the library is loaded.
 */
extern tp_hidden ptrdiff_t tp_percpu_rseq;

/*
 * The CPU the caller runs on; any number where the kernel cannot tell. Stale as soon as it is known: a
 * hint.
 */
static inline unsigned tp_percpu_id(void)
{
	const char *area = (const char *)__builtin_thread_pointer() + tp_percpu_rseq;

	/* cpu_id is the second word; -1 or -2 where the kernel does not keep it (linux/rseq.h). */
	if (tp_likely(tp_percpu_rseq))
		return *(const volatile uint32_t *)(const void *)(area + 4);
	return (unsigned)sched_getcpu();
}

/* The same, below count; 0 where it is not, which only a CPU that nobody configured is. */
static inline unsigned tp_percpu_current(unsigned count)
{
	unsigned cpu = tp_percpu_id();

	return tp_likely(cpu < count) ? cpu : 0;
}

/* "locked": the value of tierpool_stats.percpu. */
const char *tp_percpu_mode(void);

#endif
