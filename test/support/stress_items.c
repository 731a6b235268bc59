/* SPDX-License-Identifier: MIT */
#include "stress_items.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "stress_finding.h"

struct item *items;
size_t item_count;

struct item *item_of(uint64_t pointer, const char *where)
{
	uint64_t offset = pointer - (uintptr_t)items;

	if (tp_likely(offset < item_count * sizeof *items && offset % sizeof *items == 0))
		return items + offset / sizeof *items;
	broke("%#lx, which is no item, was %s", (unsigned long)pointer, where);
	return NULL;
}

void item_own(void *pointer, const char *how)
{
	struct item *item = item_of((uintptr_t)pointer, how);

	if (item && tp_unlikely(tp_add_relaxed(&item->owners, 1u)))
		broke("item %td was %s, and had an owner", item - items, how);
}

void item_disown(void *pointer)
{
	struct item *item = item_of((uintptr_t)pointer, "in a hand");

	if (item && tp_unlikely(tp_sub_relaxed(&item->owners, 1u) != 1))
		broke("item %td was given away, and had another owner", item - items);
}

void items_check(void)
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

void hand_take(struct hand *hand, void *pointer, const char *how)
{
	item_own(pointer, how);
	if (hand->count < item_count)
		hand->item[hand->count++] = pointer;
}

void *hand_give(struct hand *hand)
{
	void *pointer = hand->item[--hand->count];

	item_disown(pointer);
	return pointer;
}

bool hand_init(struct hand *hand, size_t most)
{
	*hand = (struct hand){.item = calloc(most, sizeof *hand->item)};
	return hand->item;
}
