/* SPDX-License-Identifier: MIT */
/*
 * The pool: get, put, grow; upkeep.c has its tick and trim. Owns a buffer's way from its allocation
 * to its release, and what is counted on that way. Layer 6; this header is for the layers above it.
 */
#ifndef TP_POOL_H
#define TP_POOL_H

#include <tierpool/pool.h>

#include "backing.h"
#include "header.h"
#include "registry.h"
#include "site.h"
#include "sizeclass.h"
#include "tiers.h"

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
	uint64_t ticks;
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

static inline tierpool *tp_pool_of(struct tp_registered *entry)
{
	return (tierpool *)entry;
}

/* Before the first pool is made, and any time later: settles which way gets and puts go. */
void tp_pool_start(void);

/* Lines of the page in which something lies that each get and put reads, apart from the tables. */
uint64_t tp_pool_lines(const tierpool *pool);

/*
 * Calls step for a pool, if it exists still, or, for NULL, for every one; with a reference held.
 * The sum of what step gives.
 */
size_t tp_pool_each(tierpool *pool, size_t (*step)(tierpool *, size_t), size_t argument);

/* As tierpool_trim, for a pool that the caller knows to exist. */
size_t tp_pool_trim(tierpool *pool, size_t keep);

/* Frees all of a list of victims, which come with their leases. The bytes that were theirs. */
size_t tp_pool_release(tierpool *pool, struct tp_list *victims, enum tp_drop why);

#endif
