/* SPDX-License-Identifier: MIT */
/*
 * pair_latency: what a get, one store and the put of a buffer cost, from 64 bytes to 1 MiB, on one
 * CPU and on two at once: by the pool, by the floor (support/floor.h), and by the allocators
 * that are installed.
 *
 * A back-to-back pair measures store forwarding as much as the pool. So other runs write 256 bytes
 * between a get and its put (--work), or keep the other CPU busy meanwhile (--neighbour).
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
	"  -s, --seconds S    how long to measure, 1 to 3600; by default 20\n"
	"  -w, --work W       what is done between a get and its put: store, one store, by\n"
	"                     default; use, 256 bytes are written; nest, the same in 16 buffers\n"
	"                     that are borrowed at once. Times of use and nest are net of it\n"
	"  -n, --neighbour N  what the other CPU does for the second table: pairs, by default;\n"
	"                     busy, adds and stores\n"
	"  -c, --csv FILE     write the medians to FILE as well\n"
	"  -h, --help         show this\n";

static struct cell cells[SETTINGS_MOST][SIZES];

/* A round of each cell, again and again, so that the rounds of a cell are spread over the time. */
static void cells_measure(struct bench *bench, bool busy, double seconds)
{
	double end = now_ns() + seconds * 1e9;

	for (unsigned s = 0; s < bench->team.threads; s++) {
		for (unsigned i = 0; i < SIZES; i++) {
			cells[s][i].size = FLOOR_LEAST << i;
			cells[s][i].threads = busy ? 1 : s + 1;
			cells[s][i].busy = busy && s;
		}
	}
	do {
		for (unsigned i = 0; i < SIZES; i++) {
			for (unsigned s = 0; s < bench->team.threads; s++)
				round_run(bench, &cells[s][i]);
		}
	} while (!cells[0][0].rounds || (now_ns() < end && cells[0][0].rounds < ROUNDS_MOST));
}

/* Returns: which of the n words the option has; -1 after a message. */
static int word_choose(const char *option, const char *value, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(value, words[i]))
			return (int)i;
	}
	fprintf(stderr, "pair_latency: --%s: '%s' is not one of its words; try --help\n", option,
		value);
	return -1;
}

int main(int argc, char **argv)
{
	static const char *const works[WORKS] = {"store", "use", "nest"};
	static const char *const neighbours[] = {"pairs", "busy"};
	double seconds = SECONDS_DEFAULT;
	const char *csv = NULL; /* not given */
	const char *work_word = works[STORE], *neighbour_word = neighbours[0];
	const struct choice choices[] = {
		{"seconds", .number = &seconds, 1, SECONDS_MOST},
		{"work", .text = &work_word},
		{"neighbour", .text = &neighbour_word},
		{"csv", .text = &csv},
	};
	static struct bench bench;
	int status = options_read("pair_latency", usage, choices, 4, NULL, argc, argv);
	int error, work, busy;

	if (status)
		return status < 0 ? 0 : status;
	work = word_choose("work", work_word, works, WORKS);
	busy = word_choose("neighbour", neighbour_word, neighbours, 2);
	if (work < 0 || busy < 0)
		return FAILED;
	contenders_load(argv, (unsigned)work);
	error = tierpool_create(&contenders[TIERPOOL].pool, NULL);
	if (error)
		goto failed;
	bench.team.threads = cpus_choose(bench.team.cpu, busy);
	error = team_begin(&bench.team, batches_run, &bench);
	if (error)
		goto no_team;
	setting_print("pair_latency", seconds, contenders[TIERPOOL].pool);
	allocators_print();
	team_print(&bench.team);
	printf("Between get and put: %s. The neighbour: %s.\n", works[work], neighbours[busy]);
	fflush(stdout);
	cells_measure(&bench, busy, seconds);
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
