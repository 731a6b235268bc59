/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs there are, which one the caller runs on, and the mode: how others are kept out of a
 * CPU's stacks. The mode is chosen once, before the first pool. Knows nothing of the stacks.
 *
 *   rseq    pops and pushes are restartable sequences; another CPU is stopped with a fence
 *   locked  each CPU's stacks have a lock; works everywhere, and is chosen if rseq is not possible
 */
#ifndef TP_CPU_H
#define TP_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/colour.h"
#include "base/compiler.h"
#include "percpu/rseq.h"

/* Counts CPUs and chooses the mode, at the first call. Reads TIERPOOL_PERCPU=rseq|locked. */
void tp_cpu_init(void);

/* Entries of a table that is indexed by CPU. The same for the life of the process. */
unsigned tp_cpu_count(void);

/*
 * Where glibc keeps each thread's rseq area: an offset from the thread pointer; 0: none is known.
 * Written by tp_cpu_init, read by anyone.
 */
extern tp_hidden ptrdiff_t tp_cpu_rseq_area;

/* The same offset in rseq mode, 0 in locked mode: one load gives the fast path both. */
extern tp_hidden ptrdiff_t tp_cpu_rseq;

/* The same, of the C library. Leaves errno alone: locked gets and puts without an rseq area ask it. */
unsigned tp_cpu_id_of_libc(void);

/*
 * The CPU that the caller runs on; any number if the kernel does not say. A hint, since the thread
 * may migrate at once.
 */
static inline unsigned tp_cpu_id(void)
{
	const char *area = (const char *)__builtin_thread_pointer() + tp_cpu_rseq_area;

	/* -1 or -2 if the kernel does not keep it (linux/rseq.h). */
	if (tp_likely(tp_cpu_rseq_area))
		return *(const volatile uint32_t *)(const void *)(area + TP_RSEQ_CPU_ID);
	return tp_cpu_id_of_libc();
}

/* The colour of the caller's rseq area. */
static inline uint64_t tp_cpu_rseq_colour(void)
{
	return tp_colour((uintptr_t)__builtin_thread_pointer() + (uintptr_t)tp_cpu_rseq_area);
}

/* As tp_cpu_id, but below count: 0 stands for a CPU beyond it, which was not configured. */
static inline unsigned tp_cpu_current(unsigned count)
{
	unsigned cpu_id = tp_cpu_id();

	return tp_likely(cpu_id < count) ? cpu_id : 0;
}

/* The CPU after cpu_id; after the last one, CPU 0. */
static inline unsigned tp_cpu_next(unsigned cpu_id, unsigned count)
{
	return cpu_id + 1 == count ? 0 : cpu_id + 1;
}

/* All CPUs, as an argument of tp_cpu_fence. */
#define TP_CPU_ALL (-1)

/*
 * Aborts the sequence that a thread of this process is inside of on a CPU, or on all CPUs. What
 * that thread stored before is ordered before what the caller does next. Costs half a microsecond
 * if the CPU does not run this process, about ten if it does.
 *
 * Returns: 0; -errno: the system refused, and nothing happened.
 */
int tp_cpu_fence(int cpu_id);

/*
 * Moves the caller to a CPU, calls call there, and restores its affinity. A stopper does so if
 * fences are refused: while it runs on a CPU, no other thread runs there. Takes microseconds.
 * Other threads can see the changed affinity meanwhile.
 *
 * Returns: what call returned; false without a call if the system does not let the caller go there.
 */
bool tp_cpu_visit(unsigned cpu_id, bool (*call)(void *context), void *context);

/* "rseq" or "locked": the value of tierpool_stats.percpu. */
const char *tp_cpu_mode(void);

#endif
