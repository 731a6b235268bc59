/* SPDX-License-Identifier: MIT */
/*
 * pair_latency: what a get, one store and the put of a buffer cost, from 64 bytes to 1 MiB, on one
 * CPU and on two at once: by the pool, by the floor (support/floor.h), and by the allocators
 * that are installed.
 *
 * contenders.h has the measured loops, rounds.h how they are run, report.h what is made of the
 * figures.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or there was no thread, no pool or no CSV.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

#include "report.h"
#include "support/allocators.h"
#include "support/floor.h"
#include "support/measure.h"
#include "support/program.h"

#define SECONDS_MOST 3600
#define SECONDS_DEFAULT 20

static const char usage[] =
	"Usage: pair_latency [option]...\n"
	"Compares get, one store and put of tierpool with a bare stack (the floor) and with\n"
	"the malloc and free of glibc, jemalloc, mimalloc and tcmalloc, where installed.\n"
	"\n"
	"  -s, --seconds S  how long to measure, 1 to 3600; by default 20\n"
	"  -c, --csv FILE   write the medians to FILE as well\n"
	"  -h, --help       show this\n";

static struct cell cells[THREADS_MOST][SIZES];

/* A round of each cell, again and again, so that the rounds of a cell are spread over the time. */
static void cells_measure(struct bench *bench, double seconds)
{
	double end = now_ns() + seconds * 1e9;

	for (unsigned t = 0; t < bench->team.threads; t++) {
		for (unsigned i = 0; i < SIZES; i++) {
			cells[t][i].size = FLOOR_LEAST << i;
			cells[t][i].threads = t + 1;
		}
	}
	do {
		for (unsigned i = 0; i < SIZES; i++) {
			for (unsigned t = 0; t < bench->team.threads; t++)
				round_run(bench, &cells[t][i]);
		}
	} while (!cells[0][0].rounds || (now_ns() < end && cells[0][0].rounds < ROUNDS_MOST));
}

int main(int argc, char **argv)
{
	double seconds = SECONDS_DEFAULT;
	const char *csv = NULL; /* not given */
	const struct choice choices[] = {
		{"seconds", .number = &seconds, 1, SECONDS_MOST}, {"csv", .text = &csv}};
	static struct bench bench;
	int status = options_read("pair_latency", usage, choices, 2, NULL, argc, argv);
	int error;

	if (status)
		return status < 0 ? 0 : status;
	contenders_load(argv);
	error = tierpool_create(&contenders[TIERPOOL].pool, NULL);
	if (error)
		goto failed;
	bench.team.threads = cpus_choose(bench.team.cpu);
	error = team_begin(&bench.team, batches_run, &bench);
	if (error)
		goto no_team;
	setting_print("pair_latency", seconds, contenders[TIERPOOL].pool);
	allocators_print();
	team_print(&bench.team);
	fflush(stdout);
	cells_measure(&bench, seconds);
	team_end(&bench.team);
	results_print(cells, bench.team.threads);
	if (csv)
		error = results_write(csv, bench.team.threads);
	if (!error && fflush(stdout))
		error = -errno;
no_team:
	tierpool_destroy(contenders[TIERPOOL].pool);
	if (!error)
		return 0;
failed:
	fprintf(stderr, "pair_latency: %s\n", strerror(-error));
	return FAILED;
}
