/* SPDX-License-Identifier: MIT */
/*
 * What a pool counts of each tier. The fast path counts in the words (percpu/stack.h: pops, pushes),
 * growth in numbers beside these, on each CPU apart, and slow calls in the tier's counts, which all
 * CPUs share. What is larger than all tiers has counts too, as TP_TIER_NONE.
 *
 *     hits_cpu == pops - exchange pops        gets == hits_cpu + slow gets
 *     puts == pushes - exchange pushes + slow puts
 *     slow gets == hits in the depot, on other CPUs, of a larger tier + misses
 *     grows_pooled == exchanges + grows taken, and grows == grows_pooled + grows missed
 *     over all tiers, exchanges == exchange pushes == exchange pops - exchanges under way
 *     frees == sum of all drops + grown away
 *     allocs - frees == borrowed + idle, while no call runs; and over all tiers, without what has
 *     grown away, gets - puts == borrowed
 *
 * A get counts in the tier that was asked for; all else in the tier of the block.
 *
 * An exchange is a growth that popped one buffer and pushes the other, which is neither a get nor a
 * put. Its numbers only grow, but exchange pops: raised before the pop, and lowered, on the same CPU,
 * if that took nothing. An exchange push is raised before the push; if that finds no room, it is a
 * slow put as well. Model: test/model/exchange.pml. So no number of its own says how many exchanges
 * led to a tier: at least its exchange pops, less all exchanges that may be under way.
 *
 * Grown away: a block that became larger where it was, and so is no longer one of its tier.
 */
#ifndef TP_COUNTS_H
#define TP_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "idle/idle.h"
#include "idle/tiers.h"
#include "memory/sizeclass.h"
#include "percpu/stack.h"

/* Of slow calls. */
enum tp_count {
	TP_HITS_DEPOT, /* by enum tp_found */
	TP_HITS_OTHER_CPU,
	TP_HITS_LARGER,
	TP_MISSES,
	TP_SLOW_PUTS,
	TP_ALLOCS,
	TP_GROWS_TAKEN,
	TP_GROWS_MISSED,
	TP_GROW_BYTES, /* copied; without those of exchanges */
	TP_GROWN_AWAY,
	TP_DROPPED, /* and TP_DROPS - 1 more, by enum tp_drop */
	TP_COUNTS = TP_DROPPED + TP_DROPS,
};

/* Of growth, on each CPU apart: the numbers of stack.h's owner. */
enum tp_exchange {
	TP_EXCHANGE_POPS,   /* of the tier that is popped */
	TP_EXCHANGE_PUSHES, /* of the tier that is pushed */
	TP_EXCHANGE_BYTES,  /* copied; of the tier that was popped */
};

_Static_assert(TP_EXCHANGE_BYTES < TP_OWNER_COUNTS, "stack.h has a place for each");

/* Of a tier. Added to by anyone, read by anyone. */
struct tp_counts {
	uint64_t n[TP_COUNTS];
} __attribute__((aligned(TP_LINE)));

/*
 * Of a tier: the highest numbers that were reported of those whose parts move while they are summed
 * up. Written by readers, and read in the child of a fork.
 */
struct tp_reported {
	uint64_t hits_cpu, puts, exchanges;
};

/* Bytes that a pool wants in the mapping of its tiers: for all tiers, and for TP_TIER_NONE. */
static inline size_t tp_counts_bytes(unsigned tiers)
{
	return (tiers + 1) * (sizeof(struct tp_counts) + sizeof(struct tp_reported));
}

/* Of a tier, or of TP_TIER_NONE. NULL: nothing was ever counted in this pool. */
static inline struct tp_counts *tp_counts_of(const struct tp_tiers *tiers, unsigned tier)
{
	struct tp_counts *counts = tp_tiers_own(tiers);

	return counts ? counts + tp_min(tier, tiers->count) : NULL;
}

/* Before: as tp_counts_of, which is not NULL. */
static inline struct tp_reported *tp_counts_reported(const struct tp_tiers *tiers, unsigned tier)
{
	struct tp_counts *counts = tp_tiers_own(tiers);

	return (struct tp_reported *)(void *)(counts + tiers->count + 1) +
	       tp_min(tier, tiers->count);
}

/* Relaxed: a counter orders nothing. Where one must, grow_retire says so. Before: as above. */
static inline void tp_counts_add(
	const struct tp_tiers *tiers, unsigned tier, unsigned count, uint64_t n)
{
	tp_add_relaxed(&tp_counts_of(tiers, tier)->n[count], n);
}

/* Acquire: pairs with the release in grow_retire. */
static inline uint64_t tp_counts_read(const struct tp_tiers *tiers, unsigned tier, unsigned count)
{
	const struct tp_counts *counts = tp_counts_of(tiers, tier);

	return counts ? tp_load_acquire(&counts->n[count]) : 0;
}

/* The sum over all tiers and TP_TIER_NONE. */
static inline uint64_t tp_counts_sum(const struct tp_tiers *tiers, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned tier = 0; tier <= tiers->count; tier++)
		sum += tp_counts_read(tiers, tier, count);
	return sum;
}

/* All gets that popped nothing. */
static inline uint64_t tp_counts_slow_gets(const struct tp_tiers *tiers)
{
	uint64_t sum = 0;

	for (unsigned found = TP_HITS_DEPOT; found <= TP_MISSES; found++)
		sum += tp_counts_sum(tiers, found);
	return sum;
}

/* Buffers of a tier that were freed. */
static inline uint64_t tp_counts_drops_of(const struct tp_tiers *tiers, unsigned tier)
{
	uint64_t sum = 0;

	for (unsigned why = 0; why < TP_DROPS; why++)
		sum += tp_counts_read(tiers, tier, TP_DROPPED + why);
	return sum;
}

/* All buffers that were freed. */
static inline uint64_t tp_counts_drops(const struct tp_tiers *tiers)
{
	uint64_t sum = 0;

	for (unsigned tier = 0; tier <= tiers->count; tier++)
		sum += tp_counts_drops_of(tiers, tier);
	return sum;
}

/*
 * What is computed of parts that move meanwhile: never above the truth, and exact while no call runs;
 * but it may be less than it was before.
 */
struct tp_moves {
	int64_t hits_cpu, puts;
};
struct tp_moves tp_counts_moves(const struct tp_tiers *tiers, unsigned tier);

/* Exchanges that led to each of the tiers, at least; exact while no call runs. */
void tp_counts_exchanges(const struct tp_tiers *tiers, uint64_t *exchanges);

/* The sum over all tiers of a number of exchanges. */
uint64_t tp_counts_exchange_sum(const struct tp_tiers *tiers, enum tp_exchange which);

/* All gets minus all puts: exact while no call runs. */
int64_t tp_counts_borrowed(const struct tp_tiers *tiers);

#endif
