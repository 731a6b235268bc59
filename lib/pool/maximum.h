/* SPDX-License-Identifier: MIT */
/*
 * The largest size that a pool keeps, as it learns it (golang issue 23199): a large tier is kept
 * while it is asked for again within two ticks. Owns how often each large tier was asked for.
 *
 * Slow gets and growths are counted here. Fast ones are seen by what they leave: the countdowns of
 * the tier's stacks have moved since they were last looked at.
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
	uint32_t tick;        /* in which it was last looked at */
	uint16_t now, before; /* asks in that tick, and in the one before */
	uint64_t countdowns;  /* their sum over all CPUs, when it was last looked at */
};

struct tp_maximum {
	const struct tp_tiers *tiers;
	struct tp_asked *asked; /* of the large tiers */
	unsigned first; /* the smallest of them; tiers->count: none, or nothing is learned */
};

/* Notes a get or growth that wants the tier and popped nothing. */
void tp_maximum_ask(struct tp_maximum *maximum, unsigned tier);

/* Whether a buffer of the tier is kept at a slow put. */
bool tp_maximum_keeps(struct tp_maximum *maximum, unsigned tier);

/* The largest tier that is kept now. */
unsigned tp_maximum_tier(struct tp_maximum *maximum);

#endif
