/* SPDX-License-Identifier: MIT */
/*
 * Which tier holds a size, and which size a tier has. Owns the table of a pool's tier sizes. What
 * lies in the tiers is idle/tiers.h's.
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

/* Written while its pool is made, then read by anyone. */
struct tp_sizeclass {
	size_t *size; /* ascending. The caller's, who sets it first: TP_TIERS_MAX of them */
	unsigned count;
	/* By tp_size_index: the tier of the smallest n of that index. That of n = 0 is tier 0. */
	uint8_t first[TP_SIZE_INDICES];
};

/*
 * Makes the tiers min * 2^k, with steps tiers per doubling, up to and including max.
 *
 * Returns: 0; -EINVAL: min is 0 or above max, or steps is not 1, 2 or 4.
 */
int tp_sizeclass_steps(struct tp_sizeclass *table, size_t min, size_t max, unsigned steps);

/*
 * Makes the tiers as listed.
 *
 * Returns: 0; -EINVAL: no tier or too many, a size of 0, or not ascending.
 */
int tp_sizeclass_list(struct tp_sizeclass *table, const size_t *sizes, size_t count);

/*
 * A number below TP_SIZE_INDICES that depends only on the width of n - 1 in bits. No size that can
 * be allocated shares that of n = 0. On x86-64 by LZCNT; a processor that lacks it ignores the
 * prefix and executes BSR, which numbers the same widths in the opposite order. The tables are made
 * with the same instruction, so both serve.
 */
static inline size_t tp_size_index(size_t n)
{
	/*
	 * The bits of n - 1 and a 1 after them, so that it is never 0. It overflows only for n that
	 * cannot be allocated.
	 */
	size_t odd = 2 * n - 1, index;

#ifdef __x86_64__
	__asm__("lzcnt %1, %0" : "=r"(index) : "r"(odd) : "cc");
#else
	index = (size_t)__builtin_clzl(odd);
#endif
	return index;
}

/* The smallest tier that holds n bytes, or TP_TIER_NONE. By bisection. */
unsigned tp_sizeclass_search(const struct tp_sizeclass *table, size_t n);

/* The same: from the table, if the tier there is large enough, else by bisection. */
static inline unsigned tp_sizeclass_of(const struct tp_sizeclass *table, size_t n)
{
	unsigned tier = n ? table->first[tp_size_index(n)] : 0;

	if (tp_likely(tier == TP_TIER_NONE || table->size[tier] >= n))
		return tier;
	return tp_sizeclass_search(table, n);
}

#endif
