/* SPDX-License-Identifier: MIT */
/*
 * What cache_latency measures: batches of tierpool_cache and of Go's sync.Pool in turn, each between
 * two of the floor, by one thread and by two.
 */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <tierpool.h>

#include "support/measure.h"
#include "support/partner.h"
#include "support/team.h"

#define ROUNDS_MOST DISTURBED_MOST /* of a number of threads */

enum { FLOOR, CACHE, GO, CONTENDERS };

/* The rounds of one number of threads; ns a pair. */
struct cell {
	unsigned threads;
	unsigned rounds;
	double ns[CONTENDERS][ROUNDS_MOST]; /* of the floor, the mean of its batches */
	double disturbed[ROUNDS_MOST];      /* the longest batch of the floor */
};

struct bench {
	struct team team;
	tierpool_cache *cache;
	struct partner partner[THREADS_MOST];
	int contender;
	unsigned together; /* threads in this batch */
	unsigned round;
	double ns[THREADS_MOST];
};

/*
 * Begins the cache, Go's programs, and the threads.
 * Returns: 0; -errno, and then the process must end.
 */
int bench_begin(struct bench *b, const char *partner);
void bench_end(struct bench *b);

/* Returns: 0; -errno. */
int round_run(struct bench *b, struct cell *cell);

#endif
