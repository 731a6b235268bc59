/* SPDX-License-Identifier: MIT */
/*
 * Items that know how many owners they have, and the hands that threads hold them in. For
 * stress_cpucache.c.
 */
#ifndef STRESS_ITEMS_H
#define STRESS_ITEMS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "stress_finding.h"

/* ---- items ---- */

struct item {
	uint32_t owners;
	uint32_t held, lying; /* at the end of a round: in hands, in stacks */
} __attribute__((aligned(TP_LINE)));

static struct item *items;
static size_t item_count;

static struct item *item_of(uint64_t pointer, const char *where)
{
	uint64_t offset = pointer - (uintptr_t)items;

	if (tp_likely(offset < item_count * sizeof *items && offset % sizeof *items == 0))
		return items + offset / sizeof *items;
	broke("%#lx, which is no item, was %s", (unsigned long)pointer, where);
	return NULL;
}

static void own(void *pointer, const char *how)
{
	struct item *item = item_of((uintptr_t)pointer, how);

	if (item && tp_unlikely(tp_add_relaxed(&item->owners, 1u)))
		broke("item %td was %s, and had an owner", item - items, how);
}

static void disown(void *pointer)
{
	struct item *item = item_of((uintptr_t)pointer, "in a hand");

	if (item && tp_unlikely(tp_sub_relaxed(&item->owners, 1u) != 1))
		broke("item %td was given away, and had another owner", item - items);
}

/* After a round: every item is there once, and has an owner where it is in a hand. */
static void items_check(void)
{
	for (struct item *item = items; item < items + item_count; item++) {
		if (item->held + item->lying != 1)
			broke("item %td is in %u hands and %u slots", item - items, item->held,
				item->lying);
		if (item->held != item->owners)
			broke("item %td is in %u hands, and has %u owners", item - items,
				item->held, item->owners);
	}
}

/* ---- hands ---- */

/* What a thread holds. A finding ends the program: what is no item may stay in a hand. */
struct hand {
	unsigned count;
	void **item; /* place for all there are */
};

static void take(struct hand *hand, void *pointer, const char *how)
{
	own(pointer, how);
	if (hand->count < item_count)
		hand->item[hand->count++] = pointer;
}

static void *give(struct hand *hand)
{
	void *pointer = hand->item[--hand->count];

	disown(pointer);
	return pointer;
}

/* An empty hand with place for all items. False: out of memory. */
static bool hand_init(struct hand *hand)
{
	*hand = (struct hand){.item = calloc(item_count, sizeof *hand->item)};
	return hand->item;
}

#endif
