/* SPDX-License-Identifier: MIT */
/*
 * profile_cost: what a pair costs with the profile on, at its default rate, against off. Both take
 * turns in one thread. Each turn with the profile starts it, and lets the rate settle before it
 * counts: it begins with every get. A turn is as long as it takes from one window of the advisor to
 * the next. Between a get and its put one store is made, or 256 bytes are written.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

#include "support/measure.h"
#include "support/program.h"
#include "support/turns.h"

#define SECONDS_DEFAULT 60
#define TURN_NS 600e6
#define SETTLE_NS 700e6
#define WARM_NS 20e6

static const char usage[] = "Usage: profile_cost [option]...\n"
			    "Compares a pair of get and put with the profile on and off.\n"
			    "\n"
			    "  -s, --seconds S   how long to measure, 1 to 3600; by default 60\n"
			    "  -h, --help        show this\n";

enum { OFF, ON, STATES };

struct cell {
	size_t size;
	bool use; /* 256 bytes are written */
	struct turns turns;
};

static struct cell cells[] = {{.size = 256}, {.size = 4096}, {.size = 65536},
	{.size = 256, .use = true}, {.size = 4096, .use = true}, {.size = 65536, .use = true}};
#define CELLS (sizeof cells / sizeof *cells)

static tierpool *pool;

MEASURED pairs(size_t size, bool use, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, size);

		if (use)
			use_write(b->data, size, i);
		else
			touch(b->data, i);
		tierpool_put(b);
	}
}

/* Returns: ns a pair. */
static double pairs_for(const struct cell *cell, double ns)
{
	double begun = now_ns(), now = begun;
	uint64_t count = 0;

	while (now < begun + ns) {
		pairs(cell->size, cell->use, BATCH_PAIRS);
		count += BATCH_PAIRS;
		now = now_ns();
	}
	return (now - begun) / (double)count;
}

static double turn(void *context, unsigned side)
{
	const struct cell *cell = context;
	double ns;

	if (side == ON && tierpool_profile_start(0))
		return -1;
	pairs_for(cell, side == ON ? SETTLE_NS : WARM_NS);
	ns = pairs_for(cell, TURN_NS);
	tierpool_profile_stop();
	return ns;
}

int main(int argc, char **argv)
{
	double seconds = SECONDS_DEFAULT, end;
	const struct choice choices[] = {{"seconds", .number = &seconds, 1, 3600}};
	int status = options_read("profile_cost", usage, choices, 1, NULL, argc, argv);
	unsigned cpu[2];
	int error;

	if (status)
		return status < 0 ? 0 : status;
	error = tierpool_create(&pool, NULL);
	if (error) {
		fprintf(stderr, "profile_cost: %s\n", strerror(-error));
		return FAILED;
	}
	if (cpus_choose(cpu, false))
		pin(cpu[0]);
	setting_print("profile_cost", seconds, pool);
	end = now_ns() + seconds * 1e9;
	do {
		for (unsigned i = 0; i < CELLS; i++) {
			cells[i].turns.sides = STATES;
			turns_run(&cells[i].turns, turn, &cells[i]);
		}
	} while (now_ns() < end);
	printf("%22s %8s %8s %8s\n", "", "off, ns", "on, ns", "on/off");
	for (unsigned i = 0; i < CELLS; i++) {
		double off = turns_quiet(&cells[i].turns, OFF),
		       on = turns_quiet(&cells[i].turns, ON);

		printf("%8s, %-12s %8.2f %8.2f %8.3f\n", size_text(cells[i].size),
			cells[i].use ? "256 written" : "one store", off, on, on / off);
	}
	tierpool_destroy(pool);
	return 0;
}
