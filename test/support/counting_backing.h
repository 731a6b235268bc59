/* SPDX-License-Identifier: MIT */
/*
 * A backing for tests, which counts what is out of it by itself: a test that asked the statistics
 * whether the statistics are right would prove nothing. Every block has 64 bytes of its own before
 * it, outside of the n bytes asked for; they hold its size, so that a free of another size, a
 * second one, or one of a block that never came from here ends the process.
 *
 * Any thread may call everything here, but counting_backing_init and _calls come first.
 */
#ifndef COUNTING_BACKING_H
#define COUNTING_BACKING_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"

/* Relaxed throughout: counts guard nothing; a test that needs one exact has joined its threads. */
struct counting_backing {
	size_t live, blocks;   /* out now: bytes as asked for, and how many blocks these are */
	uint64_t peak;         /* the most that live has been */
	size_t allocs;         /* that succeeded, ever */
	size_t failed;         /* that were made to fail, or for which libc had no memory */
	int64_t until_failure; /* allocations up to and with the one that fails */
	bool fails_for_ever;   /* and every one behind it */
	bool yields;           /* before each call, so that another thread comes in between */
	unsigned sleep_us;     /* likewise; microseconds */
};

struct counting_block {
	uint64_t spare[2]; /* where free lists of a malloc write */
	uint64_t magic;
	size_t n;
	struct counting_backing *owner;
	uint64_t rest[3]; /* to 64 bytes */
};

#define COUNTING_OUT UINT64_C(0x6f7574206f757421)
#define COUNTING_FREED UINT64_C(0x6672656564212121)

static inline void counting_backing_init(struct counting_backing *counting)
{
	*counting = (struct counting_backing){.until_failure = INT64_MAX};
}

/*
 * From here on the nth allocation fails, 1 being the next one; for_ever: and every one behind it.
 * nth 0: none does any more.
 */
static inline void counting_backing_fail(
	struct counting_backing *counting, size_t nth, bool for_ever)
{
	tp_store_relaxed(&counting->fails_for_ever, for_ever);
	tp_store_relaxed(&counting->until_failure, nth ? (int64_t)nth : INT64_MAX);
}

static inline void counting_backing_pause(const struct counting_backing *counting)
{
	unsigned sleep_us = tp_load_relaxed(&counting->sleep_us);

	if (sleep_us)
		usleep(sleep_us);
	if (tp_load_relaxed(&counting->yields))
		sched_yield();
}

static inline void *counting_backing_alloc(void *context, size_t n, size_t alignment)
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

static inline void counting_backing_free(void *context, void *memory, size_t n)
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

/* What goes into tierpool_options.backing; counting must outlive every buffer that comes from it.
 */
static inline struct tierpool_backing counting_backing_calls(struct counting_backing *counting)
{
	return (struct tierpool_backing){.size = sizeof(struct tierpool_backing),
		.alloc = counting_backing_alloc,
		.free = counting_backing_free,
		.context = counting};
}

/* Bytes out now, as asked for. */
static inline size_t counting_backing_live(const struct counting_backing *counting)
{
	return tp_load_relaxed(&counting->live);
}

/* Blocks out now. */
static inline size_t counting_backing_blocks(const struct counting_backing *counting)
{
	return tp_load_relaxed(&counting->blocks);
}

/* Allocations that succeeded, ever. */
static inline size_t counting_backing_allocs(const struct counting_backing *counting)
{
	return tp_load_relaxed(&counting->allocs);
}

_Static_assert(sizeof(struct counting_block) == 64, "blocks stay aligned to 64");

#endif
