/* SPDX-License-Identifier: MIT */
/*
 * hand_over: what it costs that one thread borrows a buffer and another puts it: by the pool, and
 * by the malloc and free of the allocators. Two pinned threads, a ring between them, and batches
 * of items; sides.h has the loops. What is left when the ring alone is taken off is the price of
 * the get and the put.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed; 77: there are no two
 * CPUs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sides.h"
#include "support/measure.h"
#include "support/program.h"
#include "support/team.h"
#include "support/turns.h"

#define SECONDS_DEFAULT 10
#define SIZES 3
#define ITEMS 8192 /* of a turn */

static const size_t sizes[SIZES] = {256, (size_t)4 << 10, (size_t)64 << 10};

struct bench {
	struct team team;
	struct ring ring;
	struct job job;
	unsigned side;
	double ns; /* of the turn, an item */
	unsigned size_index;
	uint64_t gets[SIZES], slow[SIZES]; /* of the pool's turns */
	struct turns turns[SIZES];
};

/* Both begin at once; the turn ends when the last item was put. */
static void threads_part(void *context, unsigned who)
{
	struct bench *b = context;
	double start;

	team_meet(&b->team);
	start = now_ns();
	side_run(&b->job, b->side, who);
	team_meet(&b->team);
	if (!who)
		b->ns = (now_ns() - start) / (double)b->job.items;
}

static double side_turn(void *context, unsigned side)
{
	struct bench *b = context;
	uint64_t slow = pool_slow_gets(b->job.pool);

	b->side = side;
	if (side >= ALLOCATOR) {
		b->job.allocator = &allocators[side - ALLOCATOR];
		if (*b->job.allocator->absent)
			return 0;
	}
	team_run(&b->team, 2);
	if (side == TIERPOOL) {
		b->gets[b->size_index] += b->job.items;
		b->slow[b->size_index] += pool_slow_gets(b->job.pool) - slow;
	}
	return b->ns;
}

static void bench_run(struct bench *b, double seconds)
{
	double end = now_ns() + seconds * 1e9;

	do {
		for (unsigned i = 0; i < SIZES; i++) {
			b->turns[i].sides = SIDES;
			b->job.size = sizes[i];
			b->size_index = i;
			turns_run(&b->turns[i], side_turn, b);
		}
	} while (now_ns() < end);
}

/* ---- the report ---- */

static void row_print(struct bench *b, unsigned i)
{
	struct turns *t = &b->turns[i];
	double floor = turns_quiet(t, FLOOR), pool = turns_quiet(t, TIERPOOL), ns[ALLOCATORS];
	int best;

	for (unsigned a = 0; a < ALLOCATORS; a++)
		ns[a] = turns_quiet(t, ALLOCATOR + a);
	best = allocators_best(ns);
	printf("%6s | %7.1f | %7.1f %4.0f%% %7.1f |", size_text(sizes[i]), floor, pool,
		turns_spread(t, TIERPOOL), pool - floor);
	for (unsigned a = 0; a < ALLOCATORS; a++) {
		if (!*allocators[a].absent)
			printf(" %7.1f %7.1f |", ns[a], ns[a] - floor);
	}
	if (best >= 0)
		printf(" %5.2f %5.2f  %-8s |", pool / ns[best], (pool - floor) / (ns[best] - floor),
			allocators[best].name);
	printf(" 1 in %.1f\n", (double)b->gets[i] / (double)(b->slow[i] ? b->slow[i] : 1));
}

static void report_print(struct bench *b)
{
	printf("ns an item (lower quartile), how much longer the pool's median is, and net of the "
	       "floor;\ntimes the best allocator, all and net; slow gets of the pool; %u rounds\n",
		b->turns[0].rounds);
	printf("%6s | %7s | %21s |", "bytes", "floor", "tierpool         net");
	for (unsigned a = 0; a < ALLOCATORS; a++) {
		if (!*allocators[a].absent)
			printf(" %8s    net |", allocators[a].name);
	}
	printf(" x best  net           | slow\n");
	for (unsigned i = 0; i < SIZES; i++)
		row_print(b, i);
}

static const char usage[] =
	"Usage: hand_over [option]...\n"
	"Measures buffers that one thread borrows and another puts, against malloc and free.\n"
	"\n"
	"  -s, --seconds S  how long to measure, 1 to 3600; by default 10\n"
	"  -h, --help       show this\n";

static int bench_begin(struct bench *b)
{
	int error = tierpool_create(&b->job.pool, NULL);

	if (error)
		return error;
	b->job.ring = &b->ring;
	b->job.items = ITEMS;
	b->job.floor = aligned_alloc(64, FLOOR_BUFFERS * FLOOR_BYTES);
	error = b->job.floor ? team_begin(&b->team, threads_part, b) : -ENOMEM;
	if (error) {
		free(b->job.floor);
		tierpool_destroy(b->job.pool);
	}
	return error;
}

int main(int argc, char **argv)
{
	static struct bench b;
	double seconds = SECONDS_DEFAULT;
	const struct choice choices[] = {{"seconds", .number = &seconds, 1, 3600}};
	int status = options_read("hand_over", usage, choices, 1, NULL, argc, argv), error;

	if (status)
		return status < 0 ? 0 : status;
	allocators_load(argv);
	b.team.threads = cpus_choose(b.team.cpu, false);
	if (b.team.threads < 2) {
		puts("hand_over: skipped: only one CPU is allowed");
		return SKIPPED;
	}
	error = bench_begin(&b);
	if (!error) {
		setting_print("hand_over", seconds, b.job.pool);
		allocators_print();
		team_print(&b.team);
		printf("A ring of %zu items; %zu bytes written, handed over and read.\n", RING,
			USED);
		bench_run(&b, seconds);
		report_print(&b);
		team_end(&b.team);
		free(b.job.floor);
		tierpool_destroy(b.job.pool);
		error = fflush(stdout) ? -errno : 0;
	}
	if (!error)
		return 0;
	fprintf(stderr, "hand_over: %s\n", strerror(-error));
	return FAILED;
}
