/* SPDX-License-Identifier: MIT */
/*
 * What cache_latency measures: the loops, the batches of a round, and the threads.
 */
#ifndef CACHE_ROUNDS_H
#define CACHE_ROUNDS_H

#include <tierpool.h>

#include "cache_partner.h"
#include "team.h"

#define ROUNDS_MOST 16384 /* of a number of threads */
#define BATCH_PAIRS 40960 /* 0.2 ms of the floor, against 20 ns for reading the clock */
#define WARM_UP 16        /* a sixteenth of a batch goes before it, for caches and branches */
#define OBJECT_BYTES 64   /* a cache line */

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
	unsigned shift;    /* of the stack */
	double ns[THREADS_MOST];
};

/* ---- the measured loops: get, one store to the first bytes, put ---- */

#define MEASURED static __attribute__((__noinline__)) void

static inline void touch(void *data, uint64_t i)
{
	*(volatile uint64_t *)data = i;
}

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

static void pairs(struct bench *b, uint64_t count)
{
	if (b->contender == FLOOR)
		pairs_floor(count);
	else
		pairs_cache(b->cache, count);
}

/*
 * Where in its page the stack lies is chance, and worth 9 % (pair_rounds.h): each round has it
 * elsewhere, in steps of 16 bytes over a page.
 */
static __attribute__((__noinline__)) void batch_time(void *context, unsigned who)
{
	struct bench *b = context;
	char shift[16 * (1 + b->shift % 256)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	pairs(b, BATCH_PAIRS / WARM_UP);
	if (b->together > 1)
		meet(&b->team.meeting);
	start = now_ns();
	pairs(b, BATCH_PAIRS);
	b->ns[who] = (now_ns() - start) / BATCH_PAIRS;
	if (b->together > 1)
		meet(&b->team.meeting);
}

/* ns a pair, the mean of the threads. */
static double batch_run(struct bench *b, const struct cell *cell, int contender)
{
	b->contender = contender;
	b->together = cell->threads;
	b->shift = cell->rounds * 101;
	team_run(&b->team, cell->threads);
	return cell->threads == 1 ? b->ns[0] : (b->ns[0] + b->ns[1]) / 2;
}

/* Each side is first in every other round. 0; -errno. */
static int round_run(struct bench *b, struct cell *cell)
{
	unsigned k = cell->rounds;
	double floor[3];

	floor[0] = batch_run(b, cell, FLOOR);
	for (int turn = 0; turn < 2; turn++) {
		int error = 0;

		if (turn == (int)(k % 2))
			cell->ns[CACHE][k] = batch_run(b, cell, CACHE);
		else
			error = partner_run(
				&b->partner[cell->threads - 1], BATCH_PAIRS, &cell->ns[GO][k]);
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

/* The cache, Go's programs, and the threads. 0; -errno, after which the process ends. */
static int bench_begin(struct bench *b, const char *partner)
{
	int error = cache_begin(b);

	/* Go's first: they go where this process may. */
	b->team.threads = cpus_choose(b->team.cpu);
	for (unsigned t = 0; t < b->team.threads && !error; t++)
		error = partner_begin(&b->partner[t], partner, b->team.cpu, t + 1);
	return error ? error : team_begin(&b->team, batch_time, b);
}

static void bench_end(struct bench *b)
{
	team_end(&b->team);
	for (unsigned t = 0; t < b->team.threads; t++)
		partner_end(&b->partner[t]);
	tierpool_cache_destroy(b->cache);
}

#endif
