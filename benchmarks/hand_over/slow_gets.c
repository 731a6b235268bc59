/* SPDX-License-Identifier: MIT */
/*
 * The one place of hand_over that knows the inside of a pool: sides.h, pool_slow_gets.
 */
#include "sides.h"

#include "pool/pool.h"

uint64_t pool_slow_gets(const tierpool *pool)
{
	return tp_counts_slow_gets(&pool->tiers);
}
