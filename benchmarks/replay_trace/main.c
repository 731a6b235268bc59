/* SPDX-License-Identifier: MIT */
/*
 * replay_trace: what a pool with given options would do for a program whose gets were traced, and
 * what the pools of other projects would do. The pool is the real one (pool.h), the others are
 * modelled (peers.h), and so is everybody's time (cost.h). A workload that is generated stands in
 * place of a trace if there is none. With --advise it says instead which share of gets each bound would
 * serve (advise.h).
 *
 * Exit status: 0, whatever the figures; 1: the file is no trace, or has something impossible in it;
 * 2: wrong usage, or something failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advice.h"
#include "advise.h"
#include "arguments.h"
#include "peers.h"
#include "pool.h"
#include "read.h"
#include "report.h"
#include "storage.h"
#include "support/program.h"

#define BAD_TRACE 1

/* Sites are in use as long as the program runs: so the strings of a trace are never freed. */
static struct trace trace;

static int trace_obtain(const struct arguments *a, struct reading *reading)
{
	int error;

	if (a->workload)
		return workload_generate(&trace, a->workload, &a->size) ? 0 : FAILED;
	error = trace_read(&trace, a->file, reading);
	if (error) {
		fprintf(stderr, "replay_trace: %s: %s\n", a->file, strerror(-error));
		return FAILED;
	}
	if (!reading->wrong && !reading->cut && !trace.borrow_count)
		reading->wrong = "there is no get";
	if (reading->wrong) {
		fprintf(stderr, "replay_trace: %s: byte %zu: %s\n", a->file, reading->offset,
			reading->wrong);
		return BAD_TRACE;
	}
	if (reading->cut)
		fprintf(stderr,
			"replay_trace: %s: byte %zu: the last record is cut short, and left out\n",
			a->file, reading->offset);
	return 0;
}

/* A workload that is generated does not say what its gets are lent: the pool has to be asked. */
static void lendings_obtain(const struct arguments *a)
{
	struct lending *lendings = array_new(trace.borrow_count, sizeof *lendings);
	struct sites_seen seen = {0};
	struct result unused = {0};

	pool_replay(&trace, a->one_site, &unused, &seen, lendings);
	for (size_t i = 0; i < trace.borrow_count; i++) {
		trace.borrows[i].lent = lendings[i].lent;
		trace.borrows[i].cap = lendings[i].cap;
	}
	free(lendings);
	free(seen.figures);
	free(seen.printed);
}

static void advise(const struct arguments *a, size_t records)
{
	struct advice *advices;

	if (a->workload)
		lendings_obtain(a);
	advices = advise_all(&trace, a->cpus);
	if (!a->csv && !a->json)
		report_title(a->file ? a->file : a->workload, records, &trace, a->one_site);
	advice_print(&trace, advices, a->json ? ADVICE_JSON : a->csv ? ADVICE_CSV : ADVICE_TEXT);
	free(advices);
}

static void compare(const struct arguments *a, size_t records)
{
	struct result results[1 + PEERS];
	struct sites_seen seen = {.first = a->first};

	pool_replay(&trace, a->one_site, results, &seen, NULL);
	for (size_t i = 0; i < PEERS; i++)
		model_replay(&trace, &peer_rules[i], &results[1 + i]);
	if (!a->csv)
		report_title(a->file ? a->file : a->workload, records, &trace, a->one_site);
	report_print(&trace, results, 1 + PEERS, &seen, a->csv);
	free(seen.figures);
	free(seen.printed);
}

int main(int argc, char **argv)
{
	struct arguments a;
	struct reading reading = {0};
	int status = arguments_read(&a, argc, argv);

	if (!status)
		status = trace_obtain(&a, &reading);
	if (status)
		return status < 0 ? 0 : status;
	arguments_apply(&a, &trace);
	if (a.advise)
		advise(&a, reading.records);
	else
		compare(&a, reading.records);
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	fprintf(stderr, "replay_trace: cannot write the report: %s\n", strerror(errno));
	return FAILED;
}
