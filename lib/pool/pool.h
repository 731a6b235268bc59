/* SPDX-License-Identifier: MIT */
/*
 * The pool: its struct, its counters, and what the files of this folder do for each other. Owns how
 * a pool's parts lie in memory. The header of a part says what may be done with it.
 */
#ifndef TP_POOL_H
#define TP_POOL_H

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "idle/tiers.h"
#include "memory/backing.h"
#include "memory/blocks.h"
#include "memory/bufhead.h"
#include "memory/sizeclass.h"
#include "pool/maximum.h"
#include "pool/site.h"
#include "process/registry.h"

/*
 * What slow calls count, on each CPU apart; the fast path counts in the words (percpu/stack.h: pops,
 * pushes). An exchange is a growth that popped one buffer and pushes the other, which is neither a
 * get nor a put.
 *
 *     gets == slow gets + pops - exchange pops          hits == gets - misses
 *     puts == slow puts + pushes - exchange pushes      frees == sum of all drops
 *     grows == grows_pooled + grows missed, and grows_pooled == exchange pushes + grows taken
 *     gets - puts == borrowed, and allocs - frees == borrowed + idle, while no call runs
 *
 * Each only grows, but exchange pops: raised before the pop, and lowered, on the same CPU, if that
 * took nothing. An exchange push is raised before the push; if that finds no room, it is a slow put
 * as well. A miss is counted before its get, so a reader that loads gets first never computes more
 * hits than there were. Model: test/model/exchange.pml.
 */
enum tp_count {
	TP_SLOW_GETS,
	TP_SLOW_PUTS,
	TP_MISSES,
	TP_EXCHANGE_POPS,
	TP_EXCHANGE_PUSHES,
	TP_ALLOCS,
	TP_GROWS_TAKEN,
	TP_GROWS_MISSED,
	TP_CALIBRATIONS,
	TP_DROPPED, /* and TP_DROPS - 1 more, by enum tp_drop */
	TP_COUNTS = TP_DROPPED + TP_DROPS,
};

struct tp_counters {
	uint64_t
		n[TP_COUNTS]; /* added to on this CPU, as far as the thread knows; read by anyone */
} __attribute__((aligned(TP_LINE)));

struct tierpool {
	union {
		struct {
			struct tp_registered
				registered; /* first: a pool is found as one of these */
			uint32_t closing;   /* set once, by destroy; read by retain_set and puts */
			/* Buffers that were freed for want of room; it wraps. By anyone. */
			uint32_t crowded;
			tierpool_budget *budget; /* NULL: none */
			size_t bytes;            /* of this struct and what lies behind it */
			/* Of maintain.c, by anyone: after which tick pages were last given back. */
			uint64_t purged_tick;
			/* Buffers were freed since the last pass over the blocks began; by anyone. */
			uint32_t unpurged;
			/*
			 * The pool's id, if stubs may have it and there is a fast path; else what no
			 * stub has. Each get reads it: not on the line of the references.
			 */
			uint32_t fast_id __attribute__((aligned(TP_LINE)));
			struct tp_counters *counters; /* tiers.cpus.count of them */
			struct tp_backing backing;
			struct tp_sizeclass sizes;
			/* By tp_size_index, for get: the tier's capacity and stack, as an offset. */
			size_t quick_size[TP_SIZE_INDICES];
			uint32_t quick_offset[TP_SIZE_INDICES];
			/* Of stats.c: the highest sums reported; the next report is not below. */
			uint64_t reported_gets, reported_puts, reported_hits;
			struct tp_tiers tiers;
			struct tp_blocks blocks;
			struct tp_bufheads heads;
			struct tp_sites sites;
			struct tp_maximum maximum;
		};
		char padding[TP_VISIBLE_OFFSET]; /* puts cpu_memory where the sequences look */
	};
	/*
	 * First the slab pointers: a put finds its slab from the pool by one load. Then what else
	 * tiers keeps of each CPU, the counters, and the name.
	 */
	char cpu_memory[];
};

_Static_assert(sizeof(struct tierpool) == TP_VISIBLE_OFFSET, "else TP_VISIBLE_OFFSET is too small");

/* Those of the CPU that the caller runs on, or did just now. */
static inline uint64_t *tp_pool_counts(tierpool *pool)
{
	return pool->counters[tp_cpu_current(pool->tiers.cpus.count)].n;
}

/* Relaxed: a counter orders nothing. Where one must, get_slow and grow_retire say so. */
static inline void tp_pool_count(tierpool *pool, unsigned count)
{
	tp_add_relaxed(&tp_pool_counts(pool)[count], 1u);
}

/* The sum over all CPUs. Acquire: pairs with the releases in get_slow and grow_retire. */
static inline uint64_t tp_pool_counted(const tierpool *pool, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned cpu_id = 0; cpu_id < pool->tiers.cpus.count; cpu_id++)
		sum += tp_load_acquire(&pool->counters[cpu_id].n[count]);
	return sum;
}

static inline uint64_t tp_pool_frees(const tierpool *pool)
{
	uint64_t sum = 0;

	for (unsigned why = 0; why < TP_DROPS; why++)
		sum += tp_pool_counted(pool, TP_DROPPED + why);
	return sum;
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
 * Does what is due, after a pop that left the countdown expired, and arms it again. Returns: whether
 * the get is sampled.
 */
bool tp_pool_expired(tierpool *pool, unsigned tier);

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
 * The buffer that has the block which an address lies in, of any pool, whether borrowed or idle; for
 * any address. Where blocks do not come from runs (memory/blocks.h), it looks at all of the pool's
 * buffers. NULL: there is none.
 */
tierpool_buf *tp_pool_find(const void *address);

/* The tp_release of a pool. */
void tp_pool_release(struct tp_tiers *tiers, void *const *items, unsigned count, enum tp_drop why);

/* ---- maintain.c ---- */

/* Does a piece of the pool's decay, if any is due: each slow call begins with this. */
void tp_pool_maintain(tierpool *pool);

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

/* ---- create.c, fork.c ---- */

/* All gets minus all puts: exact while no call runs. */
uint64_t tp_pool_gets_less_puts(const tierpool *pool);

void tp_pool_fork(struct tp_registered *entry, enum tp_fork phase);

#endif
