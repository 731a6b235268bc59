/* SPDX-License-Identifier: MIT */
/*
 * Size to tier and back. Owns the table of a pool's tier sizes. Layer 2.
 */
#ifndef TP_SIZECLASS_H
#define TP_SIZECLASS_H

#include <stddef.h>
#include <stdint.h>

#include "base.h"

#define TP_TIERS_MAX 254
#define TP_TIER_NONE 255 /* above the largest tier */

struct tp_sizeclass {
	unsigned count;
	/* By the width in bits of n - 1: the tier of the smallest n of that width. */
	uint8_t first[8 * sizeof(size_t) + 1];
	size_t size[TP_TIER_NONE + 1]; /* ascending; that of no tier is SIZE_MAX */
};

/*
 * Tiers min * 2^k, with steps tiers per doubling, up to and including max.
 * 0; -EINVAL: min is 0 or above max, or steps is not 1, 2 or 4.
 */
int tp_sizeclass_steps(struct tp_sizeclass *table, size_t min, size_t max, unsigned steps);

/* Tiers as listed. 0; -EINVAL: empty, too many, a size of 0, or not ascending. */
int tp_sizeclass_list(struct tp_sizeclass *table, const size_t *sizes, size_t count);

/* The tier that holds n bytes, or one below it where a doubling holds several. n is not 0. */
static inline unsigned tp_sizeclass_guess(const struct tp_sizeclass *table, size_t n)
{
	/* The shift loses a bit only of sizes that no table has, and for which no guess is enough. */
	return table->first[8 * sizeof(long) - 1 - (unsigned)__builtin_clzl((n - 1) << 1 | 1)];
}

/* The smallest tier from low on that holds n bytes, or TP_TIER_NONE. */
unsigned tp_sizeclass_search(const struct tp_sizeclass *table, size_t n, unsigned low);

/* The smallest tier that holds n bytes, or TP_TIER_NONE. */
static inline unsigned tp_sizeclass_of(const struct tp_sizeclass *table, size_t n)
{
	unsigned tier = n ? tp_sizeclass_guess(table, n) : 0;

	return tp_likely(table->size[tier] >= n) ? tier : tp_sizeclass_search(table, n, tier + 1);
}

#endif
