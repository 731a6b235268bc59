/* SPDX-License-Identifier: MIT */
#include "memory/blocks.h"

#include "base/compiler.h"
#include "memory/bufstate.h"
#include "memory/pages.h"
#include "memory/sizeclass.h"

/* Warm bytes that the free blocks of a pool may have before a free gives pages back. */
#define SPARE_MOST ((size_t)1 << 20)

/* Then a run is looked at again after this many more warm bytes of it. */
#define PURGE_STEP ((size_t)32 << 10)

void tp_blocks_init(struct tp_blocks *blocks, void *memory, const struct tp_backing *backing,
	const size_t *size, unsigned count, size_t alignment)
{
	*blocks = (struct tp_blocks){
		.backing = backing, .size = size, .count = count, .alignment = alignment};
	if (!backing->runs)
		return;
	blocks->class = memory;
	for (unsigned tier = 0; tier <= count; tier++)
		tp_lock_init(&blocks->class[tier].lock);
}

/* Gives pages of the backing back. If the system refuses to end them, pages.c tries again. */
static void blocks_pages_end(const struct tp_blocks *blocks, void *pages, size_t bytes)
{
	if (!blocks->backing->runs->free(pages, bytes))
		tp_pages_end(pages, bytes);
}

static struct tp_run **blocks_end_of(struct tp_run **list)
{
	while (*list)
		list = &(*list)->next;
	return list;
}

void tp_blocks_fini(struct tp_blocks *blocks)
{
	for (unsigned tier = 0; blocks->class && tier <= blocks->count; tier++) {
		struct tp_blocks_class *class = &blocks->class[tier];

		*blocks_end_of(&class->open) = class->waiting;
		for (struct tp_run *run = class->open, *next; run; run = next) {
			size_t bytes = run->shape.bytes;

			next = run->next;
			tp_pagemap_clear(run, bytes);
			blocks_pages_end(blocks, run, bytes);
		}
		tp_lock_fini(&class->lock);
	}
}

size_t tp_blocks_cost(const struct tp_blocks *blocks, unsigned tier)
{
	struct tp_run_shape shape;

	if (!blocks->class)
		return blocks->size[tier];
	/* It does not overflow, as the caller of tp_blocks_init has promised. */
	(void)tp_run_shape_make(&shape, blocks->size[tier], blocks->alignment);
	return tp_run_shape_cost(&shape);
}

/* ---- lists, in the class's lock ---- */

static void blocks_link(struct tp_run **list, struct tp_run *run)
{
	run->next = *list;
	run->link = list;
	if (run->next)
		run->next->link = &run->next;
	*list = run;
}

static void blocks_unlink(struct tp_run *run)
{
	*run->link = run->next;
	if (run->next)
		run->next->link = run->link;
}

/* ---- alloc ---- */

static struct tp_blocks_class *blocks_class(const struct tp_blocks *blocks, unsigned tier)
{
	return &blocks->class[tier == TP_TIER_NONE ? blocks->count : tier];
}

static struct tp_run *blocks_run_make(
	struct tp_blocks *blocks, unsigned class_index, const struct tp_run_shape *shape)
{
	void *pages = blocks->backing->runs->alloc(shape->bytes);
	struct tp_run *run;

	if (!pages)
		return NULL;
	run = tp_run_make(pages, shape);
	run->class_index = class_index;
	if (tp_pagemap_set(pages, shape->bytes, run))
		return run;
	blocks_pages_end(blocks, pages, shape->bytes);
	return NULL;
}

/*
 * In the lock: a run for a block of n bytes. Those of a tier fit all. Of those above the tiers only
 * what was kept for the next one is there, which must not be much larger.
 */
static struct tp_run *blocks_find(
	const struct tp_blocks *blocks, struct tp_blocks_class *class, size_t n)
{
	struct tp_run *const lists[] = {class->open, class->waiting};
	bool any = class != &blocks->class[blocks->count];

	for (unsigned i = 0; i < 2; i++)
		for (struct tp_run *run = lists[i]; run; run = run->next)
			if (any || (run->shape.stride >= n && run->shape.stride / 2 <= n))
				return run;
	return NULL;
}

/*
 * What a block that a purge has made clean still spends: it shares pages at both ends with blocks in
 * use, a page in all. 0: such blocks stay warm, or have their run alone.
 */
static size_t blocks_edge(const struct tp_run *run)
{
	return run->shape.count > 1 && run->shape.stride >= 2 * tp_pages_size ? tp_pages_size : 0;
}

