/* SPDX-License-Identifier: MIT */
/*
 * growth: what it costs that a buffer becomes larger than it was borrowed.
 *
 * A growth alone: a buffer of 1 KiB with nothing in it becomes one of 2 KiB, net of the get and the
 * put; and the same by hand, with a get of the larger and a put of the smaller.
 *
 * A filling: a buffer of 1 KiB is borrowed, filled by appends of 64 bytes, and put back. Against it
 * the same encoder on the realloc of each allocator: it begins with 1 KiB too, doubles, and frees
 * at the end. encoders.h has both.
 *
 * Fillings at places that have learned their size (learned.h). Large buffers against malloc and
 * realloc (large.h), and appends below and above max_size (appends.h).
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

#include "appends.h"
#include "encoders.h"
#include "large.h"
#include "learned.h"
#include "support/allocators.h"
#include "support/measure.h"
#include "support/program.h"
#include "support/turns.h"

#define SECONDS_DEFAULT 20
#define LARGE_PART 0.45 /* of the time */
#define FILLING_PART 0.25
#define LEARNED_PART 0.25
#define APPENDS_PART 0.05
#define FIRST ((size_t)1 << 10) /* what a filling begins with */
#define LEAST ((size_t)2 << 10)
#define SIZES 10
#define BATCH_BYTES ((size_t)1 << 20) /* that a turn of a filling writes */
#define BATCH_GROWTHS 2048

/* The sides of a growth alone. */
enum { PAIR, GROWTH, BY_HAND, GROWTHS };

/* The sides of a filling: the pool, then each allocator. */
#define POOL 0
#define FILLINGS (1 + ALLOCATORS)

struct bench {
	tierpool *pool;
	size_t size; /* of the filling that has its turn */
	struct turns growth, filling[SIZES];
};

/* ---- a growth alone ---- */

MEASURED growth_pairs(tierpool *pool, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_sized(pool, 1024);

		touch(b->data, count);
		tierpool_put(b);
	}
}

MEASURED growth_grows(tierpool *pool, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_sized(pool, 1024);

		touch(b->data, count);
		tierpool_buf_reserve(b, 1025);
		touch(b->data, count);
		tierpool_put(b);
	}
}

MEASURED growth_by_hand(tierpool *pool, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_sized(pool, 1024), *larger;

		touch(b->data, count);
		larger = tierpool_get_sized(pool, 2048);
		memcpy(larger->data, b->data, b->len);
		larger->len = b->len;
		tierpool_put(b);
		touch(larger->data, count);
		tierpool_put(larger);
	}
}

static double growth_turn(void *context, unsigned side)
{
	static void (*const loops[GROWTHS])(tierpool *, unsigned) = {
		[PAIR] = growth_pairs, [GROWTH] = growth_grows, [BY_HAND] = growth_by_hand};
	struct bench *b = context;
	double start;

	loops[side](b->pool, BATCH_GROWTHS / WARM_UP);
	start = now_ns();
	loops[side](b->pool, BATCH_GROWTHS);
	return (now_ns() - start) / BATCH_GROWTHS;
}

/* ---- a filling ---- */

static double filling_turn(void *context, unsigned side)
{
	const struct bench *b = context;
	unsigned count = (unsigned)(BATCH_BYTES / b->size);
	double start = now_ns();

	if (side == POOL)
		encode_by_pool(b->pool, FIRST, NULL, b->size, count);
	else if (!*allocators[side - 1].absent)
		encode_by_realloc(&allocators[side - 1], FIRST, b->size, count);
	return (now_ns() - start) / count;
}

/* ---- rounds and report ---- */

static void bench_run(struct bench *b, double seconds)
{
	double end = now_ns() + seconds * 1e9;

	b->growth.sides = GROWTHS;
	do {
		turns_run(&b->growth, growth_turn, b);
		for (unsigned i = 0; i < SIZES; i++) {
			b->filling[i].sides = FILLINGS;
			b->size = LEAST << i;
			turns_run(&b->filling[i], filling_turn, b);
		}
	} while (now_ns() < end);
}

