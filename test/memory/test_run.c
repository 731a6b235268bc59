/* SPDX-License-Identifier: MIT */
/*
 * Runs: blocks lie inside and apart, each address finds its block, and a purge takes no page from a
 * block in use.
 */
#include "memory/run.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "memory/pages.h"

#define COUNT_MOST 1024

static const size_t sizes[] = {1, 8, 63, 64, 65, 100, 500, 1000, 2047, 2048, 2049, 4000, 4096, 4097,
	5000, 6000, 8192, 10000, 12288, 16384, 20000, 40000, 65536, 100000, 131072, 200000,
	(256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20, (1 << 20) + 1, 3 << 20};
#define SIZES (sizeof sizes / sizeof *sizes)

static struct tp_run_shape shape;
static struct tp_run *run;
static char *block[COUNT_MOST];
static bool used[COUNT_MOST];
static uint64_t random_state = 1;

static unsigned random_below(unsigned n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)(random_state >> 33) % n;
}

static void run_begin(size_t size, size_t alignment)
{
	cr_assert(tp_run_shape_make(&shape, size, alignment));
	cr_assert_eq(shape.bytes % TP_PAGES_UNIT, 0);
	cr_assert_leq(shape.count, COUNT_MOST);
	run = tp_run_make(tp_pages_map(shape.bytes), &shape);
	cr_assert_eq(run->free, shape.count);
	cr_assert_eq(run->warm, 0);
}

static void run_end(void)
{
	cr_assert(tp_pages_unmap(run, shape.bytes));
}

static void take_all(void)
{
	bool warm;

	for (size_t i = 0; i < shape.count; i++) {
		block[i] = tp_run_take(run, &warm);
		used[i] = true;
		cr_assert_not(warm);
	}
	cr_assert_eq(run->free, 0);
}

static size_t index_of(const char *wanted)
{
	for (size_t i = 0; i < shape.count; i++)
		if (block[i] == wanted)
			return i;
	cr_assert_fail("%p is no block", (const void *)wanted);
	return 0;
}

/* ---- the layout ---- */

static void check_layout(size_t size, size_t alignment)
{
	char *end;

	run_begin(size, alignment);
	end = (char *)run + shape.bytes;
	take_all();
	for (size_t i = 0; i < shape.count; i++) {
		cr_assert_eq((uintptr_t)block[i] % alignment, 0, "%zu bytes, to %zu: %p", size,
			alignment, (void *)block[i]);
		cr_assert_geq(
			block[i], (char *)(run->bits + (shape.count + 63) / 64 * 2 + shape.count));
		cr_assert_leq(block[i] + size, end);
		memset(block[i], (int)(i % 251), size);
	}
	for (size_t i = 0; i < shape.count; i++)
		for (size_t at = 0; at < size;
			at += at + 1 < size && at + 61 >= size ? size - 1 - at : 61)
			cr_assert_eq((unsigned char)block[i][at], i % 251,
				"%zu bytes, to %zu: block %zu shares byte %zu", size, alignment, i,
				at);
	run_end();
}

Test(run, blocks_lie_inside_apart_and_aligned)
{
	for (size_t i = 0; i < SIZES; i++)
		for (size_t alignment = TP_LINE; alignment <= tp_pages_size; alignment *= 2)
			check_layout(sizes[i], alignment);
}

Test(run, a_cost_is_not_below_a_fair_share_of_what_is_touched)
{
	for (size_t i = 0; i < SIZES; i++) {
		cr_assert(tp_run_shape_make(&shape, sizes[i], TP_LINE));
		cr_assert_geq(tp_run_shape_cost(&shape), sizes[i]);
		cr_assert_leq(tp_run_shape_cost(&shape) * shape.count, shape.bytes + shape.count,
			"%zu bytes", sizes[i]);
	}
}

Test(run, a_size_that_would_overflow_has_no_shape)
{
	static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 64, SIZE_MAX - 65536,
		(size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, PTRDIFF_MAX - 64};

	for (size_t i = 0; i < sizeof huge / sizeof *huge; i++)
		for (size_t alignment = TP_LINE; alignment <= tp_pages_size; alignment *= 2)
			cr_assert_not(tp_run_shape_make(&shape, huge[i], alignment));
	cr_assert(tp_run_shape_make(&shape, PTRDIFF_MAX / 2, TP_LINE));
	cr_assert_geq(shape.bytes, PTRDIFF_MAX / 2);
}

/* ---- from an address to a block ---- */

Test(run, each_address_of_a_block_finds_its_owner_and_others_find_none)
{
	for (size_t i = 0; i < SIZES; i++) {
		run_begin(sizes[i], TP_LINE);
		take_all();
		for (size_t b = 0; b < shape.count; b++) {
			tierpool_buf **owner = tp_run_owner(run, block[b]);

			cr_assert_not_null(owner);
			cr_assert_null(*owner);
			*owner = (tierpool_buf *)(void *)block[b];
		}
		for (size_t b = 0; b < shape.count; b++)
			for (size_t at = 0; at < sizes[i]; at += 1 + sizes[i] / 300)
				cr_assert_eq((void *)*tp_run_owner(run, block[b] + at), block[b]);
		for (size_t b = 0; b < shape.count; b++)
			cr_assert_eq((void *)*tp_run_owner(run, block[b] + sizes[i] - 1), block[b]);
		/* The head, and what is beside the run. */
		for (char *at = (char *)run; at < block[0]; at++)
			cr_assert_null(tp_run_owner(run, at), "%zu bytes", sizes[i]);
		cr_assert_null(tp_run_owner(run, (char *)run - 1));
		cr_assert_null(tp_run_owner(run, NULL));
		cr_assert_null(tp_run_owner(run, (char *)UINTPTR_MAX));
		cr_assert_null(tp_run_owner(run, (char *)run + 2 * shape.bytes));
		/* Behind the last block. */
		if (shape.count > 1)
			for (char *at = block[shape.count - 1] + shape.stride;
				at < (char *)run + shape.bytes; at += 64)
				cr_assert_null(tp_run_owner(run, at), "%zu bytes", sizes[i]);
		run_end();
	}
}

