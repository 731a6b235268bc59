/* SPDX-License-Identifier: MIT */
/*
 * The command line of replay_trace.
 */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include "trace.h"
#include "workload.h"

/* What an option says, if it was given. */
struct number {
	bool given;
	uint64_t value;
};

struct arguments {
	const char *file, *workload; /* one of them is not NULL */
	struct workload_size size;
	uint64_t first; /* gets of a site; 0: all is told at the end only */
	bool one_site, csv;
	bool advise, json;
	unsigned cpus; /* of the machine that was traced; 0: by what is in the trace */
	/* In place of the options that a traced pool had; 0 as in struct traced_pool. */
	struct number retain, decay_ms, min_size, max_size, steps, max_idle, calibrate_every;
};

/*
 * Returns: 0; FAILED after a message; -1 when --help was asked for and printed.
 */
int arguments_read(struct arguments *a, int argc, char **argv);

/* Gives each pool of the trace the options of the command line. */
void arguments_apply(const struct arguments *a, struct trace *t);

#endif
