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
#include "memory/bufhead.h"
#include "memory/sizeclass.h"
#include "pool/site.h"
#include "process/registry.h"

/* Why a block was given back to the backing; tierpool_stats has a number for each. */
enum tp_drop {
	TP_DROP_OVERSIZE,
	TP_DROP_RETAIN,
	TP_DROP_IDLE_COUNT,
	TP_DROP_DECAY,
	TP_DROP_TRIM,
	TP_DROP_DESTROY,
	TP_DROPS,
};

/*
 * What slow calls count; the fast path counts in the words (percpu/stack.h: pops, pushes).
 *
 *     gets == slow_gets + pops        hits == gets - misses
 *     puts == slow_puts + pushes      frees == sum of drops
 *     gets - puts == borrowed, and allocs - frees == borrowed + idle, while no call runs
 *
 * Each only grows: any thread adds, statistics and the child of a fork read. A miss is counted
 * before its get, so a reader that loads gets first never computes more hits than there were.
 */
struct tp_counters {
	uint64_t slow_gets, slow_puts, misses;
	uint64_t allocs, frees;
	uint64_t grows, grows_pooled;
	uint64_t drops[TP_DROPS];
	/* Of stats.c: the highest sums reported so far; the next report is not below. */
	uint64_t reported_gets, reported_puts, reported_hits;
};

struct tierpool {
	union {
		struct {
			struct tp_registered
				registered; /* first: a pool is found as one of these */
			uint32_t closing;   /* set once, by destroy; read by retain_set and puts */
			unsigned default_tier;   /* of a get without a size */
			tierpool_budget *budget; /* NULL: none */
			size_t bytes;            /* of this struct and what lies behind it */
			/* Unique, never 0. Each get reads it: not on the line of the references. */
			uint64_t id __attribute__((aligned(TP_LINE)));
			struct tp_backing backing;
			struct tp_sizeclass sizes;
			struct tp_tiers tiers;
			struct tp_bufheads heads;
			struct tp_sites sites;
			struct tp_counters counters;
			/* Of purge.c: frees and time at its last work; when to stop; 0: it has. */
			uint64_t purged_frees, purged_ms, purging;
		};
		char room[TP_VISIBLE_OFFSET]; /* puts cpu_memory where the sequences look */
	};
	/*
	 * First the slab pointers: a put finds its slab from the pool by one load. Then what else
	 * tiers keeps of each CPU, and the name.
	 */
	char cpu_memory[];
};

_Static_assert(sizeof(struct tierpool) == TP_VISIBLE_OFFSET, "else TP_VISIBLE_OFFSET is too small");

/* Relaxed: a counter orders nothing. Where one must, get_slow says so. */
static inline void tp_pool_count(uint64_t *counter)
{
	tp_add_relaxed(counter, 1u);
}

static inline tierpool *tp_pool_of(struct tp_registered *entry)
{
	return (tierpool *)entry;
}

/* ---- get.c ---- */

/* Settles, once, whether there is a fast path. Before: no pool has been made. */
void tp_pool_start(void);

/* Colours of what each get and put reads, apart from the tables of the tiers. */
uint64_t tp_pool_colours(const tierpool *pool);

/* Takes an idle buffer that holds the tier; its state is still idle. NULL: there is none. */
tierpool_buf *tp_pool_take(tierpool *pool, unsigned tier);

/* ---- put.c ---- */

/* Keeps a buffer in state idle, if need be by freeing a larger idle one; else frees it. */
void tp_pool_keep(tierpool *pool, tierpool_buf *b);

/* ---- alloc.c ---- */

/* Makes a buffer, in state idle, with a new block. NULL: out of memory. */
tierpool_buf *tp_pool_alloc(tierpool *pool, unsigned tier, size_t n);

/* Frees a buffer in state idle; leased: ends its lease too. After: the pool may be gone. */
void tp_pool_free(tierpool *pool, tierpool_buf *b, enum tp_drop why, bool leased);

/* Frees a list of victims and ends their leases. Returns: the bytes of their cost. */
size_t tp_pool_free_all(tierpool *pool, struct tp_buflist *victims, enum tp_drop why);

/* ---- maintain.c ---- */

/* Does a piece of the pool's decay, if any is due. Returns: whether there is more to do. */
bool tp_pool_maintain(tierpool *pool);

/* The same for a slow call: it also makes the next countdown of this CPU expire soon. */
void tp_pool_maintain_slow(tierpool *pool);

/* As tierpool_tick, for a pool that the caller knows to exist. asked: by the program. */
size_t tp_pool_tick(tierpool *pool, bool asked);

/* Wakes the reaper, if it waits, after a put (kept) or a free whose pages should go back. */
void tp_pool_wake_reaper(tierpool *pool, bool kept);

/* What the reaper calls (struct tp_kind). */
uint64_t tp_pool_due(struct tp_registered *entry);
size_t tp_pool_tick_entry(struct tp_registered *entry);

/* ---- purge.c ---- */

/* Has the backing give all pages of freed blocks back to the system. */
void tp_pool_purge(tierpool *pool);

/* The same for the pages whose time has come. in_tick: at the end of a whole tick. */
void tp_pool_purge_due(tierpool *pool, bool in_tick);

/* Whether purge.c has nothing left to give back. */
bool tp_pool_is_purged(const tierpool *pool);

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
