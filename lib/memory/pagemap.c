/* SPDX-License-Identifier: MIT */
#include "memory/pagemap.h"

#include <stdint.h>

#include "base/atomic.h"
#include "base/spinlock.h"
#include "memory/pages.h"
#include "percpu/cpu.h"

/* An address of 48 bits: 16 of the root, 16 of a leaf, 16 within a unit. */
#define ADDRESS_BITS 48
#define LEAF_ENTRIES ((size_t)1 << 16)
#define ROOT_ENTRIES ((size_t)1 << 16)

struct pagemap_leaf {
	void *what[LEAF_ENTRIES]; /* written by the owner of the unit, read by anyone */
};

/* A leaf is entered once, by anyone who needs it, and stays. */
static struct pagemap_leaf *pagemap_root[ROOT_ENTRIES];

/*
 * Lookups between enter and leave, by CPU, so that each number is 0 now and then however many there
 * are; by anyone.
 */
#define SHARDS 16
static struct {
	uint32_t count;
} __attribute__((aligned(TP_LINE))) pagemap_lookups[SHARDS];

static struct pagemap_leaf *pagemap_leaf_make(struct pagemap_leaf **place)
{
	struct pagemap_leaf *leaf = tp_load_acquire(place), *found = NULL;

	if (leaf)
		return leaf;
	leaf = tp_pages_map(sizeof *leaf);
	/* Another thread may be first: then found is its leaf. */
	if (leaf && !tp_cas_strong_acq_rel(place, &found, leaf)) {
		tp_pages_end(leaf, sizeof *leaf);
		leaf = found;
	}
	return leaf;
}

/* In the range of the map: stores what in each unit. The leaves are there. */
static void pagemap_fill(uintptr_t unit, size_t units, void *what)
{
	for (; units--; unit++) {
		struct pagemap_leaf *leaf = tp_load_acquire(&pagemap_root[unit / LEAF_ENTRIES]);

		/* Release: a lookup that finds a run sees its head. Partner: tp_pagemap_get. */
		tp_store_release(&leaf->what[unit % LEAF_ENTRIES], what);
	}
}

bool tp_pagemap_reserve(const void *pages, size_t bytes)
{
	uintptr_t unit = (uintptr_t)pages / TP_PAGES_UNIT;
	size_t units = bytes / TP_PAGES_UNIT;

	if (((uintptr_t)pages + bytes - 1) >> ADDRESS_BITS)
		return false;
	for (uintptr_t root = unit / LEAF_ENTRIES; root <= (unit + units - 1) / LEAF_ENTRIES;
		root++)
		if (!pagemap_leaf_make(&pagemap_root[root]))
			return false;
	return true;
}

bool tp_pagemap_set(const void *pages, size_t bytes, void *what)
{
	if (!tp_pagemap_reserve(pages, bytes))
		return false;
	pagemap_fill((uintptr_t)pages / TP_PAGES_UNIT, bytes / TP_PAGES_UNIT, what);
	return true;
}

/*
 * Whether no lookup of a shard is under way that may have found what was cleared. This addition of 0 and
 * that of tp_pagemap_enter are both acquire and release, on one word: if a lookup's comes first, it is
 * seen here and waited for. If it comes later, the lookup finds the entries cleared.
 */
static bool pagemap_is_left(unsigned shard)
{
	return !tp_add_acq_rel(&pagemap_lookups[shard].count, 0u);
}

bool tp_pagemap_try_clear(const void *pages, size_t bytes)
{
	uintptr_t unit = (uintptr_t)pages / TP_PAGES_UNIT;
	void *what = tp_pagemap_get(pages);
	unsigned looks = 0, shard = 0;

	pagemap_fill(unit, bytes / TP_PAGES_UNIT, NULL);
	while (shard < SHARDS && looks++ < SHARDS + TP_SPINLOCK_LOOKS)
		shard += pagemap_is_left(shard);
	if (shard < SHARDS)
		pagemap_fill(unit, bytes / TP_PAGES_UNIT, what);
	return shard == SHARDS;
}

void tp_pagemap_clear(const void *pages, size_t bytes)
{
	pagemap_fill((uintptr_t)pages / TP_PAGES_UNIT, bytes / TP_PAGES_UNIT, NULL);
	for (unsigned shard = 0; shard < SHARDS; shard++)
		for (unsigned looks = 0; !pagemap_is_left(shard);)
			tp_spinlock_wait(++looks);
}

void *tp_pagemap_get(const void *address)
{
	uintptr_t unit = (uintptr_t)address / TP_PAGES_UNIT;
	struct pagemap_leaf *leaf;

	if ((uintptr_t)address >> ADDRESS_BITS)
		return NULL;
	leaf = tp_load_acquire(&pagemap_root[unit / LEAF_ENTRIES]);
	return leaf ? tp_load_acquire(&leaf->what[unit % LEAF_ENTRIES]) : NULL;
}

unsigned tp_pagemap_enter(void)
{
	unsigned shard = tp_cpu_id() % SHARDS;

	(void)tp_add_acq_rel(&pagemap_lookups[shard].count, 1u);
	return shard;
}

void tp_pagemap_leave(unsigned shard)
{
	(void)tp_sub_acq_rel(&pagemap_lookups[shard].count, 1u);
}

void tp_pagemap_forked(void)
{
	for (unsigned shard = 0; shard < SHARDS; shard++)
		pagemap_lookups[shard].count = 0;
}
