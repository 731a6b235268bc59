/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs there are, which one we are on, and how the per-CPU layer excludes others from it: the
 * mode, chosen once, before the first pool. Owns nothing but the answers.
 *
 *   rseq    pops and pushes are restartable sequences; another CPU is stopped with a fence
 *   locked  each CPU's stacks have a lock; works everywhere, taken where rseq cannot be had
 */
#ifndef TP_CPU_H
#define TP_CPU_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/colour.h"
#include "base/compiler.h"
#include "percpu/rseq.h"

/* Counts CPUs and chooses the mode, at the first call; TIERPOOL_PERCPU=rseq|locked is heard. */
void tp_cpu_init(void);

/* Entries of a table indexed by CPU; the same for the life of the process. */
unsigned tp_cpu_count(void);

/*
 * Where glibc keeps the caller's rseq area, from the thread pointer; 0: nowhere that we know of.
 * Set by tp_cpu_init.
 */
extern tp_hidden ptrdiff_t tp_cpu_rseq_area;

/* The same in rseq mode, 0 in locked mode: both questions of the fast path in one load. */
extern tp_hidden ptrdiff_t tp_cpu_rseq;

/*
 * The CPU the caller runs on; any number where the kernel cannot tell. Stale as soon as it is
 * known: a hint.
 */
static inline unsigned tp_cpu_id(void)
{
	const char *area = (const char *)__builtin_thread_pointer() + tp_cpu_rseq_area;

	/* -1 or -2 where the kernel does not keep it (linux/rseq.h). */
	if (tp_likely(tp_cpu_rseq_area))
		return *(const volatile uint32_t *)(const void *)(area + TP_RSEQ_CPU_ID);
	return (unsigned)sched_getcpu();
}

/* The line of its page (tp_colour) in which the caller's rseq area lies. */
static inline uint64_t tp_cpu_rseq_colour(void)
{
	return tp_colour((uintptr_t)__builtin_thread_pointer() + (uintptr_t)tp_cpu_rseq_area);
}

/* The same, below count; 0 where it is not, which only a CPU that nobody configured is. */
static inline unsigned tp_cpu_current(unsigned count)
{
	unsigned cpu_id = tp_cpu_id();

	return tp_likely(cpu_id < count) ? cpu_id : 0;
}

/* The next CPU of so many, all around. */
static inline unsigned tp_cpu_next(unsigned cpu_id, unsigned count)
{
	return cpu_id + 1 == count ? 0 : cpu_id + 1;
}

/* All CPUs, as an argument of tp_cpu_fence. */
#define TP_CPU_ALL (-1)

/*
 * Aborts whatever sequence a thread of this process is inside of on a CPU, or on all, and orders
 * what it stored there before what the caller does next. Half a microsecond where the CPU does not
 * run us, some ten where it does. 0; -errno where the system refuses, and nothing happened.
 */
int tp_cpu_fence(int cpu_id);

/*
 * Moves the caller to a CPU, calls there, and lets it go where it might before. What call gave;
 * false, without a call, where the system does not let us go there. For a stop when fences are
 * refused: while we run on a CPU, nobody else runs there. Microseconds, and it shows in the
 * thread's affinity meanwhile.
 */
bool tp_cpu_visit(unsigned cpu_id, bool (*call)(void *context), void *context);

/* "rseq" or "locked": the value of tierpool_stats.percpu. */
const char *tp_cpu_mode(void);

#endif
