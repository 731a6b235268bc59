/* SPDX-License-Identifier: MIT */
/*
 * Size to tier and back. Owns the table of a pool's tier sizes. Layer 2.
 */
#ifndef TP_SIZECLASS_H
#define TP_SIZECLASS_H

#include <stddef.h>
#include <stdint.h>

#define TP_TIERS_MAX 254
#define TP_TIER_NONE 255 /* above the largest tier */

struct tp_sizeclass {
	unsigned count;
	/*
	 * By the width in bits of n - 1: the first tier that holds the smallest n of that width.
	 * The entry behind holds the largest n of it.
	 */
	uint8_t first[8 * sizeof(size_t) + 2];
	size_t size[TP_TIERS_MAX]; /* ascending */
};

/*
 * Tiers min * 2^k, with steps tiers per doubling, up to and including max.
 * 0; -EINVAL: min is 0 or above max, or steps is not 1, 2 or 4.
 */
int tp_sizeclass_steps(struct tp_sizeclass *table, size_t min, size_t max, unsigned steps);

/* Tiers as listed. 0; -EINVAL: empty, too many, a size of 0, or not ascending. */
int tp_sizeclass_list(struct tp_sizeclass *table, const size_t *sizes, size_t count);

/* The smallest tier that holds n bytes, or TP_TIER_NONE. */
static inline unsigned tp_sizeclass_of(const struct tp_sizeclass *table, size_t n)
{
	unsigned width = n < 2 ? 0 : 8 * sizeof(long) - (unsigned)__builtin_clzl(n - 1);
	unsigned low, high;

	if (n > table->size[table->count - 1])
		return TP_TIER_NONE;
	/* One comparison for each halving of what lies within a doubling: for steps 1 that is one.
	 */
	low = table->first[width];
	high = table->first[width + 1];
	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (table->size[middle] < n)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

#endif
