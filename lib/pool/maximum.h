/* SPDX-License-Identifier: MIT */
/*
 * The largest size that a pool keeps, as it learns it (golang issue 23199): a large tier is kept
 * while it is asked for again within two ticks. Owns how often each large tier was asked for.
 *
 * Slow gets and growths are counted here. Of fast ones it is enough to know whether there were any since
 * the tick began: the stacks count their pops.
 */
#ifndef TP_MAXIMUM_H
#define TP_MAXIMUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "idle/tiers.h"

/* Tiers from this size on are large. */
#define TP_LARGE ((size_t)64 << 10)

/* Of one large tier; written by anyone, relaxed: if two threads do so at once, one ask is lost. */
struct tp_asked {
	uint32_t now, before; /* asks in this tick, and in the last one; counted up to ASKS */
	int64_t pops;         /* of the tier's stacks, when this tick was seen to begin */
};

struct tp_maximum {
	const struct tp_tiers *tiers;
	struct tp_asked *asked; /* of the large tiers */
	unsigned first; /* the smallest of them; tiers->count: none, or nothing is learned */
	uint64_t tick;  /* the last that was seen */
};

/* Lets the ticks pass that have begun since this was last called: after each, and by slow calls. */
void tp_maximum_tick(struct tp_maximum *maximum);

/* Notes a get or growth that wants the tier and popped nothing. */
void tp_maximum_ask(struct tp_maximum *maximum, unsigned tier);

/* Whether a buffer of the tier is kept at a slow put. */
bool tp_maximum_keeps(const struct tp_maximum *maximum, unsigned tier);

/* The size of the largest tier that is kept now; 0: none is. */
size_t tp_maximum_size(const struct tp_maximum *maximum, const struct tp_sizeclass *sizes);

#endif
