/* SPDX-License-Identifier: MIT */
/*
 * slow_calls: what calls cost that do not end on the fast path:
 *
 *   a miss, cold         gets that find nothing idle: misses.h
 *   a put at the bound   retain is full and nothing larger is idle: the put frees its buffer. Net
 *                        of the backing's free, which is also measured alone
 *   tierpool_tick        of one pool in which nothing is idle, alone in the process, and among a
 *                        thousand pools, as the first one made and as the last
 *   pools in turn        two that are used through one place: in_turn.h
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>

#include "in_turn.h"
#include "misses.h"
#include "support/allocators.h"
#include "support/measure.h"
#include "support/program.h"
#include "support/turns.h"

#define SECONDS_DEFAULT 15
#define MISSES_PART 0.38 /* of the time */
#define COLD_PART 0.28
#define BOUND_PART 0.14
#define TICK_PART 0.14
#define IN_TURN_PART 0.06
#define SIZE ((size_t)1024)
#define RETAIN ((size_t)64 << 10) /* of the pool at its bound */
#define KEPT 256                  /* buffers: they fill it */
#define PUTS 1024                 /* at the bound, of a turn */
#define TICKS 256                 /* of a turn */
#define POOLS 1000

/* ---- a backing whose free is as short as can be ---- */

/* Blocks of SIZE bytes that were freed; others, as a pool's tables, go to libc. */
static void *freed;

static void *backing_alloc(void *context, size_t n, size_t alignment)
{
	void *block = freed;

	(void)context;
	if (!block || n != SIZE)
		return aligned_alloc(alignment, (n + alignment - 1) / alignment * alignment);
	memcpy(&freed, block, sizeof freed);
	return block;
}

static void backing_free(void *context, void *block, size_t n)
{
	(void)context;
	if (n != SIZE) {
		free(block);
		return;
	}
	memcpy(block, &freed, sizeof freed);
	freed = block;
}

static const struct tierpool_backing backing = {
	.size = sizeof backing, .alloc = backing_alloc, .free = backing_free};

/* ---- a put at the bound ---- */

enum { PUT, FREE, PUT_SIDES };

struct bound {
	tierpool *pool;
	uint64_t puts, freed; /* of the turns; freed: of those puts, for the bound */
	struct turns turns;
};

static _Noreturn void calls_fail(int error)
{
	fprintf(stderr, "slow_calls: %s\n", strerror(-error));
	exit(FAILED);
}

static uint64_t bound_drops(const struct bound *b)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	int error = tierpool_stats_read(b->pool, &stats);

	if (error)
		calls_fail(error);
	return stats.drops_retain;
}

/* The first puts fill the pool; the others are at the bound. */
static double bound_put(struct bound *b)
{
	tierpool_buf *held[KEPT + PUTS];
	uint64_t drops;
	double start;

	for (unsigned i = 0; i < KEPT + PUTS; i++) {
		held[i] = tierpool_get_sized(b->pool, SIZE);
		if (!held[i])
			calls_fail(-errno);
		touch(held[i]->data, i);
	}
	for (unsigned i = 0; i < KEPT; i++)
		tierpool_put(held[i]);
	drops = bound_drops(b);
	start = now_ns();
	for (unsigned i = KEPT; i < KEPT + PUTS; i++)
		tierpool_put(held[i]);
	start = now_ns() - start;
	b->puts += PUTS;
	b->freed += bound_drops(b) - drops;
	return start / PUTS;
}

static double bound_free(void)
{
	void *held[PUTS];
	double start;

	for (unsigned i = 0; i < PUTS; i++) {
		held[i] = backing.alloc(NULL, SIZE, 64);
		if (!held[i])
			calls_fail(-ENOMEM);
		touch(held[i], i);
	}
	start = now_ns();
	for (unsigned i = 0; i < PUTS; i++)
		backing.free(NULL, held[i], SIZE);
	return (now_ns() - start) / PUTS;
}

static double bound_turn(void *context, unsigned side)
{
	return side == PUT ? bound_put(context) : bound_free();
}

