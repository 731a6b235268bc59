/* SPDX-License-Identifier: MIT */
#include "memory/run.h"

#include <string.h>

#include "base/atomic.h"
#include "base/colour.h"
#include "base/compiler.h"
#include "memory/pages.h"

/* Bytes of a run of blocks up to SMALL; of one of larger blocks; larger than MIDDLE have their own. */
#define RUN_SMALL TP_PAGES_UNIT
#define RUN_MIDDLE (9 * TP_PAGES_UNIT)
#define SMALL ((size_t)4 << 10)
#define MIDDLE ((size_t)256 << 10)

/* From this size on, blocks that are a multiple of it have a line between them. */
#define COLOURED ((size_t)2 << 10)

static size_t run_words(size_t count)
{
	return (count + 63) / 64;
}

static size_t run_head_bytes(size_t count)
{
	return sizeof(struct tp_run) + (2 * run_words(count) + count) * sizeof(uint64_t);
}

/* Blocks of a run that fit into bytes. */
static size_t run_count(size_t bytes, size_t stride, size_t alignment)
{
	size_t count = bytes / stride;

	while (count > 1 && tp_round_up(run_head_bytes(count), alignment) + count * stride > bytes)
		count--;
	return tp_max(count, 1);
}

/* Bytes from the beginning of a run to the end of its last block, at most. */
static size_t run_spent(const struct tp_run_shape *shape)
{
	return shape->first + (shape->colours - 1) * TP_LINE + shape->count * shape->stride;
}

bool tp_run_shape_make(struct tp_run_shape *shape, size_t size, size_t alignment)
{
	size_t stride, first, count = 1;

	/* The largest sum below. */
	if (size > PTRDIFF_MAX - 2 * TP_PAGES_UNIT - TP_COLOUR_PAGE)
		return false;
	stride = tp_round_up(tp_max(size, 1), alignment);
	if (size <= MIDDLE) {
		/* Blocks that all began with one colour would compete for the same sets of the cache. */
		if (alignment == TP_LINE && !(size % COLOURED))
			stride += TP_LINE;
		count = run_count(size <= SMALL ? RUN_SMALL : RUN_MIDDLE, stride, alignment);
	}
	first = tp_round_up(run_head_bytes(count), alignment);
	*shape = (struct tp_run_shape){.stride = stride,
		.first = (uint32_t)first,
		.count = (uint32_t)count,
		.colours = 1,
		.reciprocal = count > 1 ? ((UINT64_C(1) << 40) + stride - 1) / stride : 0};
	if (count == 1 && alignment == TP_LINE)
		shape->colours = (uint32_t)((TP_COLOUR_PAGE - first) / TP_LINE);
	shape->bytes = tp_round_up(run_spent(shape), TP_PAGES_UNIT);
	return true;
}

size_t tp_run_shape_cost(const struct tp_run_shape *shape)
{
	size_t spent = tp_round_up(run_spent(shape), tp_pages_size);

	return spent / shape->count + (spent % shape->count != 0);
}

/* ---- bits ---- */

static uint64_t *run_warm(struct tp_run *run)
{
	return run->bits;
}

static uint64_t *run_clean(struct tp_run *run)
{
	return run->bits + run_words(run->shape.count);
}

