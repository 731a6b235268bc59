/* SPDX-License-Identifier: MIT */
/*
 * Traces that are generated: one pool with all defaults, a get every 200 ns, and a decay of 10 ms,
 * so a tick each 50,000 gets. The same numbers give the same trace.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdint.h>

#include "trace.h"

struct workload_size {
	uint64_t seed;
	size_t gets; /* 0: as many as the workload has by default */
	size_t out;  /* at least 1: batches of 1 to this many buffers are out at once */
};

/*
 * what: "NAME" or "NAME:P".
 * Returns: false, after a message: there is no such workload, or none with such a P.
 */
bool workload_generate(struct trace *t, const char *what, const struct workload_size *size);

#endif