Test(run, the_division_by_multiplication_is_exact)
{
	for (size_t alignment = TP_LINE; alignment <= tp_pages_size; alignment *= 2)
		for (size_t size = alignment; size <= 256 << 10; size += alignment) {
			cr_assert(tp_run_shape_make(&shape, size, alignment));
			cr_assert_gt(shape.count, 1);
			cr_assert_leq(shape.bytes, 1 << 20);
			for (size_t at = 0; at < shape.bytes; at += shape.stride) {
				cr_assert_eq(at * shape.reciprocal >> 40, at / shape.stride);
				cr_assert_eq((at + shape.stride - 1) * shape.reciprocal >> 40,
					at / shape.stride, "%zu, stride %zu", at, shape.stride);
			}
		}
}

/* ---- warm and clean ---- */

Test(run, a_take_prefers_what_is_warm)
{
	bool warm;

	run_begin(1000, TP_LINE);
	for (size_t i = 0; i < 20; i++)
		block[i] = tp_run_take(run, &warm);
	for (size_t i = 3; i < 20; i += 4)
		tp_run_give(run, block[i]);
	cr_assert_eq(run->warm, 5);
	for (unsigned i = 0; i < 5; i++) {
		char *taken = tp_run_take(run, &warm);

		cr_assert(warm);
		cr_assert_eq(index_of(taken) % 4, 3);
	}
	cr_assert_eq(run->warm, 0);
	tp_run_take(run, &warm);
	cr_assert_not(warm);
	cr_assert_eq(run->free, shape.count - 21);
	run_end();
}

Test(run, a_block_that_is_given_back_has_no_owner)
{
	bool warm;
	char *taken;

	run_begin(1000, TP_LINE);
	taken = tp_run_take(run, &warm);
	*tp_run_owner(run, taken) = (tierpool_buf *)(void *)taken;
	tp_run_give(run, taken);
	cr_assert_null(*tp_run_owner(run, taken));
	run_end();
}

/* ---- purge ---- */

static size_t purged;

/* Checks that no block in use, and not the head, has a byte there. */
static void checking_purge(void *pages, size_t bytes)
{
	char *from = pages, *to = from + bytes;

	cr_assert_eq((uintptr_t)from % tp_pages_size, 0);
	cr_assert_eq(bytes % tp_pages_size, 0);
	cr_assert_geq(from, (char *)run + run->shape.first);
	cr_assert_leq(to, (char *)run + shape.bytes);
	for (size_t i = 0; i < shape.count; i++)
		cr_assert(!used[i] || block[i] >= to || block[i] + shape.stride <= from,
			"stride %zu: block %zu is in use", shape.stride, i);
	purged += bytes;
	tp_pages_purge(pages, bytes);
}

static void purge(void)
{
	unsigned warm = run->warm;
	unsigned cleaned = tp_run_purge(run, checking_purge);

	cr_assert_eq(run->warm, warm - cleaned);
	cr_assert_eq(run->purged_at, run->warm);
	cr_assert_leq(run->warm, run->free);
}

static void check_contents(size_t size)
{
	for (size_t i = 0; i < shape.count; i++)
		for (size_t at = 0; used[i] && at < size; at += 64)
			cr_assert_eq((unsigned char)block[i][at], i % 251,
				"%zu bytes: block %zu has lost byte %zu", size, i, at);
}

static void free_or_take(size_t size)
{
	bool warm;
	size_t i = random_below(shape.count);

	if (used[i]) {
		used[i] = false;
		tp_run_give(run, block[i]);
	} else if (run->free) {
		i = index_of(tp_run_take(run, &warm));
		cr_assert_not(used[i]);
		used[i] = true;
		memset(block[i], (int)(i % 251), size);
	}
}

Test(run, a_purge_leaves_the_blocks_in_use_as_they_are)
{
	for (size_t i = 0; i < SIZES; i++) {
		run_begin(sizes[i], TP_LINE);
		take_all();
		for (size_t b = 0; b < shape.count; b++)
			memset(block[b], (int)(b % 251), sizes[i]);
		for (unsigned round = 0; round < 30; round++) {
			for (unsigned calls = 0; calls < shape.count; calls++)
				free_or_take(sizes[i]);
			purge();
			check_contents(sizes[i]);
		}
		run_end();
	}
}

Test(run, a_purge_gives_back_each_page_behind_the_last_block_in_use)
{
	for (size_t i = 0; i < SIZES; i++) {
		size_t kept, end, spent;

		run_begin(sizes[i], TP_LINE);
		take_all();
		if (shape.count > 1) {
			kept = random_below(shape.count - 1);
			for (size_t b = kept + 1; b < shape.count; b++) {
				used[b] = false;
				tp_run_give(run, block[b]);
			}
			purged = 0;
			purge();
			spent = tp_round_up(shape.first + (kept + 1) * shape.stride, tp_pages_size);
			end = tp_round_up(shape.first + shape.count * shape.stride, tp_pages_size);
			/* If no free block lies in them alone, there is nothing that is worth it. */
			cr_assert(purged == end - spent || (!purged && end - spent < shape.stride),
				"%zu bytes: %zu, not %zu", sizes[i], purged, end - spent);
			purged = 0;
			purge();
			cr_assert_eq(purged, 0, "twice");
		}
		run_end();
	}
}
