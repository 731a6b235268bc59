/* SPDX-License-Identifier: MIT */
/*
 * The jobs of gets that miss, and their tables: misses.h.
 */
#include "misses.h"

#include <stdio.h>

#include <tierpool.h>

#include "support/comparison.h"
#include "support/measure.h"

/* 64 bytes to 1 MiB, each four times the one before. */
#define MISSES_LEAST ((size_t)64)
#define MISSES_SIZES 8

#define ALIGNMENT 64
#define PAGE ((size_t)4096)
#define HELD_MOST 1000                /* buffers at once, cold */
#define HELD_BYTES ((size_t)64 << 20) /* or fewer, which have so many bytes */

static tierpool_buf *misses_get(tierpool *pool, size_t size)
{
	tierpool_buf *b = tierpool_get_sized(pool, size);

	if (!b)
		job_fail();
	return b;
}

static void *misses_align(const struct allocator *a, size_t size)
{
	void *block;

	if (a->align(&block, ALIGNMENT, size))
		job_fail();
	return block;
}

/* ---- a miss ---- */

static void misses_of_pool(tierpool *pool, size_t size, unsigned count)
{
	while (count--) {
		tierpool_buf *b = misses_get(pool, size);

		touch(b->data, count);
		tierpool_put(b);
	}
}

static void misses_of_allocator(const struct allocator *a, size_t size, unsigned count)
{
	while (count--) {
		void *block = misses_align(a, size);

		touch(block, count);
		a->free(block);
	}
}

static void misses_make(const struct side *side, size_t size, unsigned count)
{
	if (side->pool)
		misses_of_pool(side->pool, size, count);
	else
		misses_of_allocator(side->allocator, size, count);
}

/* ---- cold ---- */

static unsigned misses_held(size_t size)
{
	return HELD_BYTES / size < HELD_MOST ? (unsigned)(HELD_BYTES / size) : HELD_MOST;
}

static void misses_touch_pages(char *data, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		touch(data + at, at);
}

static void misses_hold_of_pool(tierpool *pool, size_t size)
{
	tierpool_buf *held[HELD_MOST];
	unsigned n = misses_held(size);

	for (unsigned i = 0; i < n; i++) {
		held[i] = misses_get(pool, size);
		misses_touch_pages(held[i]->data, size);
	}
	for (unsigned i = 0; i < n; i++)
		tierpool_put(held[i]);
	tierpool_trim(pool, 0);
}

static void misses_hold_of_allocator(const struct allocator *a, size_t size)
{
	void *held[HELD_MOST];
	unsigned n = misses_held(size);

	for (unsigned i = 0; i < n; i++) {
		held[i] = misses_align(a, size);
		misses_touch_pages(held[i], size);
	}
	for (unsigned i = 0; i < n; i++)
		a->free(held[i]);
}

static void misses_hold(const struct side *side, size_t size, unsigned count)
{
	while (count--) {
		if (side->pool)
			misses_hold_of_pool(side->pool, size);
		else
			misses_hold_of_allocator(side->allocator, size);
	}
}

/* ---- the tables ---- */

/* The rows of each. */
#define MISSES_ROWS .least = MISSES_LEAST, .step = 2, .sizes = MISSES_SIZES

int misses_measure(double seconds)
{
	struct tierpool_options nothing_kept = TIERPOOL_OPTIONS_INIT;
	struct job job = {.work = misses_make, .threads = 1, .options = &nothing_kept, MISSES_ROWS};
	unsigned cpus[2];
	int error;

	nothing_kept.retain = TIERPOOL_RETAIN_NONE;
	error = comparison_table(
		"A miss: tierpool_get_sized of a pool that keeps nothing, one store, "
		"put; against posix_memalign, one store,\nfree. One thread; ns (lower "
		"quartile), how much longer the median is; blocks that the pool "
		"allocated, page faults",
		&job, seconds / 2);
	if (error)
		return error;
	if (cpus_choose(cpus, false) < 2) {
		puts("\nA miss, two threads: skipped: only one CPU is allowed");
		return 0;
	}
	job.threads = 2;
	return comparison_table(
		"A miss, two threads at once, on one pool: the same", &job, seconds / 2);
}

int misses_cold_measure(double seconds)
{
	static const struct job job = {
		.work = misses_hold, .items = misses_held, .threads = 1, MISSES_ROWS};
	char title[256];

	snprintf(title, sizeof title,
		"Cold: %d buffers (or %zu MiB of them) are held at once, with a store in each "
		"page; then all are put, and\ntierpool_trim(pool, 0); against posix_memalign and "
		"free. A buffer: the same",
		HELD_MOST, HELD_BYTES >> 20);
	return comparison_table(title, &job, seconds);
}
