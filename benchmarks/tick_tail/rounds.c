/* SPDX-License-Identifier: MIT */
/*
 * The getter, the ticker, and the rounds of tick_tail: rounds.h.
 */
#include "rounds.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/measure.h"

#define TURN_NS 50e6          /* of one condition: 50 ticks by default */
#define BORROWINGS_FIRST 1000 /* times that all buffers are borrowed before the first turn */

/* What the getter holds at once, in bytes. */
static const size_t sizes[] = {256, 1024, 4096, 16384, 16384, 4096, 1024, 256};

#define HELD (sizeof sizes / sizeof *sizes)

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

/* Ticks at the given rate until the turn is over. After a late tick the next ones are not sooner. */
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

static inline void buffer_touch(tierpool_buf *b, size_t i)
{
	if (!b) {
		perror("tick_tail: tierpool_get_sized");
		_exit(2);
	}
	touch(b->data, i);
}

static void borrowings_run(tierpool *pool, unsigned times)
{
	tierpool_buf *held[HELD];

	while (times--) {
		for (size_t i = 0; i < HELD; i++) {
			held[i] = tierpool_get_sized(pool, sizes[i]);
			buffer_touch(held[i], i);
		}
		for (size_t i = HELD; i--;)
			tierpool_put(held[i]);
	}
}

MEASURED empty_time(struct histogram *h, uint64_t counts)
{
	uint64_t first = interval_begin(), end;

	do {
		uint64_t start = interval_begin();

		end = interval_end();
		histogram_add(h, end - start);
	} while (end - first < counts);
}

MEASURED gets_time(tierpool *pool, struct histogram *h, uint64_t counts)
{
	tierpool_buf *held[HELD];
	uint64_t first = interval_begin(), end = first;

	do {
		for (size_t i = 0; i < HELD; i++) {
			uint64_t start = interval_begin();

			held[i] = tierpool_get_sized(pool, sizes[i]);
			end = interval_end();
			histogram_add(h, end - start);
			buffer_touch(held[i], i);
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
	(void)!tierpool_stats_read(b->pool, &before);
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
	(void)!tierpool_stats_read(b->pool, &after);
	c->gets += after.gets - before.gets;
	c->hits += after.hits - before.hits;
	turn_note(c, &b->histogram, b->ns_a_count);
}

/* Every second round goes backwards, so that no condition always comes after the same one. */
void rounds_run(struct bench *b, double seconds)
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

/* The greatest common divisor of its steps: its readings may be coarser than its counts. */
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

int bench_begin(struct bench *b)
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
	borrowings_run(b->pool, BORROWINGS_FIRST);
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

void bench_end(struct bench *b)
{
	b->turn = NULL;
	pthread_barrier_wait(&b->gate);
	pthread_join(b->ticker, NULL);
	pthread_barrier_destroy(&b->gate);
	tierpool_destroy(b->pool);
}
