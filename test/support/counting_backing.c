/* SPDX-License-Identifier: MIT */
#include "counting_backing.h"

#include <sched.h>

#include "pool/pool.h"

struct counting_block {
	uint64_t spare[2]; /* where free lists of a malloc write */
	uint64_t magic;
	size_t n;
	struct counting_backing *owner;
	uint64_t rest[3]; /* to 64 bytes */
};
_Static_assert(sizeof(struct counting_block) == 64, "blocks stay aligned to 64");

#define COUNTING_OUT UINT64_C(0x6f7574206f757421)
#define COUNTING_FREED UINT64_C(0x6672656564212121)

void counting_backing_init(struct counting_backing *counting)
{
	*counting = (struct counting_backing){.until_failure = INT64_MAX};
}

void counting_backing_fail(struct counting_backing *counting, size_t nth, bool for_ever)
{
	tp_store_relaxed(&counting->fails_for_ever, for_ever);
	tp_store_relaxed(&counting->until_failure, nth ? (int64_t)nth : INT64_MAX);
}

static void counting_backing_pause(const struct counting_backing *counting)
{
	unsigned sleep_us = tp_load_relaxed(&counting->sleep_us);

	if (sleep_us)
		usleep(sleep_us);
	if (tp_load_relaxed(&counting->yields))
		sched_yield();
}

void *counting_backing_alloc(void *context, size_t n, size_t alignment)
{
	struct counting_backing *counting = context;
	int64_t until = tp_sub_relaxed(&counting->until_failure, 1);
	struct counting_block *block = NULL;
	void *base;

	counting_backing_pause(counting);
	if (until != 1 && (until > 1 || !tp_load_relaxed(&counting->fails_for_ever)) &&
		n <= SIZE_MAX - sizeof *block && alignment == sizeof *block &&
		!posix_memalign(&base, alignment, sizeof *block + n))
		block = base;
	if (!block) {
		tp_add_relaxed(&counting->failed, 1u);
		return NULL;
	}
	*block = (struct counting_block){.magic = COUNTING_OUT, .n = n, .owner = counting};
	tp_add_relaxed(&counting->allocs, 1u);
	tp_add_relaxed(&counting->blocks, 1u);
	tp_raise_relaxed(&counting->peak, tp_add_relaxed(&counting->live, n) + n);
	return block + 1;
}

void counting_backing_free(void *context, void *memory, size_t n)
{
	struct counting_backing *counting = context;
	struct counting_block *block = (struct counting_block *)memory - 1;

	counting_backing_pause(counting);
	if (!memory || block->magic != COUNTING_OUT || block->n != n || block->owner != counting) {
		fprintf(stderr, "counting_backing: free(%p, %zu): %s\n", memory, n,
			!memory                          ? "no block"
			: block->magic == COUNTING_FREED ? "freed before"
			: block->magic != COUNTING_OUT   ? "not from here, or overwritten"
			: block->n != n                  ? "allocated with another size"
							 : "allocated by another backing");
		abort();
	}
	tp_store_relaxed(&block->magic, COUNTING_FREED); /* atomic, or it would be left out */
	free(block);
	/* A block counts until it is really gone. */
	tp_sub_relaxed(&counting->live, n);
	tp_sub_relaxed(&counting->blocks, 1u);
}

struct tierpool_backing counting_backing_calls(struct counting_backing *counting)
{
	return (struct tierpool_backing){.size = sizeof(struct tierpool_backing),
		.alloc = counting_backing_alloc,
		.free = counting_backing_free,
		.context = counting};
}

size_t counting_backing_tables(const tierpool *pool)
{
	return pool->bytes + tp_tiers_table_bytes(&pool->tiers) +
	       tp_load_relaxed(&pool->sites.bytes);
}

size_t counting_backing_live(const struct counting_backing *counting)
{
	return tp_load_relaxed(&counting->live);
}

size_t counting_backing_blocks(const struct counting_backing *counting)
{
	return tp_load_relaxed(&counting->blocks);
}

size_t counting_backing_allocs(const struct counting_backing *counting)
{
	return tp_load_relaxed(&counting->allocs);
}
