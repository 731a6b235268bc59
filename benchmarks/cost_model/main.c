/* SPDX-License-Identifier: MIT */
/*
 * cost_model: what each thing costs here that calibration weighs against the others, beside what it
 * counts with. growths.h has what happens within the pool, blocks.h what happens below it.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

#include "blocks.h"
#include "growths.h"
#include "support/measure.h"
#include "support/program.h"
#include "table.h"

#define SECONDS_DEFAULT 8

static const char usage[] = "Usage: cost_model [option]...\n"
			    "Measures the constants of the cost model that calibration uses.\n"
			    "\n"
			    "  -s, --seconds S  how long to measure, 1 to 3600; by default 8\n"
			    "  -h, --help       show this\n";

/* Returns: 0; -errno. */
static int model_measure(double seconds)
{
	double end = now_ns() + seconds * 1e9;
	int error;

	do {
		growths_round();
		error = blocks_round();
	} while (!error && now_ns() < end);
	return error;
}

static void model_print(void)
{
	table_head_print();
	growths_print();
	blocks_print();
	puts("\nmodel: the library's own price of a growth and of a byte copied; for the others, "
	     "the\n"
	     "price in the simulation that chose the rule.");
}

int main(int argc, char **argv)
{
	double seconds = SECONDS_DEFAULT;
	const struct choice choices[] = {{"seconds", .number = &seconds, 1, 3600}};
	int status = options_read("cost_model", usage, choices, 1, NULL, argc, argv), error;
	unsigned cpus[2];

	if (status)
		return status < 0 ? 0 : status;
	error = cpus_choose(cpus, false) ? pin(cpus[0]) : -EINVAL;
	if (!error)
		error = growths_begin();
	if (!error)
		error = blocks_begin();
	if (!error) {
		setting_print("cost_model", seconds, tierpool_default());
		error = model_measure(seconds);
	}
	if (!error)
		model_print();
	blocks_end();
	growths_end();
	if (!error && fflush(stdout))
		error = -errno;
	if (!error)
		return 0;
	fprintf(stderr, "cost_model: %s\n", strerror(-error));
	return FAILED;
}
