/* SPDX-License-Identifier: MIT */
/*
 * For tests of what is counted by tier.
 */
#ifndef TIER_CHECKS_H
#define TIER_CHECKS_H

#include "pool_checks.h"

#define TIERS 80 /* of a pool, at most */

/* Reads them. Returns: how many there are. */
unsigned tiers_of(tierpool *pool, struct tierpool_tier_stats *out);

/* The tier that serves a size. */
unsigned tier_of(const tierpool *pool, size_t size);

/* What is wrong with the numbers of a tier at rest, or NULL. */
const char *tier_fault(const struct tierpool_tier_stats *t);

/* As tiers_of, of a pool at rest: none has a fault, and together they are what the pool says. */
unsigned tiers_at_rest(tierpool *pool, struct tierpool_tier_stats *out);

#endif