/* In the lock. */
static char *blocks_take(struct tp_blocks *blocks, struct tp_run *run)
{
	bool warm;
	char *block = tp_run_take(run, &warm);

	if (!run->free)
		blocks_unlink(run);
	/* Relaxed: a sum for readers, and a limit that need not be exact. */
	if (warm)
		tp_sub_relaxed(&blocks->spare, run->shape.stride);
	if (!warm && run->edged) {
		run->edged--;
		tp_sub_relaxed(&blocks->spare, blocks_edge(run));
	}
	return block;
}

char *tp_block_alloc(struct tp_blocks *blocks, unsigned tier, size_t n)
{
	struct tp_blocks_class *class;
	struct tp_run_shape shape;
	struct tp_run *run;
	char *block = NULL;

	if (!blocks->class)
		return tp_backing_alloc_aligned(blocks->backing, n, blocks->alignment);
	class = blocks_class(blocks, tier);
	tp_lock_take(&class->lock);
	run = blocks_find(blocks, class, n);
	if (run)
		block = blocks_take(blocks, run);
	tp_lock_give(&class->lock);
	if (block)
		return block;
	if (!tp_run_shape_make(&shape, n, blocks->alignment))
		return NULL;
	run = blocks_run_make(blocks, (unsigned)(class - blocks->class), &shape);
	if (!run)
		return NULL;
	tp_lock_take(&class->lock);
	blocks_link(&class->open, run);
	block = blocks_take(blocks, run);
	tp_lock_give(&class->lock);
	return block;
}

/* ---- free ---- */

/*
 * In the lock: gives the free pages of a run back; or unlinks the run, if it is empty. Returns: whether
 * it did that, and the caller has to end it.
 */
static bool blocks_purge(struct tp_blocks *blocks, struct tp_run *run)
{
	unsigned cleaned;

	if (run->free == run->shape.count) {
		blocks_unlink(run);
		tp_sub_relaxed(&blocks->spare,
			run->warm * run->shape.stride + run->edged * blocks_edge(run));
		return true;
	}
	cleaned = tp_run_purge(run, tp_pages_purge);
	tp_sub_relaxed(&blocks->spare, cleaned * (run->shape.stride - blocks_edge(run)));
	run->edged += blocks_edge(run) ? cleaned : 0;
	return false;
}

/* Puts an empty run back into its list. */
static void blocks_keep(struct tp_blocks *blocks, struct tp_run *run)
{
	struct tp_blocks_class *class = &blocks->class[run->class_index];

	tp_lock_take(&class->lock);
	blocks_link(&class->open, run);
	tp_add_relaxed(
		&blocks->spare, run->warm * run->shape.stride + run->edged * blocks_edge(run));
	tp_lock_give(&class->lock);
}

/*
 * Ends an empty run. If the system refuses, it is kept, with nothing but clean blocks; and as it is, if a
 * lookup is under way.
 */
static void blocks_end(struct tp_blocks *blocks, struct tp_run *run)
{
	unsigned class_index = run->class_index;
	struct tp_run_shape shape = run->shape;

	if (!tp_pagemap_try_clear(run, shape.bytes)) {
		/* But for its head, which a lookup reads. */
		run->given = true;
		run->edged = 0;
		tp_run_purge(run, tp_pages_purge);
		blocks_keep(blocks, run);
		return;
	}
	if (blocks->backing->runs->free(run, shape.bytes))
		return;
	run = tp_run_make(run, &shape);
	run->class_index = class_index;
	/* The leaves of the map are there. */
	(void)tp_pagemap_set(run, shape.bytes, run);
	blocks_keep(blocks, run);
}

void tp_block_free(struct tp_blocks *blocks, unsigned tier, char *block, size_t n)
{
	struct tp_blocks_class *class;
	struct tp_run *run;
	bool ends = false;
	size_t spare;

	if (!blocks->class) {
		tp_backing_free(blocks->backing, block, n);
		return;
	}
	class = blocks_class(blocks, tier);
	run = tp_pagemap_get(block);
	tp_lock_take(&class->lock);
	if (!run->free)
		blocks_link(&class->open, run);
	tp_run_give(run, block);
	spare = tp_add_relaxed(&blocks->spare, run->shape.stride) + run->shape.stride;
	if (spare > SPARE_MOST && (run->free == run->shape.count ||
					  run->warm * run->shape.stride >=
						  run->purged_at * run->shape.stride + PURGE_STEP))
		ends = blocks_purge(blocks, run);
	tp_lock_give(&class->lock);
	if (ends)
		blocks_end(blocks, run);
}

/* ---- grow ---- */

/*
 * Makes the mapping of a run longer, in place or at another one, while no lookup finds it. Returns:
 * where it is; NULL: not possible, and nothing happened.
 */
static struct tp_run *blocks_pages_grow(
	struct tp_blocks *blocks, struct tp_run *run, size_t before, size_t bytes)
{
	const struct tp_backing_runs *runs = blocks->backing->runs;
	enum tp_extended extended = runs->extend(run, before, bytes);
	void *target;

