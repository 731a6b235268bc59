/* SPDX-License-Identifier: MIT */
/*
 * The pool: its struct, what it counts, and what the files of this folder do for each other.
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

/* Why a block was given back to the backing. */
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
 * What the slow paths count; the fast path counts in the words. Each only grows. A miss is counted
 * before its get: so gets read before misses never leave more hits than there were.
 */
struct tp_counters {
	uint64_t slow_gets, slow_puts, misses;
	uint64_t allocs, frees;
	uint64_t grows, grows_pooled;
	uint64_t drops[TP_DROPS];
	/* The highest sums that statistics have told of: what they tell next is not below. */
	uint64_t reported_gets, reported_puts, reported_hits;
};

struct tierpool {
	union {
		struct {
			struct tp_registered
				registered; /* first: a pool is found as one of these */
			uint32_t closing;   /* set once, by destroy */
			unsigned default_tier;
			tierpool_budget *budget;
			size_t bytes; /* of all this, and of what is behind it */
			/* Of this pool in this process, never 0. Apart from the references. */
			uint64_t id __attribute__((aligned(TP_LINE)));
			struct tp_backing backing;
			struct tp_sizeclass sizes;
			struct tp_tiers tiers;
			struct tp_bufheads heads;
			struct tp_sites sites;
			struct tp_counters counters;
			/* Of purge.c: frees and time when it last did something; until when.
			 */
			uint64_t purged_frees, purged_ms, purging;
		};
		char room[TP_VISIBLE_OFFSET]; /* so that what follows is where the sequences look */
	};
	/*
	 * The memory of tiers.doors, and the name. Here, because a put finds its slab from the
	 * pool.
	 */
	char cpu_memory[];
};

_Static_assert(sizeof(struct tierpool) == TP_VISIBLE_OFFSET, "else TP_VISIBLE_OFFSET is too small");

static inline void tp_pool_count(uint64_t *counter)
{
	tp_add_relaxed(counter, 1u);
}

static inline tierpool *tp_pool_of(struct tp_registered *entry)
{
	return (tierpool *)entry;
}

/* ---- get.c ---- */

/* Settles, once, which way gets and puts go: before the first pool is made. */
void tp_pool_start(void);

/* Colours in which something lies that each get and put reads, apart from the tables. */
uint64_t tp_pool_colours(const tierpool *pool);

/* An idle buffer that holds the tier, now the caller's, still in state idle. NULL: none. */
tierpool_buf *tp_pool_take(tierpool *pool, unsigned tier);

/* ---- put.c ---- */

/* Keeps a buffer in state idle, at the price of a larger idle one if need be, or frees it. */
void tp_pool_keep(tierpool *pool, tierpool_buf *b);

/* ---- alloc.c ---- */

/* A buffer in state idle, with a block of its own. NULL: out of memory. */
tierpool_buf *tp_pool_alloc(tierpool *pool, unsigned tier, size_t n);

/* Frees a buffer in state idle, and ends the lease, if it has one. The pool may be gone then. */
void tp_pool_free(tierpool *pool, tierpool_buf *b, enum tp_drop why, bool leased);

/* Frees all of a list of victims, which come with their leases. Returns the bytes of their cost. */
size_t tp_pool_free_all(tierpool *pool, struct tp_buflist *victims, enum tp_drop why);

/* ---- maintain.c ---- */

/* For slow calls and strikes: a piece of what is due of the pool's decay. Whether there is more. */
bool tp_pool_maintain(tierpool *pool);

/* The same, in a slow call: after which the next strike comes soon. */
void tp_pool_maintain_slow(tierpool *pool);

/* As tierpool_tick, for a pool that the caller knows to exist. */
size_t tp_pool_tick(tierpool *pool, bool asked);

/* A buffer was kept; or freed, which matters where its pages may have to be given back. */
void tp_pool_wake_reaper(tierpool *pool, bool kept);

/* What the reaper calls (struct tp_kind). */
uint64_t tp_pool_due(struct tp_registered *entry);
size_t tp_pool_tick_entry(struct tp_registered *entry);
size_t tp_pool_empty(struct tp_registered *entry);

/* ---- purge.c ---- */

/* Has the backing give back all pages of what was freed. */
void tp_pool_purge(tierpool *pool);

/* The same, of those whose time has come. asked: in a tick. */
void tp_pool_purge_due(tierpool *pool, bool asked);

/* Whether nothing was freed of which the system might yet get the pages back. */
bool tp_pool_is_purged(const tierpool *pool);

/* ---- trim.c ---- */

/*
 * Calls step for a pool, if it exists still, with a reference held; for NULL, visiting every one.
 * The sum of what step gives.
 */
size_t tp_pool_each(tierpool *pool, size_t (*step)(tierpool *, size_t), size_t argument);

/* As tierpool_trim, for a pool that the caller knows to exist. */
size_t tp_pool_trim(tierpool *pool, size_t keep);

/* ---- create.c, fork.c ---- */

/* Gets less puts, of whichever way: exact but for the calls under way. */
uint64_t tp_pool_gets_less_puts(const tierpool *pool);

void tp_pool_fork(struct tp_registered *entry, enum tp_fork phase);

#endif
