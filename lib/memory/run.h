/* SPDX-License-Identifier: MIT */
/*
 * A run: equal blocks side by side in whole pages of its own. Owns the memory between its head and
 * its end: which block is free, which pages are spent, and which buffer has which block. Where runs
 * are kept, and when their pages go back, is blocks.h's.
 *
 *     base                 first                                              bytes
 *     +--------------------+-----------+-----------+-----------+--------------+
 *     | head: bits, owners |  block 0  |  block 1  |    ...    |  not touched |
 *     +--------------------+-----------+-----------+-----------+--------------+
 *                           <-stride-->
 *
 * A free block is warm if its pages may be spent (take memory), clean if they are not, but for parts
 * of pages that it shares with blocks in use. A take prefers warm ones.
 * Blocks of up to 256 KiB share a run, so that few mappings serve many of them; a larger one has a
 * run of its own, which may grow.
 */
#ifndef TP_RUN_H
#define TP_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tierpool/buffer.h>

/* How the runs of one size are laid out. Written by tp_run_shape_make. */
struct tp_run_shape {
	size_t bytes;  /* of the whole run */
	size_t stride; /* from a block to the next; the last one has less behind it */
	uint32_t first, count;
	/* A single block begins at first + i lines, 0 <= i < colours. */
	uint32_t colours;
	/* 2^40 / stride, rounded up: for a division by multiplication. 0 if count is 1. */
	uint64_t reciprocal;
};

/* At the beginning of its pages. Guarded by the lock of its class (blocks.h), but shape and owners. */
struct tp_run {
	struct tp_run *next, **link; /* in the list that it is kept in */
	struct tp_run_shape shape;   /* set when the run is made */
	uint32_t free, warm;         /* blocks that are free; and of these, warm */
	uint32_t purged_at;          /* warm, after the last try to give pages back */
	uint32_t given;              /* whether a block was given back since then */
	uint32_t edged;       /* clean blocks with a page spent at their edges: blocks.c counts */
	uint32_t class_index; /* of blocks.h */
	uint64_t bits[];      /* warm ones, clean ones, then the owner of each block */
};

/*
 * Chooses the layout for blocks of size bytes, aligned to a power of two from TP_LINE to a page.
 * False: the size overflows.
 */
bool tp_run_shape_make(struct tp_run_shape *shape, size_t size, size_t alignment);

/* Bytes that a run spends on each block if all are used, rounded up. */
size_t tp_run_shape_cost(const struct tp_run_shape *shape);

/* Makes a run in pages that are all 0, or whose content does not matter, and are not spent. */
struct tp_run *tp_run_make(void *pages, const struct tp_run_shape *shape);

/*
 * Of a run of one block, whose pages have become more: its new shape. offset: of the block, which
 * keeps its place in the run.
 */
void tp_run_reshape(struct tp_run *run, const struct tp_run_shape *shape, size_t offset);

/* Takes a free block. *warm: whether it was warm. Before: one is free. */
char *tp_run_take(struct tp_run *run, bool *warm);

/* Gives a block back; it is warm. */
void tp_run_give(struct tp_run *run, const char *block);

/*
 * Gives the pages back that only free blocks lie in. purge: tp_pages_purge, or as it.
 * Returns: how many blocks were warm and are clean now.
 */
unsigned tp_run_purge(struct tp_run *run, void (*purge)(void *pages, size_t bytes));

/* Where the owner of the block stands that an address lies in. NULL: it lies in none. */
static inline tierpool_buf **tp_run_owner(struct tp_run *run, const void *address)
{
	size_t offset = (size_t)((const char *)address - (char *)run) - run->shape.first;
	/* Offsets of a run with several blocks are below 2^20, and strides below 2^19: exact. */
	size_t block = offset * run->shape.reciprocal >> 40;
	size_t words = (run->shape.count + 63) / 64;

	/* An address in the head has wrapped to an offset that no block has. */
	if (offset >= run->shape.count * run->shape.stride)
		return NULL;
	return (tierpool_buf **)(void *)(run->bits + 2 * words) + block;
}

#endif
