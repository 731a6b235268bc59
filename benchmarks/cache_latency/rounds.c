/* SPDX-License-Identifier: MIT */
/*
 * The measured loops of cache_latency, the batches of a round, and the objects: rounds.h.
 */
#include "rounds.h"

#include <stdlib.h>

#include "support/floor.h"
#include "support/measure.h"

#define OBJECT_BYTES 64 /* a cache line */

/* ---- the measured loops: get, one store to the first bytes, put ---- */

MEASURED pairs_floor(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct floor_buf *b = floor_get(OBJECT_BYTES);

		touch(b->data, i);
		floor_put(b);
	}
}

MEASURED pairs_cache(tierpool_cache *cache, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		void *object = tierpool_cache_get(cache);

		touch(object, i);
		tierpool_cache_put(cache, object);
	}
}

static void pairs_run(struct bench *b, uint64_t count)
{
	if (b->contender == FLOOR)
		pairs_floor(count);
	else
		pairs_cache(b->cache, count);
}

static __attribute__((__noinline__)) void batch_time(void *context, unsigned who)
{
	struct bench *b = context;
	char shift[stack_shift(b->round)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	pairs_run(b, BATCH_PAIRS / WARM_UP);
	if (b->together > 1)
		team_meet(&b->team);
	start = now_ns();
	pairs_run(b, BATCH_PAIRS);
	b->ns[who] = (now_ns() - start) / BATCH_PAIRS;
	if (b->together > 1)
		team_meet(&b->team);
}

/* Returns: ns a pair, the mean of the threads. */
static double batch_run(struct bench *b, const struct cell *cell, int contender)
{
	b->contender = contender;
	b->together = cell->threads;
	b->round = cell->rounds;
	team_run(&b->team, cell->threads);
	return cell->threads == 1 ? b->ns[0] : (b->ns[0] + b->ns[1]) / 2;
}

/* Each side is first in every second round. */
int round_run(struct bench *b, struct cell *cell)
{
	unsigned k = cell->rounds;
	double floor[3];

	floor[0] = batch_run(b, cell, FLOOR);
	for (int turn = 0; turn < 2; turn++) {
		int error = 0;

		if (turn == (int)(k % 2))
			cell->ns[CACHE][k] = batch_run(b, cell, CACHE);
		else
			error = partner_run(&b->partner[cell->threads - 1], &cell->ns[GO][k], "%d",
				BATCH_PAIRS);
		if (error)
			return error;
		floor[1 + turn] = batch_run(b, cell, FLOOR);
	}
	cell->ns[FLOOR][k] = (floor[0] + floor[1] + floor[2]) / 3;
	cell->disturbed[k] = quantile(floor, 3, 1);
	cell->rounds++;
	return 0;
}

/* ---- the objects ---- */

static void *object_create(void *context)
{
	(void)context;
	return aligned_alloc(OBJECT_BYTES, OBJECT_BYTES);
}

static void object_destroy(void *context, void *object)
{
	(void)context;
	free(object);
}

static int cache_begin(struct bench *b)
{
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;

	options.create = object_create;
	options.destroy = object_destroy;
	return tierpool_cache_create(&b->cache, &options);
}

int bench_begin(struct bench *b, const char *partner)
{
	int error = cache_begin(b);

	/* Go's first: they may run where this process may now, and the team pins this thread. */
	b->team.threads = cpus_choose(b->team.cpu, false);
	for (unsigned t = 0; t < b->team.threads && !error; t++)
		error = partner_begin(&b->partner[t], partner, b->team.cpu, t + 1);
	return error ? error : team_begin(&b->team, batch_time, b);
}

void bench_end(struct bench *b)
{
	team_end(&b->team);
	for (unsigned t = 0; t < b->team.threads; t++)
		partner_end(&b->partner[t]);
	tierpool_cache_destroy(b->cache);
}