	if (extended == TP_EXTENDED)
		return run;
	target = extended == TP_EXTENDED_NO_ROOM && runs->move ? runs->alloc(bytes) : NULL;
	if (!target)
		return NULL;
	if (!tp_pagemap_reserve(target, bytes)) {
		blocks_pages_end(blocks, target, bytes);
		return NULL;
	}
	return runs->move(run, before, bytes, target) ? target : NULL;
}

bool tp_blocks_grow_in_place(const struct tp_blocks *blocks, unsigned tier)
{
	struct tp_run_shape shape;

	return blocks->class && blocks->backing->runs->move &&
	       tp_run_shape_make(&shape, blocks->size[tier], blocks->alignment) && shape.count == 1;
}

char *tp_block_grow(struct tp_blocks *blocks, char *block, size_t larger)
{
	struct tp_run *run = blocks->class ? tp_pagemap_get(block) : NULL, *grown;
	size_t offset = (size_t)(block - (char *)run), before;
	struct tp_run_shape shape;

	if (!run || run->shape.count > 1 || !tp_run_shape_make(&shape, larger, blocks->alignment) ||
		!tp_pagemap_reserve(run, shape.bytes))
		return NULL;
	/* While its block is in use the run is in no list, and nobody but the caller needs it. */
	before = run->shape.bytes;
	if (!tp_pagemap_try_clear(run, before))
		return NULL;
	grown = blocks_pages_grow(blocks, run, before, shape.bytes);
	if (grown) {
		tp_run_reshape(grown, &shape, offset);
		grown->class_index = blocks->count;
		run = grown;
	}
	/* It does not fail: its memory is reserved. */
	(void)tp_pagemap_set(run, run->shape.bytes, run);
	return grown ? (char *)grown + offset : NULL;
}

/* ---- owners ---- */

tierpool_buf *tp_block_owner(const void *data)
{
	tierpool_buf **owner, *b;
	struct tp_run *run;
	unsigned shard;

	/* Most addresses lie in no run, if free of another library asks: that costs a look and no write. */
	if (!tp_pagemap_get(data))
		return NULL;
	shard = tp_pagemap_enter();
	run = tp_pagemap_get(data);
	owner = run && !((uintptr_t)run & TP_PAGEMAP_HEADERS) ? tp_run_owner(run, data) : NULL;
	b = owner ? tp_load_acquire(owner) : NULL;
	/* Before leave: headers stay until lookups have left. */
	if (b && !tp_bufstate_is_data(b, data))
		b = NULL;
	tp_pagemap_leave(shard);
	return b;
}

/* ---- giving pages back ---- */

void tp_blocks_pass_begin(struct tp_blocks *blocks)
{
	for (unsigned tier = 0; blocks->class && tier <= blocks->count; tier++) {
		struct tp_blocks_class *class = &blocks->class[tier];
		struct tp_run **end;

		tp_lock_take(&class->lock);
		end = blocks_end_of(&class->waiting);
		*end = class->open;
		if (class->open)
			class->open->link = end;
		class->open = NULL;
		tp_lock_give(&class->lock);
	}
	/* Release: who sees it sees the lists. Partner: tp_blocks_pass. */
	tp_add_release(&blocks->passing, 1u);
}

void tp_blocks_pass(struct tp_blocks *blocks, unsigned runs)
{
	/* Acquire: pairs with the release above. */
	uint32_t passing = tp_load_acquire(&blocks->passing);

	if (!passing)
		return;
	for (unsigned tier = 0; blocks->class && tier <= blocks->count; tier++) {
		struct tp_blocks_class *class = &blocks->class[tier];
		struct tp_run *run;
		bool ends;

		do {
			tp_lock_take(&class->lock);
			run = class->waiting;
			ends = run && blocks_purge(blocks, run);
			if (run && !ends) {
				blocks_unlink(run);
				blocks_link(&class->open, run);
			}
			tp_lock_give(&class->lock);
			if (ends)
				blocks_end(blocks, run);
			if (run && !--runs)
				return;
		} while (run);
	}
	/* Not if another pass has begun meanwhile, which may have runs in lists that were done. */
	(void)tp_cas_strong_acq_rel(&blocks->passing, &passing, 0u);
}

/* ---- fork ---- */

void tp_blocks_lock(struct tp_blocks *blocks)
{
	for (unsigned tier = 0; blocks->class && tier <= blocks->count; tier++)
		tp_lock_take(&blocks->class[tier].lock);
}

void tp_blocks_unlock(struct tp_blocks *blocks)
{
	for (unsigned tier = 0; blocks->class && tier <= blocks->count; tier++)
		tp_lock_give(&blocks->class[tier].lock);
}
