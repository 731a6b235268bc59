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

static void large_borrow(tierpool *pool, size_t size)
{
	tierpool_buf *b = tierpool_get_sized(pool, size);

	if (!b)
		job_fail();
	large_write(b->data, 0, size);
	tierpool_put(b);
}

static void large_malloc(const struct allocator *a, size_t size)
{
	char *data = a->alloc(size);

	if (!data)
		job_fail();
	large_write(data, 0, size);
	a->free(data);
}

static void large_whole(const struct side *side, size_t size, unsigned count)
{
	while (count--) {
		if (side->pool)
			large_borrow(side->pool, size);
		else
			large_malloc(side->allocator, size);
	}
}

/* ---- the tables ---- */

int large_measure(double seconds)
{
	static const struct job grown = {
		.work = large_grow, .threads = 1, .least = KIB, .step = 1, .sizes = GROWN_SIZES};
	static const struct job whole = {.work = large_whole,
		.threads = 1,
		.least = 2 * MIB,
		.step = 1,
		.sizes = WHOLE_SIZES};
	double share = seconds / (GROWN_SIZES + WHOLE_SIZES);
	int error = comparison_table(
		"Filled from 1 KiB, doubled whenever full (tierpool_buf_reserve; realloc), put: ns "
		"a filling\n(lower quartile), how much longer the median is; blocks that the "
		"pool allocated, page faults",
		&grown, share * GROWN_SIZES);

	if (error)
		return error;
	return comparison_table(
		"A buffer of all bytes at once (tierpool_get_sized; malloc), filled, put: the same",
		&whole, share * WHOLE_SIZES);
}
