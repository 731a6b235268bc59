/* SPDX-License-Identifier: MIT */
/*
 * How pair_latency measures: one or two pinned threads, and rounds. In a round each contender has a
 * batch of pairs of one size, each round beginning with the next of them, and between any two the
 * floor has one. So each batch lies between two of the floor, less than a millisecond apart mostly:
 * they tell whether the machine was disturbed then, and how fast it was.
 */
#ifndef PAIR_ROUNDS_H
#define PAIR_ROUNDS_H

#include <stdint.h>

#include "pair_contenders.h"
#include "team.h"

#define SIZES 15
#define ROUNDS_MOST 2048 /* of a cell */

#define BATCH_PAIRS 40960 /* 0.2 ms of the floor, against 20 ns for reading the clock */
#define BATCH_NS 1e6      /* no batch is longer: a contender that is slow makes fewer pairs */
#define WARM_UP 16        /* a sixteenth of a batch goes before it, for caches and branches */
#define TRIAL_PAIRS 4096  /* the batch of the first rounds, which tell who is slow, ... */
#define TRIALS 3          /* ... by the best of so many, as any may be disturbed */

/* One size with one number of threads. */
struct cell {
	size_t size; /* bytes */
	unsigned threads;
	unsigned trials, rounds;
	double best[CONTENDERS]; /* ns a pair, of the trials */

	/* ns a pair: the contender's, the floor's around it, and the longest of the latter. */
	double ns[CONTENDERS][ROUNDS_MOST];
	double floor[CONTENDERS][ROUNDS_MOST];
	double disturbed[CONTENDERS][ROUNDS_MOST];
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
};

/* Both threads leave together; one by itself at once. */
static void batch_meet(struct bench *bench)
{
	if (bench->cell->threads > 1)
		meet(&bench->team.meeting);
}

static uint64_t batch_pairs(const struct cell *cell, unsigned contender)
{
	if (cell->trials < TRIALS)
		return TRIAL_PAIRS;
	if (cell->best[contender] * BATCH_PAIRS <= BATCH_NS)
		return BATCH_PAIRS;
	return (uint64_t)(BATCH_NS / cell->best[contender]) + 1;
}

/*
 * Where in its page the stack lies is chance, and worth 9 %: a store to some data may look, by its
 * last 12 bits, like one to a return address. So each round has its stack elsewhere, in steps of 16
 * bytes over a page; 101 of them from one round to the next, so that a few rounds are spread over
 * the page as many are.
 */
static size_t stack_shift(const struct cell *cell)
{
	return 16 * (1 + cell->rounds * 101 % 256);
}

/* ns a pair. Where two threads run, both begin at once. */
static __attribute__((__noinline__)) double batch_run(struct bench *bench, unsigned contender)
{
	const struct contender *c = &contenders[contender];
	uint64_t pairs = batch_pairs(bench->cell, contender);
	char shift[stack_shift(bench->cell)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	c->pairs(c, bench->cell->size, pairs / WARM_UP + 1);
	batch_meet(bench);
	start = now_ns();
	c->pairs(c, bench->cell->size, pairs);
	return (now_ns() - start) / (double)pairs;
}

/* One thread's part of a round. */
static void batches_run(void *context, unsigned who)
{
	struct bench *bench = context;
	unsigned first = bench->cell->trials + bench->cell->rounds;
	double floor = batch_run(bench, FLOOR);

	bench->samples[who][FLOOR] = (struct sample){floor, floor, floor};
	for (unsigned turn = 0; turn < CONTENDERS - 1; turn++) {
		unsigned i = TIERPOOL + (first + turn) % (CONTENDERS - 1);
		struct sample *s = &bench->samples[who][i];

		if (*contenders[i].absent)
			continue;
		s->before = floor;
		s->ns = batch_run(bench, i);
		s->after = floor = batch_run(bench, FLOOR);
	}
	batch_meet(bench);
}

/* Where two threads ran, their mean; but the longer of their disturbances. */
static void sample_keep(
	struct cell *cell, unsigned i, const struct sample *a, const struct sample *b)
{
	double before = a->before > b->before ? a->before : b->before;
	double after = a->after > b->after ? a->after : b->after;
	double ns = (a->ns + b->ns) / 2;

	if (cell->trials < TRIALS) {
		if (!cell->trials || ns < cell->best[i])
			cell->best[i] = ns;
		return;
	}
	cell->ns[i][cell->rounds] = ns;
	cell->floor[i][cell->rounds] = (a->before + a->after + b->before + b->after) / 4;
	cell->disturbed[i][cell->rounds] = before > after ? before : after;
}

/* One round of a cell, which must have room for it. */
static void round_run(struct bench *bench, struct cell *cell)
{
	bench->cell = cell;
	team_run(&bench->team, cell->threads);
	for (unsigned i = 0; i < CONTENDERS; i++)
		sample_keep(cell, i, &bench->samples[0][i], &bench->samples[cell->threads - 1][i]);
	if (cell->trials < TRIALS)
		cell->trials++;
	else
		cell->rounds++;
}

#endif
