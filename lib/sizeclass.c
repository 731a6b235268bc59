/* SPDX-License-Identifier: MIT */
#include "sizeclass.h"

#include <errno.h>

static void index_by_width(struct tp_sizeclass *table)
{
	unsigned tier = 0;

	for (unsigned width = 0; width < sizeof table->first; width++) {
		size_t below = width ? (size_t)1 << (width - 1) : 0; /* all that is narrower */

		while (tier < table->count && table->size[tier] <= below)
			tier++;
		table->first[width] = tier < table->count ? (uint8_t)tier : TP_TIER_NONE;
	}
	table->size[TP_TIER_NONE] = SIZE_MAX;
}

unsigned tp_sizeclass_search(const struct tp_sizeclass *table, size_t n, unsigned low)
{
	unsigned high = table->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (table->size[middle] < n)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table->count ? low : TP_TIER_NONE;
}

int tp_sizeclass_steps(struct tp_sizeclass *table, size_t min, size_t max, unsigned steps)
{
	if (!min || min > max || (steps != 1 && steps != 2 && steps != 4))
		return -EINVAL;
	/* From 1 to SIZE_MAX by quarters of a doubling these are 252: they always fit. */
	table->count = 0;
	for (size_t base = min; base < max; base *= 2) {
		for (size_t step = 0; step < steps; step++) {
			/* base * step / steps, with no overflow on the way. */
			size_t part = base / steps * step + base % steps * step / steps;

			if (part >= max - base)
				break;
			/* Below 4 bytes the steps of a doubling fall together. */
			if (step && base + part == table->size[table->count - 1])
				continue;
			table->size[table->count++] = base + part;
		}
		if (base > max / 2)
			break;
	}
	table->size[table->count++] = max;
	index_by_width(table);
	return 0;
}

int tp_sizeclass_list(struct tp_sizeclass *table, const size_t *sizes, size_t count)
{
	if (!count || count > TP_TIERS_MAX)
		return -EINVAL;
	table->count = 0;
	for (size_t i = 0; i < count; i++) {
		if (sizes[i] <= (i ? sizes[i - 1] : 0))
			return -EINVAL;
		table->size[table->count++] = sizes[i];
	}
	index_by_width(table);
	return 0;
}