static void bound_measure(double seconds)
{
	static struct bound b = {.turns = {.sides = PUT_SIDES}};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	double end = now_ns() + seconds * 1e9, put, alone;
	int error;

	options.retain = RETAIN;
	options.backing = &backing;
	error = tierpool_create(&b.pool, &options);
	if (error)
		calls_fail(error);
	do
		turns_run(&b.turns, bound_turn, &b);
	while (now_ns() < end);
	put = turns_quiet(&b.turns, PUT);
	alone = turns_quiet(&b.turns, FREE);
	printf("\nA put at the bound, %zu bytes, in ns (lower quartile), and how much longer the "
	       "median is;\n%u rounds; of these puts %.1f %% freed their buffer\n",
		SIZE, b.turns.rounds, 100 * (double)b.freed / (double)b.puts);
	printf("  put                              %7.1f %4.0f%%   net %7.1f\n", put,
		turns_spread(&b.turns, PUT), put - alone);
	printf("  the backing's free alone         %7.1f %4.0f%%\n", alone,
		turns_spread(&b.turns, FREE));
	tierpool_destroy(b.pool);
}

/* ---- a tick of a pool ---- */

enum { ALONE, FIRST, LAST, TICK_SIDES };

struct pools {
	tierpool *pool[POOLS]; /* in the order in which they were made */
	unsigned made;
	struct turns turns;
};

/* A pool that was used, and in which nothing is idle. */
static void pool_make(struct pools *p)
{
	int error = tierpool_create(&p->pool[p->made], NULL);

	if (error)
		calls_fail(error);
	tierpool_put(tierpool_get(p->pool[p->made]));
	tierpool_trim(p->pool[p->made++], 0);
}

static void pools_bring_to(struct pools *p, unsigned count)
{
	while (p->made < count)
		pool_make(p);
	while (p->made > count)
		tierpool_destroy(p->pool[--p->made]);
}

static double tick_turn(void *context, unsigned side)
{
	struct pools *p = context;
	tierpool *ticked;
	double start;

	pools_bring_to(p, side == ALONE ? 1 : POOLS);
	ticked = p->pool[side == LAST ? POOLS - 1 : 0];
	tierpool_tick(ticked);
	start = now_ns();
	for (unsigned i = 0; i < TICKS; i++)
		tierpool_tick(ticked);
	return (now_ns() - start) / TICKS;
}

static void tick_measure(double seconds)
{
	static struct pools p = {.turns = {.sides = TICK_SIDES}};
	static const char *const names[TICK_SIDES] = {
		"the only pool", "of a thousand, the first", "of a thousand, the last"};
	double end = now_ns() + seconds * 1e9, alone;

	do
		turns_run(&p.turns, tick_turn, &p);
	while (now_ns() < end);
	pools_bring_to(&p, 0);
	alone = turns_quiet(&p.turns, ALONE);
	printf("\ntierpool_tick of a pool in which nothing is idle, the same; %u rounds\n",
		p.turns.rounds);
	for (unsigned i = 0; i < TICK_SIDES; i++)
		printf("  %-32s %7.1f %4.0f%%   times the first %.2f\n", names[i],
			turns_quiet(&p.turns, i), turns_spread(&p.turns, i),
			turns_quiet(&p.turns, i) / alone);
}

static const char usage[] =
	"Usage: slow_calls [option]...\n"
	"Measures gets that find nothing idle, a put at the bound, ticks of one pool\n"
	"beside many, and pools in turn through one place.\n"
	"\n"
	"  -s, --seconds S  how long to measure, 1 to 3600; by default 15\n"
	"  -h, --help       show this\n";

int main(int argc, char **argv)
{
	double seconds = SECONDS_DEFAULT;
	const struct choice choices[] = {{"seconds", .number = &seconds, 1, 3600}};
	int status = options_read("slow_calls", usage, choices, 1, NULL, argc, argv), error;
	unsigned cpus[2];

	if (status)
		return status < 0 ? 0 : status;
	allocators_load(argv);
	if (!cpus_choose(cpus, false))
		calls_fail(-EINVAL);
	setting_print("slow_calls", seconds, tierpool_default());
	allocators_print();
	/* First: their processes have the heap and the CPUs as they are here. */
	error = misses_measure(seconds * MISSES_PART);
	if (!error)
		error = misses_cold_measure(seconds * COLD_PART);
	if (!error)
		error = pin(cpus[0]);
	if (error)
		calls_fail(error);
	bound_measure(seconds * BOUND_PART);
	tick_measure(seconds * TICK_PART);
	error = in_turn_measure(seconds * IN_TURN_PART);
	if (error)
		calls_fail(error);
	if (fflush(stdout))
		calls_fail(-errno);
	return 0;
}