static bool run_bit(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

/* The first bit that is set; it is cleared. SIZE_MAX: none is. */
static size_t run_bit_take(uint64_t *bits, size_t words)
{
	for (size_t word = 0; word < words; word++)
		if (bits[word]) {
			size_t bit = (size_t)__builtin_ctzll(bits[word]);

			bits[word] &= bits[word] - 1;
			return 64 * word + bit;
		}
	return SIZE_MAX;
}

/* ---- one run ---- */

void tp_run_reshape(struct tp_run *run, const struct tp_run_shape *shape, size_t offset)
{
	run->shape = *shape;
	run->shape.first = (uint32_t)offset;
	/* It has its colour now: if the run is made anew, it begins there again. */
	run->shape.colours = 1;
}

struct tp_run *tp_run_make(void *pages, const struct tp_run_shape *shape)
{
	static struct {
		unsigned next;
	} __attribute__((aligned(TP_LINE))) colour;
	struct tp_run *run = pages;

	memset(run, 0, run_head_bytes(shape->count));
	run->shape = *shape;
	/*
	 * If each single block had the same colour, all would compete for the same sets of the cache:
	 * writing 16 of them in turn took 5.7 ns a write instead of 0.8, on the EPYC machine of the
	 * README. 37 is odd, so that all colours come up. Relaxed: any colour is right.
	 */
	if (shape->colours > 1)
		tp_run_reshape(run, shape,
			shape->first +
				tp_add_relaxed(&colour.next, 37u) % shape->colours * TP_LINE);
	run->free = shape->count;
	for (size_t i = 0; i < shape->count; i++)
		run_clean(run)[i / 64] |= UINT64_C(1) << i % 64;
	return run;
}

char *tp_run_take(struct tp_run *run, bool *warm)
{
	size_t words = run_words(run->shape.count);
	size_t block = run->warm ? run_bit_take(run_warm(run), words) : SIZE_MAX;

	*warm = block != SIZE_MAX;
	if (*warm)
		run->warm--;
	else
		block = run_bit_take(run_clean(run), words);
	run->free--;
	return (char *)run + run->shape.first + block * run->shape.stride;
}

void tp_run_give(struct tp_run *run, const char *block)
{
	tierpool_buf **owners =
		(tierpool_buf **)(void *)(run_clean(run) + run_words(run->shape.count));
	tierpool_buf **owner = tp_run_owner(run, block);
	size_t i = (size_t)(owner - owners);

	/* Relaxed: a lookup at the same time finds the one or the other. */
	tp_store_relaxed(owner, NULL);
	run_warm(run)[i / 64] |= UINT64_C(1) << i % 64;
	run->free++;
	run->warm++;
	run->given = true;
}

/* ---- giving pages back ---- */

/*
 * For the free blocks from ... to - 1, beside which none is free: gives the pages back that lie in
 * them alone. Returns: as tp_run_purge.
 */
static unsigned run_purge_between(
	struct tp_run *run, size_t from, size_t to, void (*purge)(void *pages, size_t bytes))
{
	size_t stride = run->shape.stride, first = run->shape.first, page = tp_pages_size;
	size_t begin = tp_round_up(first + from * stride, page);
	/* Nothing lies behind the last block. */
	size_t end = to == run->shape.count ? tp_round_up(first + to * stride, page)
					    : (first + to * stride) / page * page;
	unsigned cleaned = 0;
	bool any = false;

	if (begin >= end)
		return 0;
	for (size_t i = from; i < to; i++) {
		size_t block = first + i * stride;

		if (!run_bit(run_warm(run), i))
			continue;
		any = true;
		/* Those at both ends keep a part of their pages: small ones stay warm. */
		if (stride < 2 * page && (block < begin || block + stride > end))
			continue;
		run_warm(run)[i / 64] &= ~(UINT64_C(1) << i % 64);
		run_clean(run)[i / 64] |= UINT64_C(1) << i % 64;
		cleaned++;
	}
	if (any)
		purge((char *)run + begin, end - begin);
	run->warm -= cleaned;
	return cleaned;
}

unsigned tp_run_purge(struct tp_run *run, void (*purge)(void *pages, size_t bytes))
{
	size_t count = run->shape.count;
	unsigned cleaned = 0;

	for (size_t from = 0, to; from < count && run->warm && run->given; from = to + 1) {
		for (to = from;
			to < count && (run_bit(run_warm(run), to) || run_bit(run_clean(run), to));
			to++)
			;
		if (to > from)
			cleaned += run_purge_between(run, from, to, purge);
	}
	run->purged_at = run->warm;
	run->given = false;
	return cleaned;
}
