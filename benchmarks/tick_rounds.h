/* SPDX-License-Identifier: MIT */
/*
 * What tick_tail measures: the two threads, the turns of a round, and the lengths that result.
 */
#ifndef TICK_ROUNDS_H
#define TICK_ROUNDS_H

#include <stdint.h>
#include <unistd.h>

#include <tierpool.h>

#include "measure.h"
#include "tick_histogram.h"

#define MILD_TICKS 100 /* between trims */
#define TURN_NS 50e6   /* of one condition: 50 ticks by default */
#define ROUNDS_MOST 4096
#define WARM_UP 1000 /* times that all buffers are borrowed */

enum { EMPTY, QUIET, MILD, HARD, CONDITIONS };

/* What is told of the intervals of a turn, in ns. */
enum { P50, P99, P999, MOST, LENGTHS };

/* What the getter holds at once, in bytes. */
static const size_t sizes[] = {256, 1024, 4096, 16384, 16384, 4096, 1024, 256};

#define HELD (sizeof sizes / sizeof *sizes)

struct condition {
	unsigned rounds;
	double length[LENGTHS][ROUNDS_MOST];
	uint64_t samples;
	uint64_t gets, hits;

	/* Of the ticker. */
	double seconds;          /* that it was at it */
	double tick_ns, trim_ns; /* in all */
	uint64_t ticks, trims;
	uint64_t released; /* bytes */
};

/*
 * The ticker waits at the gate, asleep, for turns that need it. The getter writes everything here
 * before it opens the gate, and goes through it again at the end of the turn; in between the ticker
 * writes its part of the turn's condition, and the getter the rest.
 */