static void growth_print(struct turns *t)
{
	double pair = turns_quiet(t, PAIR);

	printf("\nA growth from 1 to 2 KiB with nothing to copy, in ns (lower quartile), and how "
	       "much longer\nthe median is:\n");
	printf("  get and put                      %7.1f %4.0f%%\n", pair, turns_spread(t, PAIR));
	printf("  with a growth                    %7.1f %4.0f%%   net %7.1f\n",
		turns_quiet(t, GROWTH), turns_spread(t, GROWTH), turns_quiet(t, GROWTH) - pair);
	printf("  by a get of the larger, and puts %7.1f %4.0f%%   net %7.1f\n",
		turns_quiet(t, BY_HAND), turns_spread(t, BY_HAND), turns_quiet(t, BY_HAND) - pair);
}

/* Returns: the pool's time as times that of the best allocator; 0 if there is none. */
static double filling_print(struct turns *t, size_t size)
{
	double ns[ALLOCATORS], pool = turns_quiet(t, POOL), ratio;
	int best;

	for (unsigned i = 0; i < ALLOCATORS; i++)
		ns[i] = turns_quiet(t, 1 + i);
	best = allocators_best(ns);
	ratio = best < 0 ? 0 : pool / ns[best];
	printf("%6s | %9.1f %3.0f%% %6.2f |", size_text(size), pool, turns_spread(t, POOL), ratio);
	for (unsigned i = 0; i < ALLOCATORS; i++) {
		if (!*allocators[i].absent)
			printf(" %9.1f", ns[i]);
	}
	printf(" | %s\n", best < 0 ? "" : allocators[best].name);
	return ratio;
}

static void report_print(struct bench *b)
{
	double worst = 0;

	growth_print(&b->growth);
	printf("\nA get of 1 KiB, appends of %zu bytes and put, against realloc from 1 KiB, in ns "
	       "(lower\nquartile), how much longer the pool's median is, times the best allocator; "
	       "%u rounds\n",
		PIECE, b->growth.rounds);
	printf("%6s | %9s %11s |", "bytes", "tierpool", "x best");
	for (unsigned i = 0; i < ALLOCATORS; i++) {
		if (!*allocators[i].absent)
			printf(" %9s", allocators[i].name);
	}
	printf(" | best\n");
	for (unsigned i = 0; i < SIZES; i++) {
		double ratio = filling_print(&b->filling[i], LEAST << i);

		worst = ratio > worst ? ratio : worst;
	}
	printf("tierpool / best allocator, worst over the sizes: %.2f\n", worst);
}

static const char usage[] =
	"Usage: growth [option]...\n"
	"Measures a growth of a buffer, and the filling of one that grows, against realloc; and\n"
	"large buffers.\n"
	"\n"
	"  -s, --seconds S  how long to measure, 1 to 3600; by default 20\n"
	"  -h, --help       show this\n";

int main(int argc, char **argv)
{
	static struct bench b;
	double seconds = SECONDS_DEFAULT;
	const struct choice choices[] = {{"seconds", .number = &seconds, 1, 3600}};
	int status = options_read("growth", usage, choices, 1, NULL, argc, argv), error;
	unsigned cpus[2];

	if (status)
		return status < 0 ? 0 : status;
	allocators_load(argv);
	error = cpus_choose(cpus, false) ? tierpool_create(&b.pool, NULL) : -EINVAL;
	if (!error) {
		setting_print("growth", seconds, b.pool);
		allocators_print();
		printf("The thread on CPU %u.\n", cpus[0]);
		/* First: their processes have the heap and the CPUs as they are here. */
		error = large_measure(seconds * LARGE_PART);
	}
	if (!error)
		error = pin(cpus[0]);
	if (!error) {
		bench_run(&b, seconds * FILLING_PART);
		report_print(&b);
		error = learned_measure(seconds * LEARNED_PART, cpus[0]);
	}
	if (!error)
		error = appends_measure(seconds * APPENDS_PART);
	tierpool_destroy(b.pool);
	if (!error && fflush(stdout))
		error = -errno;
	if (!error)
		return 0;
	fprintf(stderr, "growth: %s\n", strerror(-error));
	return FAILED;
}
