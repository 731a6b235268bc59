/* SPDX-License-Identifier: MIT */
/*
 * The two jobs with large buffers, and their tables: large.h.
 */
#include "large.h"

#include <string.h>

#include <tierpool.h>

#include "support/comparison.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* From 1 KiB to 64 MiB, and from 2 to 16 MiB. */
#define GROWN_SIZES 17
#define WHOLE_SIZES 4

/* Writes bytes that nobody reads; the compiler leaves none out. */
static void large_write(char *data, size_t from, size_t n)
{
	memset(data + from, (int)(n >> 10), n);
	__asm__ volatile("" : : "r"(data) : "memory");
}

/* ---- grown: from 1 KiB, by doubling ---- */

static void large_grow_in_pool(tierpool *pool, size_t size)
{
	tierpool_buf *b = tierpool_get_sized(pool, KIB);

	if (!b)
		job_fail();
	large_write(b->data, 0, KIB);
	b->len = KIB;
	while (b->len < size) {
		if (tierpool_buf_reserve(b, b->len))
			job_fail();
		large_write(b->data, b->len, b->len);
		b->len *= 2;
	}
	tierpool_put(b);
}

static void large_grow_by_realloc(const struct allocator *a, size_t size)
{
	char *data = a->alloc(KIB);

	if (!data)
		job_fail();
	large_write(data, 0, KIB);
	for (size_t n = KIB; n < size; n *= 2) {
		char *larger = a->realloc(data, 2 * n);

		if (!larger)
			job_fail();
		data = larger;
		large_write(data, n, n);
	}
	a->free(data);
}

static void large_grow(const struct side *side, size_t size, unsigned count)
{
	while (count--) {
		if (side->pool)
			large_grow_in_pool(side->pool, size);
		else
			large_grow_by_realloc(side->allocator, size);
	}
}

/* ---- whole: all bytes at once ---- */

static void large_borrow(const struct side *side, size_t size, unsigned count)
{
	while (count-- && side->pool) {
		tierpool_buf *b = tierpool_get_sized(side->pool, size);

		if (!b)
			job_fail();
		large_write(b->data, 0, size);
		tierpool_put(b);
	}
}

static void large_malloc(const struct side *side, size_t size, unsigned count)
{
	while (count--) {
		char *data = side->allocator->alloc(size);

		if (!data)
			job_fail();
		large_write(data, 0, size);
		side->allocator->free(data);
	}
}

static void large_whole(const struct side *side, size_t size, unsigned count)
{
	if (side->pool)
		large_borrow(side, size, count);
	else
		large_malloc(side, size, count);
}

/* ---- the tables ---- */

static int large_table(const char *title,
	void (*work)(const struct side *side, size_t size, unsigned count), size_t least,
	unsigned sizes, double seconds)
{
	static struct comparison c;
	struct job job = {.work = work, .items = 1, .threads = 1};
	int error = 0;

	comparison_head_print(&c, title);
	for (unsigned i = 0; i < sizes && !error; i++) {
		job.size = least << i;
		error = comparison_run(&c, &job, seconds / sizes);
		if (!error)
			comparison_row_print(&c, job.size);
	}
	if (!error)
		comparison_worst_print(&c);
	return error;
}

int large_measure(double seconds)
{
	double share = seconds / (GROWN_SIZES + WHOLE_SIZES);
	int error = large_table(
		"Filled from 1 KiB, doubled whenever full (tierpool_buf_reserve; realloc), put: ns "
		"a filling\n(lower quartile), how much longer the median is; blocks that the "
		"pool allocated, page faults",
		large_grow, KIB, GROWN_SIZES, share * GROWN_SIZES);

	if (error)
		return error;
	return large_table(
		"A buffer of all bytes at once (tierpool_get_sized; malloc), filled, put: the same",
		large_whole, 2 * MIB, WHOLE_SIZES, share * WHOLE_SIZES);
}