struct bench {
	tierpool *pool;
	const char *percpu; /* as the pool has it, which may be other than was asked for */
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

/* ---- the ticker ---- */

static void tick_once(struct bench *b, struct condition *c)
{
	double start = now_ns(), ticked;

	c->released += tierpool_tick(b->pool);
	ticked = now_ns();
	c->tick_ns += ticked - start;
	if (++c->ticks % b->ticks_a_trim)
		return;
	c->released += tierpool_trim(b->pool, b->working_set);
	c->trim_ns += now_ns() - ticked;
	c->trims++;
}

/* Ticks at the given rate until the turn is over; what comes late is not made up for. */
static void turn_tick(struct bench *b, struct condition *c)
{
	double start = now_ns(), due = start, now;

	do {
		tick_once(b, c);
		now = now_ns();
		due += 1e9 / b->ticks;
		if (due < now)
			due = now;
		sleep_until(due);
		now = now_ns();
	} while (now < b->turn_end);
	c->seconds += (now - start) / 1e9;
}

static void *ticker_main(void *argument)
{
	struct bench *b = argument;

	for (;;) {
		pthread_barrier_wait(&b->gate);
		if (!b->turn)
			return NULL;
		turn_tick(b, b->turn);
		pthread_barrier_wait(&b->gate);
	}
}

/* ---- the getter ---- */

static inline void touch(tierpool_buf *b, size_t i)
{
	if (!b) {
		perror("tick_tail: tierpool_get_sized");
		_exit(2);
	}
	*(volatile size_t *)(void *)b->data = i;
}

static void borrowings_run(tierpool *pool, unsigned times)
{
	tierpool_buf *held[HELD];

	while (times--) {
		for (size_t i = 0; i < HELD; i++) {
			held[i] = tierpool_get_sized(pool, sizes[i]);
			touch(held[i], i);
		}
		for (size_t i = HELD; i--;)
			tierpool_put(held[i]);
	}
}

static __attribute__((__noinline__)) void empty_time(struct histogram *h, uint64_t counts)
{
	uint64_t first = interval_begin(), end;

	do {
		uint64_t start = interval_begin();

		end = interval_end();
		histogram_add(h, end - start);
	} while (end - first < counts);
}

static __attribute__((__noinline__)) void gets_time(
	tierpool *pool, struct histogram *h, uint64_t counts)
{
	tierpool_buf *held[HELD];
	uint64_t first = interval_begin(), end = first;

	do {
		for (size_t i = 0; i < HELD; i++) {
			uint64_t start = interval_begin();

			held[i] = tierpool_get_sized(pool, sizes[i]);
			end = interval_end();
			histogram_add(h, end - start);
			touch(held[i], i);
		}
		for (size_t i = HELD; i--;)
			tierpool_put(held[i]);
	} while (end - first < counts);
}

static void turn_note(struct condition *c, const struct histogram *h, double ns_a_count)
{
	static const double part[LENGTHS] = {0.5, 0.99, 0.999, 1};

	for (int i = 0; i < LENGTHS; i++)
		c->length[i][c->rounds] = ns_a_count * (double)histogram_quantile(h, part[i]);
	c->samples += h->count;
	c->rounds++;
}

static void turn_run(struct bench *b, int which)
{
	struct condition *c = &b->condition[which];
	struct tierpool_stats before = {.size = sizeof before}, after = {.size = sizeof after};
	uint64_t counts = (uint64_t)(TURN_NS / b->ns_a_count);

	memset(&b->histogram, 0, sizeof b->histogram);
	tierpool_stats_read(b->pool, &before);
	b->turn = c;
	b->ticks_a_trim = which == HARD ? 1 : MILD_TICKS;
	b->turn_end = now_ns() + TURN_NS;
	if (which >= MILD)
		pthread_barrier_wait(&b->gate);
	if (which == EMPTY)
		empty_time(&b->histogram, counts);
	else
		gets_time(b->pool, &b->histogram, counts);
	if (which >= MILD)
		pthread_barrier_wait(&b->gate);
	tierpool_stats_read(b->pool, &after);
	c->gets += after.gets - before.gets;
	c->hits += after.hits - before.hits;
	turn_note(c, &b->histogram, b->ns_a_count);
}

/* Every second round goes backwards, so that no condition always comes after the same one. */
static void rounds_run(struct bench *b, double seconds)
{
	const unsigned *rounds = &b->condition[HARD].rounds;
	double end = now_ns() + seconds * 1e9;

	do {
		bool backwards = *rounds % 2;

		for (int i = 0; i < CONDITIONS; i++)
			turn_run(b, backwards ? CONDITIONS - 1 - i : i);
	} while (now_ns() < end && *rounds < ROUNDS_MOST);
}

/* ---- one mode ---- */

/* How long a count of the clock is. */
static double clock_ns_a_count(void)
{
	double start = now_ns();
	uint64_t first = interval_begin(), last;

	sleep_until(start + TURN_NS);
	last = interval_begin();
	return (now_ns() - start) / (double)(last - first);
}

/* The greatest common divisor of what the clock goes on by: readings may be coarser than counts. */
static uint64_t clock_step(void)
{
	uint64_t step = 0, last = interval_begin();

	for (int i = 0; i < 1000; i++) {
		uint64_t now = interval_begin(), other = now - last;

		while (other) {
			uint64_t rest = step % other;

			step = other;
			other = rest;
		}
		last = now;
	}
	return step;
}

/* The threads on their CPUs, the pool, and its working set as it lies there. 0; -errno. */
static int bench_begin(struct bench *b)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	int error = -pthread_barrier_init(&b->gate, NULL, 2);

	if (!error)
		error = pin(b->cpu[1]);
	if (!error)
		error = -pthread_create(&b->ticker, NULL, ticker_main, b);
	if (!error)
		error = pin(b->cpu[0]);
	if (!error)
		error = tierpool_create(&b->pool, NULL);
	if (error)
		return error;
	borrowings_run(b->pool, WARM_UP);
	error = tierpool_stats_read(b->pool, &stats);
	if (error)
		return error;
	b->percpu = stats.percpu;
	b->working_set = stats.idle_bytes;
	b->ns_a_count = clock_ns_a_count();
	printf("\npercpu %s, backing %s; working set %zu buffers, %zu bytes\n", stats.percpu,
		stats.backing, stats.idle, stats.idle_bytes);
	printf("clock: %s, in steps of %.1f ns\n", CLOCK_NAME,
		b->ns_a_count * (double)clock_step());
	return 0;
}

static void bench_end(struct bench *b)
{
	b->turn = NULL;
	pthread_barrier_wait(&b->gate);
	pthread_join(b->ticker, NULL);
	pthread_barrier_destroy(&b->gate);
	tierpool_destroy(b->pool);
}

#endif
