/* SPDX-License-Identifier: MIT */
/*
 * Whether the bound on idle bytes is true: what a pool that keeps as many buffers as it may has
 * resident, against what it counts; and whether it ever counts more than retain.
 */
#ifndef BOUND_H
#define BOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOUND_RETAIN ((size_t)64 << 20)

struct bound {
	size_t idle;     /* buffers that are kept */
	uint64_t freed;  /* of those put: the pool is full, and not more than full, if it is 0 */
	double counted;  /* idle_bytes */
	double tables;   /* overhead_bytes */
	double resident; /* more than before the pool was made */
	double highest;  /* the most idle_bytes that were read during puts, by retain */
};

/*
 * Measures a tier: the pool is filled twice, in two processes. First with far more than it keeps,
 * to see how many that is, and whether the bound holds. Then with just these, every byte of which is
 * written: so nothing is freed to a malloc, which might keep it.
 *
 * alone:   the pool has a list of this one tier; else the powers of two
 * Returns: as child_run.
 */
int bound_measure(struct bound *bound, size_t size, bool alone);

#endif
