/* SPDX-License-Identifier: MIT */
/*
 * How pair_latency measures: one or two pinned threads, and rounds. In a round each contender runs
 * one batch of pairs of one size; each round begins with the next contender; and between any two
 * the floor runs a batch. So each batch lies between two of the floor, mostly less than a
 * millisecond apart: they show whether the machine was disturbed then, and how fast it was.
 *
 * With a busy neighbour one thread measures, and the second keeps its CPU busy meanwhile.
 */
#ifndef ROUNDS_H
#define ROUNDS_H

#include "contenders.h"
#include "neighbour.h"
#include "support/team.h"

#define SIZES 15
#define SETTINGS_MOST 2  /* one thread, and either two or one with a busy neighbour */
#define ROUNDS_MOST 2048 /* of a cell */

/* One size with one number of threads, or with a busy neighbour. */
struct cell {
	size_t size;      /* bytes */
	unsigned threads; /* that measure */
	bool busy;        /* the neighbour */
	unsigned trials, rounds;
	double best[CONTENDERS]; /* ns a pair, of the trials */

	/* ns a pair: the contender's, the floor's around it, and the longest of the latter. */
	double ns[CONTENDERS][ROUNDS_MOST];
	double floor[CONTENDERS][ROUNDS_MOST];
	double disturbed[CONTENDERS][ROUNDS_MOST];
	double probe[PROBES][ROUNDS_MOST]; /* ns an add */
};

/* ns a pair, in one thread. */
struct sample {
	double ns;
	double before, after; /* the floor's */
};

struct bench {
	struct team team;
	const struct cell *cell;
	struct sample samples[THREADS_MOST][CONTENDERS];
	double probe[PROBES]; /* of the first thread */
	bool measured;        /* the busy neighbour may end */
};

/* A team's part of a round; context: the struct bench, with its cell. */
void batches_run(void *context, unsigned who);

/* One round of a cell that has had fewer than ROUNDS_MOST. */
void round_run(struct bench *bench, struct cell *cell);

#endif
