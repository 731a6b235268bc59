/* SPDX-License-Identifier: MIT */
/*
 * A burst and what follows it: left.h.
 */
#include "left.h"

#include <errno.h>

#include <tierpool.h>

#include "burst.h"
#include "process.h"
#include "support/child.h"
#include "support/measure.h"

#define LEFT_RETAIN ((size_t)512 << 20) /* the whole burst stays, whatever its buffers cost */
#define LEFT_MAX_SIZE ((size_t)16 << 20)
#define LEFT_USED ((size_t)1024) /* a buffer in use after the burst */

struct left_job {
	size_t size;
	enum left_way way;
	double decay;
};

static tierpool *left_pool(double decay)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.max_size = LEFT_MAX_SIZE;
	options.retain = LEFT_RETAIN;
	options.decay_ms = (unsigned)decay;
	return burst_pool(&options);
}

static void left_use(tierpool *pool, double start, unsigned pairs)
{
	for (unsigned i = 0; i < pairs; i++) {
		tierpool_buf *b;

		sleep_until(start + i * 1e6);
		b = tierpool_get_sized(pool, LEFT_USED);
		if (!b)
			process_fail("a buffer", errno);
		touch(b->data, i);
		tierpool_put(b);
	}
}

static void left_follow(const struct left_job *job, tierpool *pool)
{
	double start = now_ns(), ms = LEFT_DECAYS * job->decay;

	if (job->way == LEFT_TRIM)
		tierpool_trim(pool, 0);
	else if (job->way == LEFT_REAPER)
		sleep_until(start + ms * 1e6);
	else
		left_use(pool, start, (unsigned)ms);
}

/* In a process of its own. */
static void left_read(const void *context, void *result)
{
	const struct left_job *job = context;
	struct left *left = result;
	struct burst b = burst_make(LEFT_BURST / job->size);
	struct tierpool_stats stats;
	double before, after;
	tierpool *pool;
	int error;

	process_pin();
	burst_rehearse();
	pool = left_pool(job->decay);
	error = job->way == LEFT_REAPER ? tierpool_reaper_start() : 0;
	if (error)
		process_fail("tierpool_reaper_start", -error);
	before = process_resident();
	burst_borrow(&b, pool, job->size, true);
	left->burst = process_resident() - before;
	burst_put(&b);
	left->kept = (double)process_stats(pool).idle / (double)b.count;
	left_follow(job, pool);
	after = process_resident();
	stats = process_stats(pool);
	left->part = (after - before) / left->burst;
	left->tables = (double)stats.overhead_bytes;
	left->idle = (double)stats.idle_bytes;
}

int left_measure(struct left *left, size_t size, enum left_way way, double decay)
{
	struct left_job job = {size, way, decay};

	return child_run(left_read, &job, left, sizeof *left);
}
