/* SPDX-License-Identifier: MIT */
/*
 * The batches and rounds of pair_latency: rounds.h.
 */
#include "rounds.h"

#include "support/measure.h"

#define BATCH_NS 1e6     /* no batch is longer: a contender that is slow makes fewer pairs */
#define TRIAL_PAIRS 4096 /* the batch of the first rounds, which show who is slow, ... */
#define TRIALS 3         /* ... by the best of these, as any may be disturbed */

/* Two threads leave together; one does not wait. */
static void batch_meet(struct bench *bench)
{
	if (bench->cell->threads > 1)
		team_meet(&bench->team);
}

static uint64_t batch_pairs(const struct cell *cell, unsigned contender)
{
	if (cell->trials < TRIALS)
		return TRIAL_PAIRS;
	if (cell->best[contender] * BATCH_PAIRS <= BATCH_NS)
		return BATCH_PAIRS;
	return (uint64_t)(BATCH_NS / cell->best[contender]) / NESTED * NESTED + NESTED;
}

/* Returns: ns a pair. Two threads begin at once. */
static __attribute__((__noinline__)) double batch_run(struct bench *bench, unsigned contender)
{
	const struct contender *c = &contenders[contender];
	uint64_t pairs = batch_pairs(bench->cell, contender);
	char shift[stack_shift(bench->cell->rounds)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	c->pairs(c, bench->cell->size, pairs / WARM_UP + 1);
	batch_meet(bench);
	start = now_ns();
	c->pairs(c, bench->cell->size, pairs);
	return (now_ns() - start) / (double)pairs;
}

static void batches_measure(struct bench *bench, unsigned who)
{
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

void batches_run(void *context, unsigned who)
{
	struct bench *bench = context;

	if (bench->cell->busy)
		team_meet(&bench->team);
	if (bench->cell->busy && who) {
		neighbour_keep_busy(&bench->measured);
	} else {
		for (unsigned i = 0; i < PROBES && !who; i++)
			bench->probe[i] = neighbour_probe(i);
		batches_measure(bench, who);
		__atomic_store_n(&bench->measured, true, __ATOMIC_RELAXED);
	}
	if (bench->cell->busy)
		team_meet(&bench->team);
}

/* Of two threads the mean, but the longer of their disturbances. */
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

void round_run(struct bench *bench, struct cell *cell)
{
	bench->cell = cell;
	bench->measured = false;
	team_run(&bench->team, cell->busy ? 2 : cell->threads);
	for (unsigned i = 0; i < CONTENDERS; i++)
		sample_keep(cell, i, &bench->samples[0][i], &bench->samples[cell->threads - 1][i]);
	if (cell->trials < TRIALS) {
		cell->trials++;
		return;
	}
	for (unsigned i = 0; i < PROBES; i++)
		cell->probe[i][cell->rounds] = bench->probe[i];
	cell->rounds++;
}
