/* SPDX-License-Identifier: MIT */
/*
 * What cache_latency measures: the loops, the batches of a round, and the threads.
 */
#ifndef CACHE_ROUNDS_H
#define CACHE_ROUNDS_H

#include <tierpool.h>

#include "cache_partner.h"
#include "floor_stack.h"
#include "measure.h"

#define THREADS_MOST 2
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

/*
 * The second thread waits at the gate, asleep, for batches that need it. The first one writes
 * everything here before it opens the gate; each writes its own ns, and they are read after both
 * have gone through the gate again.
 */
struct bench {
	tierpool_cache *cache;
	struct partner partner[THREADS_MOST];
	unsigned threads; /* 2 where there are two CPUs */
	unsigned cpu[THREADS_MOST];
	pthread_t second;
	pthread_barrier_t gate;
	int error; /* the second thread's, at the first gate */
	bool stop;
	int contender;
	unsigned together; /* threads in this batch */
	unsigned shift;    /* of the stack */
	double ns[THREADS_MOST];
	struct meeting meeting;
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
static __attribute__((__noinline__)) void batch_time(struct bench *b, unsigned who)
{
	char shift[16 * (1 + b->shift % 256)];
	double start;

	__asm__ volatile("" : : "r"(shift) : "memory"); /* keep it */
	pairs(b, BATCH_PAIRS / WARM_UP);
	if (b->together > 1)
		meet(&b->meeting);
	start = now_ns();
	pairs(b, BATCH_PAIRS);
	b->ns[who] = (now_ns() - start) / BATCH_PAIRS;
}

/* ns a pair, the mean of the threads. */
static double batch_run(struct bench *b, const struct cell *cell, int contender)
{
	b->contender = contender;
	b->together = cell->threads;
	b->shift = cell->rounds * 101;
	if (cell->threads == 1) {
		batch_time(b, 0);
		return b->ns[0];
	}
	pthread_barrier_wait(&b->gate);
	batch_time(b, 0);
	pthread_barrier_wait(&b->gate);
	return (b->ns[0] + b->ns[1]) / 2;
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

/* ---- the threads ---- */

static void *second_main(void *argument)
{
	struct bench *b = argument;
	int error = pin(b->cpu[1]);

	if (!error)
		error = floor_prepare();
	b->error = error;
	pthread_barrier_wait(&b->gate);
	while (!error) {
		pthread_barrier_wait(&b->gate);
		if (b->stop)
			break;
		batch_time(b, 1);
		pthread_barrier_wait(&b->gate);
	}
	floor_release();
	return NULL;
}

static int second_begin(struct bench *b)
{
	int error = -pthread_barrier_init(&b->gate, NULL, THREADS_MOST);

	if (!error)
		error = -pthread_create(&b->second, NULL, second_main, b);
	if (error)
		return error;
	pthread_barrier_wait(&b->gate);
	return b->error;
}

/* The threads, the cache, and Go's programs. 0; -errno, after which the process ends. */
static int bench_begin(struct bench *b, const char *partner)
{
	int error = cache_begin(b);

	for (unsigned t = 0; t < b->threads && !error; t++)
		error = partner_begin(&b->partner[t], partner, b->cpu, t + 1);
	if (!error)
		error = pin(b->cpu[0]);
	if (!error)
		error = floor_prepare();
	if (!error && b->threads > 1)
		error = second_begin(b);
	return error;
}

static void bench_end(struct bench *b)
{
	if (b->threads > 1) {
		b->stop = true;
		pthread_barrier_wait(&b->gate);
		pthread_join(b->second, NULL);
		pthread_barrier_destroy(&b->gate);
	}
	floor_release();
	for (unsigned t = 0; t < b->threads; t++)
		partner_end(&b->partner[t]);
	tierpool_cache_destroy(b->cache);
}

#endif
