/* SPDX-License-Identifier: MIT */
/*
 * The pool beside the four allocators at one job, and the table of such comparisons.
 *
 * Each side has a process of its own, made for one row of the table, so that no side finds a heap
 * as another one left it: the pool's blocks are glibc's, and from which size on glibc calls mmap,
 * and when it trims, follows what was freed before. The sides take turns (turns.h) on the same
 * CPUs; those that wait sleep.
 *
 * A process has two threads if there are two CPUs, also where one of them does nothing: an
 * allocator may take a shortcut as long as there is only one.
 */
#ifndef COMPARISON_H
#define COMPARISON_H

#include <stddef.h>

#include <tierpool.h>

#include "support/allocators.h"

/* Who does the job: one of the two is NULL. */
struct side {
	tierpool *pool;
	const struct allocator *allocator;
};

struct job {
	/* Does it count times. It ends the process by job_fail if there is no memory. */
	void (*work)(const struct side *side, size_t size, unsigned count);
	/* Of a size: items in a job; all figures are of one item. NULL: one. */
	unsigned (*items)(size_t size);
	unsigned threads; /* 1; or 2, which do it at once, with one pool */
	/* Of the pool; NULL: all defaults. */
	const struct tierpool_options *options;
	/* The rows: least, then each times 2 to the power of step, as many as sizes. */
	size_t least;
	unsigned step, sizes;
};

/*
 * Measures and prints a table. A row has turns of about a millisecond, longer if the job is.
 * Before:  the calling thread is not pinned: each side's threads choose of the CPUs that it has.
 * title:   what is compared, some lines
 * seconds: how long; at least eight rounds a row are made, whatever they take
 * Returns: 0; -errno; -ECANCELED after a message of a side's.
 */
int comparison_table(const char *title, const struct job *job, double seconds);

__attribute__((noreturn)) void job_fail(void);

#endif
