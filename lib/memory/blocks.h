/* SPDX-License-Identifier: MIT */
/*
 * The blocks of a pool: a class for each tier, with its runs, and one for what is larger than all
 * tiers. Owns the runs, and decides when their pages go back to the system:
 *
 *     a free         while the pool has more than SPARE_MOST warm: ends its run, if that is empty;
 *                    gives its pages back, if PURGE_STEP more of them are warm than at the last try
 *     a pass         all of them: run by run, in pieces. Trim and a whole tick make one; after a
 *                    tick that a pool takes by itself its slow calls do, a piece each
 *
 * If the backing has no runs, each block comes from its functions, and goes back at once.
 */
#ifndef TP_BLOCKS_H
#define TP_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tierpool/buffer.h>

#include "base/atomic.h"
#include "base/lock.h"
#include "memory/backing.h"
#include "memory/pagemap.h"
#include "memory/run.h"

/* Runs that have a free block. Both lists are in the lock; takes look in both. */
struct tp_blocks_class {
	struct tp_lock lock;
	struct tp_run *open;    /* those that the pass has seen, or that came later */
	struct tp_run *waiting; /* for the pass */
};

struct tp_blocks {
	const struct tp_backing *backing; /* these five are set by tp_blocks_init */
	const size_t *size;               /* of each tier */
	unsigned count;                   /* tiers; there is one class more */
	size_t alignment;
	struct tp_blocks_class *class; /* NULL: no runs */
	size_t spare;                  /* bytes of warm free blocks; added to by anyone */
	uint32_t
		passing; /* passes begun since the last one ended; 0: none is under way; by anyone */
};

/* Bytes of memory for count tiers. */
static inline size_t tp_blocks_bytes(unsigned count)
{
	return (count + 1) * sizeof(struct tp_blocks_class);
}

/*
 * memory: tp_blocks_bytes, all 0. It, backing and the sizes must outlive the blocks. alignment: a
 * power of two from TP_LINE to a page. No size is above PTRDIFF_MAX / 2.
 */
void tp_blocks_init(struct tp_blocks *blocks, void *memory, const struct tp_backing *backing,
	const size_t *size, unsigned count, size_t alignment);

/* Before: no block is in use. */
void tp_blocks_fini(struct tp_blocks *blocks);

/* What a block of a tier really spends, in bytes. */
size_t tp_blocks_cost(const struct tp_blocks *blocks, unsigned tier);

/*
 * A block of a tier; tier TP_TIER_NONE: of n bytes, more than any tier has. NULL: out of memory.
 * It is freed with the same tier and n. n: the size of the tier, if it is one.
 */
char *tp_block_alloc(struct tp_blocks *blocks, unsigned tier, size_t n);
void tp_block_free(struct tp_blocks *blocks, unsigned tier, char *block, size_t n);

/*
 * Makes a block larger without a copy, if it has a run of its own; larger: more than any tier has.
 * After: the block is of tier TP_TIER_NONE, its content is kept, and it may have moved.
 *
 * Returns: the block; NULL: not possible, and nothing happened.
 */
char *tp_block_grow(struct tp_blocks *blocks, char *block, size_t larger);

/* Whether the blocks of a tier grow so, whatever lies behind them: they have runs, which may move. */
bool tp_blocks_grow_in_place(const struct tp_blocks *blocks, unsigned tier);

/* The borrowed buffer whose data this is, for any address. NULL: none whose block lies in a run. */
tierpool_buf *tp_block_owner(const void *data);

/* ---- giving pages back ---- */

/* Begins a pass, which sees all runs that have a free block now. */
void tp_blocks_pass_begin(struct tp_blocks *blocks);

/* Does a piece of the pass, if one is under way: at most so many runs. */
void tp_blocks_pass(struct tp_blocks *blocks, unsigned runs);

/* For fork: takes every lock; gives them back. */
void tp_blocks_lock(struct tp_blocks *blocks);
void tp_blocks_unlock(struct tp_blocks *blocks);

/*
 * Notes which buffer has a block: when it gets it, and when it exchanges it. Before: the caller owns
 * the block.
 */
static inline void tp_block_owner_set(
	const struct tp_blocks *blocks, const char *block, tierpool_buf *owner)
{
	struct tp_run *run;

	if (!blocks->class)
		return;
	run = tp_pagemap_get(block);
	/* Release: a lookup that finds the buffer sees what it got. Partner: tp_block_owner. */
	tp_store_release(tp_run_owner(run, block), owner);
}

#endif
