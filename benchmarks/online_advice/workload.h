/* SPDX-License-Identifier: MIT */
/*
 * A program of two threads that use one pool, at a given rate; and a record of each call. A call and its
 * record are made in one lock, so the record has the order in which things happened.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

#include <tierpool.h>

enum call { CALL_GET, CALL_GROW, CALL_PUT };

struct record {
	uint64_t ns;
	uint8_t call, from, to; /* tiers: of a growth and a put; of a get and a growth */
	uint8_t cpu;
};

struct workload_options {
	const char *name; /* of workload_names */
	tierpool *pool;
	double seconds, rate; /* calls a second, of both threads */
	unsigned cpu[2];
};

#define WORKLOADS 3
/*
 * steady   about 240 buffers are out all the time, of 200 bytes to 60 KB
 * bursty   60, and 900 for 300 gets in 2,000; one in four grows
 * phases   small messages in the first half of the time; then mostly large ones
 */
extern const char *const workload_names[WORKLOADS];

/*
 * Blocks:  for so many seconds.
 * Returns: the records, of malloc, and how many there are; NULL: something failed.
 */
struct record *workload_run(const struct workload_options *options, size_t *count);

#endif
