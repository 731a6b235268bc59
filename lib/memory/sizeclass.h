/* SPDX-License-Identifier: MIT */
/*
 * Size to tier and back. Owns the table of a pool's tier sizes.
 */
#ifndef TP_SIZECLASS_H
#define TP_SIZECLASS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define TP_TIERS_MAX 254
#define TP_TIER_NONE 255 /* above the largest tier */

/* Values of tp_size_index. */
#define TP_SIZE_INDICES 64

struct tp_sizeclass {
	unsigned count;
	/*
	 * By tp_size_index: the tier of the smallest n of that index. The one of n = 0 is 0, and
	 * whoever gives a meaning to 0 may set it.
	 */
	uint8_t first[TP_SIZE_INDICES];
	size_t size[TP_TIER_NONE + 1]; /* ascending; that of no tier is SIZE_MAX */
};

/*
 * Tiers min * 2^k, with steps tiers per doubling, up to and including max.
 * 0; -EINVAL: min is 0 or above max, or steps is not 1, 2 or 4.
 */
int tp_sizeclass_steps(struct tp_sizeclass *table, size_t min, size_t max, unsigned steps);

/* Tiers as listed. 0; -EINVAL: empty, too many, a size of 0, or not ascending. */
int tp_sizeclass_list(struct tp_sizeclass *table, const size_t *sizes, size_t count);

/*
 * A number below TP_SIZE_INDICES that depends only on the width of n - 1 in bits. On x86-64 by
 * LZCNT; a processor that lacks it ignores the prefix and executes BSR, which numbers the same
 * widths the other way round. The tables are made with the same instruction. 0 has an index of its
 * own, as far as sizes go that can be allocated.
 */
static inline size_t tp_size_index(size_t n)
{
	/*
	 * n - 1 with a one behind it, so that it is never 0; it overflows only where no tier is
	 * large enough.
	 */
	size_t odd = 2 * n - 1, index;

#ifdef __x86_64__
	__asm__("lzcnt %1, %0" : "=r"(index) : "r"(odd) : "cc");
#else
	index = (size_t)__builtin_clzl(odd);
#endif
	return index;
}

/* The smallest tier that holds n bytes, or TP_TIER_NONE; by bisection. */
unsigned tp_sizeclass_search(const struct tp_sizeclass *table, size_t n);

/* The same, faster. */
static inline unsigned tp_sizeclass_of(const struct tp_sizeclass *table, size_t n)
{
	unsigned tier = n ? table->first[tp_size_index(n)] : 0;

	return tp_likely(table->size[tier] >= n) ? tier : tp_sizeclass_search(table, n);
}

#endif
