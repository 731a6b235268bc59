/* SPDX-License-Identifier: MIT */
/*
 * What tick_tail measures: the two threads, the turns of a round, and the lengths that result.
 */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <pthread.h>
#include <stdint.h>

#include <tierpool.h>

#include "support/histogram.h"

#define MILD_TICKS 100 /* between trims */
#define ROUNDS_MOST 4096

enum { EMPTY, QUIET, MILD, HARD, CONDITIONS };

/* What is reported of the intervals of a turn, in ns. */
enum { P50, P99, P999, MOST, LENGTHS };

struct condition {
	unsigned rounds;
	double length[LENGTHS][ROUNDS_MOST];
	uint64_t samples;
	uint64_t gets, hits;

	/* Of the ticker. */
	double seconds;          /* that it ran */
	double tick_ns, trim_ns; /* in all */
	uint64_t ticks, trims;
	uint64_t released; /* bytes */
};

/*
 * The ticker sleeps at the gate until a turn needs it. The getter writes all of this before it opens
 * the gate, and passes the gate again at the end of the turn. In between the ticker writes its own
 * part of the turn's condition, and the getter the rest.
 */
struct bench {
	tierpool *pool;
	const char *percpu; /* as the pool has it; another one may have been asked for */
	size_t working_set; /* bytes */
	double ns_a_count;  /* of the clock */
	double ticks;       /* a second */
	unsigned cpu[2];
	pthread_t ticker;
	pthread_barrier_t gate;
	struct condition *turn; /* NULL: the end */
	unsigned ticks_a_trim;
	double turn_end; /* by now_ns */
	struct histogram histogram;
	struct condition condition[CONDITIONS];
};

/*
 * Begins the threads on their CPUs, the pool, and its working set, and prints what they are.
 * Before:  b->cpu and b->ticks are set.
 * Returns: 0; -errno, and then the process must end.
 */
int bench_begin(struct bench *b);
void bench_end(struct bench *b);

void rounds_run(struct bench *b, double seconds);

#endif
