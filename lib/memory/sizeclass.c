/* SPDX-License-Identifier: MIT */
#include "memory/sizeclass.h"

#include <errno.h>

unsigned tp_sizeclass_search(const struct tp_sizeclass *table, size_t n)
{
	unsigned low = 0, high = table->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (table->size[middle] < n)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table->count ? low : TP_TIER_NONE;
}

static void sizeclass_index_make(struct tp_sizeclass *table)
{
	table->first[tp_size_index(0)] = 0;
	/* The smallest n - 1 of each width: 0, 1, 2, 4 ... Wider ones share the index of n = 0. */
	for (size_t last = 0; last < (size_t)1 << 62; last = last ? 2 * last : 1)
		table->first[tp_size_index(last + 1)] =
			(uint8_t)tp_sizeclass_search(table, last + 1);
}

int tp_sizeclass_steps(struct tp_sizeclass *table, size_t min, size_t max, unsigned steps)
{
	if (!min || min > max || (steps != 1 && steps != 2 && steps != 4))
		return -EINVAL;
	/* They always fit: from 1 to SIZE_MAX by quarters of a doubling there are 252. */
	table->count = 0;
	for (size_t base = min; base < max; base *= 2) {
		for (size_t step = 0; step < steps; step++) {
			/* base * step / steps, without an overflow on the way. */
			size_t part = base / steps * step + base % steps * step / steps;

			if (part >= max - base)
				break;
			/* Below 4 bytes some steps of a doubling are equal. */
			if (step && base + part == table->size[table->count - 1])
				continue;
			table->size[table->count++] = base + part;
		}
		if (base > max / 2)
			break;
	}
	table->size[table->count++] = max;
	sizeclass_index_make(table);
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
	sizeclass_index_make(table);
	return 0;
}
