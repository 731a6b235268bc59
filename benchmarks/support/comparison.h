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
#include "support/turns.h"

/* The sides: the pool, then each allocator. */
#define COMPARED_POOL 0
#define COMPARED (1 + ALLOCATORS)

/* Who does the job: one of the two is NULL. */
struct side {
	tierpool *pool;
	const struct allocator *allocator;
};

struct job {
	/* Does it count times. It ends the process by job_fail if there is no memory. */
	void (*work)(const struct side *side, size_t size, unsigned count);
	size_t size;
	unsigned items;   /* in a job; all figures are of one item */
	unsigned threads; /* 1; or 2, which do it at once, with one pool */
	/* Of the pool; NULL: all defaults. */
	const struct tierpool_options *options;
};

struct comparison {
	struct turns turns; /* ns */
	/* Means of all turns: page faults without input or output, and blocks from the backing. */
	double faults[COMPARED];
	double allocs;
	/* Of the rows so far: the pool's time, times glibc's and times the best. */
	double worst[2];
};

/*
 * One row: turns of about a millisecond, longer if the job is.
 * Before:  the calling thread is not pinned: each side's threads choose of the CPUs that it has.
 * seconds: how long; at least eight rounds are made, whatever they take
 * Returns: 0; -errno; -ECANCELED after a message of a side's.
 */
int comparison_run(struct comparison *c, const struct job *job, double seconds);

/* Begins a table. title: what is compared, some lines. */
void comparison_head_print(struct comparison *c, const char *title);
void comparison_row_print(struct comparison *c, size_t size);
void comparison_worst_print(const struct comparison *c);

__attribute__((noreturn)) void job_fail(void);

#endif
