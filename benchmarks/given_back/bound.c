/* SPDX-License-Identifier: MIT */
/*
 * A pool that is filled: bound.h.
 */
#include "bound.h"

#include <tierpool.h>

#include "burst.h"
#include "process.h"
#include "support/child.h"

#define BOUND_MAX_SIZE ((size_t)16 << 20)
#define BOUND_READINGS 4096 /* at least, if there are as many puts */

struct bound_job {
	size_t size, count;
	bool alone, touched;
};

static tierpool *bound_pool(const struct bound_job *job)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.retain = BOUND_RETAIN;
	options.decay_ms = TIERPOOL_DECAY_NEVER;
	if (job->alone) {
		options.tiers = &job->size;
		options.tier_count = 1;
	} else {
		options.max_size = BOUND_MAX_SIZE;
	}
	return burst_pool(&options);
}

/* Puts them. Returns: the most idle bytes that were read meanwhile. */
static size_t bound_put(const struct burst *b, tierpool *pool)
{
	size_t every = b->count / BOUND_READINGS + 1, most = 0;

	for (size_t i = 0; i < b->count; i++) {
		size_t now;

		tierpool_put(b->buffer[i]);
		if (i % every && i + 1 < b->count)
			continue;
		now = process_stats(pool).idle_bytes;
		if (now > most)
			most = now;
	}
	return most;
}

/* In a process of its own. */
static void bound_read(const void *context, void *result)
{
	const struct bound_job *job = context;
	struct bound *bound = result;
	struct burst b = burst_make(job->count);
	struct tierpool_stats stats;
	tierpool *pool;
	double before;

	process_pin();
	burst_rehearse();
	before = process_resident();
	pool = bound_pool(job);
	burst_borrow(&b, pool, job->size, job->touched);
	bound->highest = (double)bound_put(&b, pool) / (double)BOUND_RETAIN;
	bound->resident = process_resident() - before;
	stats = process_stats(pool);
	bound->idle = stats.idle;
	bound->freed = stats.frees;
	bound->counted = (double)stats.idle_bytes;
	bound->tables = (double)stats.overhead_bytes;
}

int bound_measure(struct bound *bound, size_t size, bool alone)
{
	/* No buffer takes less than its size. */
	struct bound_job job = {size, BOUND_RETAIN / size + 2, alone, false};
	int error = child_run(bound_read, &job, bound, sizeof *bound);
	double highest;

	if (error || !bound->idle)
		return error;
	highest = bound->highest;
	job.count = bound->idle;
	job.touched = true;
	error = child_run(bound_read, &job, bound, sizeof *bound);
	if (bound->highest < highest)
		bound->highest = highest;
	return error;
}
