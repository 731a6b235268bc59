/* SPDX-License-Identifier: MIT */
/*
 * The pool: a buffer's way from its allocation to its release, but for the fast parts of it, which
 * are borrow.c's; what is counted on that way; and how a pool decays. Layer 7.
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
	uint64_t told_gets, told_puts, told_hits;
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
			struct tp_headers headers;
			struct tp_sites sites;
			struct tp_counters counters;
			/* Of pages_settle: frees and time when it last did something; until when.
			 */
			uint64_t settled_frees, settled_ms, settling;
		};
		char room[TP_SLABS_AT]; /* so that what follows is where the sequences look */
	};
	/*
	 * The memory of tiers.doors, and the name. Here, because a put finds its slab from the
	 * pool.
	 */
	char cpus[];
};

_Static_assert(sizeof(struct tierpool) == TP_SLABS_AT, "else TP_SLABS_AT is too small");

static inline void tp_pool_count(uint64_t *counter)
{
	tp_add_relaxed(counter, 1u);
}

static inline tierpool *tp_pool_of(struct tp_registered *entry)
{
	return (tierpool *)entry;
}

/* Of borrow.c. Before the first pool is made, and any time later: settles which way gets go. */
void tp_pool_start(void);

/*
 * Registers fork's handlers, once: with the first pool, and so after jemalloc's own, since those
 * that prepare run in reverse order.
 */
void tp_forks_start(void);

/* Lines of the page in which something lies that each get and put reads, apart from the tables. */
uint64_t tp_pool_lines(const tierpool *pool);

/*
 * Calls step for a pool, if it exists still, with a reference held; for NULL, visiting every one.
 * The sum of what step gives.
 */
size_t tp_pool_each(tierpool *pool, size_t (*step)(tierpool *, size_t), size_t argument);

/* A buffer in state idle, with a block of its own. NULL: out of memory. */
tierpool_buf *tp_pool_alloc(tierpool *pool, unsigned tier, size_t n);

/* An idle buffer that holds the tier, now the caller's, still in state idle. NULL: none. */
tierpool_buf *tp_pool_take(tierpool *pool, unsigned tier);

/* Keeps a buffer in state idle, at the price of a larger idle one if need be, or frees it. */
void tp_pool_stow(tierpool *pool, tierpool_buf *b);

/* For slow calls and strikes: a piece of what is due of the pool's decay. Whether there is more. */
bool tp_pool_attend(tierpool *pool);

/*
 * What a pool is among the registered; implemented in lifecycle.c, and for the reaper in upkeep.c.
 */
extern const struct tp_kind tp_pool_kind;
uint64_t tp_pool_due(struct tp_registered *entry);
size_t tp_pool_tick_entry(struct tp_registered *entry);
size_t tp_pool_empty(struct tp_registered *entry);

/* Has the backing give back all pages of what was freed, and notes that there are none. */
void tp_pool_settle(tierpool *pool);

/* Whether nothing was freed of which the system might yet get the pages back. */
bool tp_pool_is_settled(const tierpool *pool);

/* As tierpool_tick and tierpool_trim, for a pool that the caller knows to exist. */
size_t tp_pool_tick(tierpool *pool, bool asked);
size_t tp_pool_trim(tierpool *pool, size_t keep);

/* Frees all of a list of victims, which come with their leases. The bytes that were theirs. */
size_t tp_pool_release(tierpool *pool, struct tp_list *victims, enum tp_drop why);

#endif
