/* SPDX-License-Identifier: MIT */
/*
 * The pool: its struct, and what the files of this folder do for each other. Owns how a pool's parts
 * lie in memory. The header of a part says what may be done with it.
 */
#ifndef TP_POOL_H
#define TP_POOL_H

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "idle/countdown.h"
#include "idle/tiers.h"
#include "memory/backing.h"
#include "memory/blocks.h"
#include "memory/bufhead.h"
#include "memory/sizeclass.h"
#include "pool/counts.h"
#include "pool/maximum.h"
#include "pool/site.h"
#include "process/registry.h"

struct tierpool {
	union {
		struct {
			struct tp_registered
				registered; /* first: a pool is found as one of these */
			uint32_t closing;   /* set once, by destroy; read by retain_set and puts */
			/* Buffers were freed since the last pass over the blocks began; by anyone. */
			uint32_t unpurged;
			/* Buffers that were freed for want of room. By anyone. */
			uint64_t crowded;
			tierpool_budget *budget; /* NULL: none */
			size_t bytes;            /* of this struct and what lies behind it */
			/* Of maintain.c, by anyone: after which tick pages were last given back. */
			uint64_t purged_tick;
			/*
			 * The pool's id, if stubs may have it and there is a fast path; else what no
			 * stub has. Each get reads it: not on the line of the references.
			 */
			uint32_t fast_id __attribute__((aligned(TP_LINE)));
			struct tp_backing backing;
			struct tp_sizeclass sizes;
			/* By tp_size_index, for get: the tier's capacity and stack, as an offset. */
			size_t quick_size[TP_SIZE_INDICES];
			uint32_t quick_offset[TP_SIZE_INDICES];
			uint64_t calibrations; /* by anyone */
			/* Of advise.c: set once, in its lock; NULL: not yet. */
			struct tp_advice *advice;
			struct tp_maximum maximum;
			struct tp_tiers tiers;
			struct tp_blocks blocks;
			struct tp_bufheads heads;
			struct tp_sites sites;
		};
		char padding[TP_VISIBLE_OFFSET]; /* puts cpu_memory where the sequences look */
	};
	/*
	 * First the slab pointers: a put finds its slab from the pool by one load. Then what else
	 * tiers keeps of each CPU, and the name.
	 */
	char cpu_memory[];
};

_Static_assert(sizeof(struct tierpool) == TP_VISIBLE_OFFSET, "else TP_VISIBLE_OFFSET is too small");

/*
 * Counts one call, or buffer, of a tier or of TP_TIER_NONE. Before: a get of the pool has succeeded, or
 * is about to (get_slow).
 */
static inline void tp_pool_count(tierpool *pool, unsigned tier, unsigned count)
{
	tp_counts_add(&pool->tiers, tier, count, 1);
}

static inline tierpool *tp_pool_of(struct tp_registered *entry)
{
	return (tierpool *)entry;
}

/* ---- get.c ---- */

/* Settles, once, whether there is a fast path. Called before each pool is made. */
void tp_pool_start(void);

/* Colours of what each get and put reads, apart from the tables of the tiers. */
uint64_t tp_pool_colours(const tierpool *pool);

/*
 * Does what is due, after a pop that left the countdown expired, and arms it again. Returns: what it
 * stood for.
 */
struct tp_expiry tp_pool_expired(tierpool *pool, unsigned tier);

/* The expire of struct tp_kind. */
void tp_pool_expire(struct tp_registered *entry);

/* ---- put.c ---- */

/* Keeps a buffer in state idle, if need be by freeing a larger idle one; else frees it. */
void tp_pool_keep(tierpool *pool, tierpool_buf *b);

/* ---- alloc.c ---- */

/* Makes a buffer, in state idle, with a new block. NULL: out of memory. */
tierpool_buf *tp_pool_alloc(tierpool *pool, unsigned tier, size_t n);

/*
 * The same; if there is no memory for it, first all that the pool has idle is freed, if that is half
 * as much or more.
 */
tierpool_buf *tp_pool_alloc_hard(tierpool *pool, unsigned tier, size_t n);

/* Frees a buffer in state idle; leased: ends its lease too. After: the pool may be gone. */
void tp_pool_free(tierpool *pool, tierpool_buf *b, enum tp_drop why, bool leased);

/*
 * The borrowed buffer whose data this is, of any pool, also of one that is destroyed; for any address. Where
 * blocks do not come from runs (memory/blocks.h), it looks at all buffers. NULL: there is none.
 */
tierpool_buf *tp_pool_find(const void *data);

/* Pools whose blocks do not come from runs. */
extern tp_hidden uint32_t tp_pools_without_runs;

bool tp_pool_is_default(const tierpool *pool);

/* The tp_release of a pool. */
void tp_pool_release(struct tp_tiers *tiers, void *const *items, unsigned count, enum tp_drop why);

/* ---- maintain.c ---- */

/* Does a piece of the pool's decay, if any is due: each slow call begins with this. */
void tp_pool_maintain(tierpool *pool);

/* The probe of a tick that has ended, with the bytes that it released, or was begun (base/probe.h). */
void tp_pool_report_tick(const tierpool *pool, size_t bytes, bool whole);

/* Gives back all pages of blocks and headers that hold nothing, and the rest of the depots' arrays. */
void tp_pool_purge(tierpool *pool);

/* Whether nothing was freed since the last pass over the blocks began, and that has ended. */
bool tp_pool_is_purged(const tierpool *pool);

/* As tierpool_tick, for a pool that the caller knows to exist. */
size_t tp_pool_tick(tierpool *pool);

/* Wakes the reaper, if it waits, after a put (kept) or a free whose pages should go back. */
void tp_pool_wake_reaper(tierpool *pool, bool kept);

/* What the reaper calls (struct tp_kind). */
uint64_t tp_pool_due(struct tp_registered *entry);
size_t tp_pool_tick_entry(struct tp_registered *entry);

/* ---- trim.c ---- */

/*
 * Calls step for a pool, with a reference held, if the pool still exists. pool NULL: for each pool,
 * on a visit. Returns: the sum of what step returns.
 */
size_t tp_pool_each(tierpool *pool, size_t (*step)(tierpool *, size_t), size_t argument);

/* As tierpool_trim, for a pool that the caller knows to exist. */
size_t tp_pool_trim(tierpool *pool, size_t keep);

/* The same, of all that is idle, as the reaper calls it (struct tp_kind). */
size_t tp_pool_empty(struct tp_registered *entry);

/* ---- fork.c ---- */

void tp_pool_fork(struct tp_registered *entry, enum tp_fork phase);

#endif
