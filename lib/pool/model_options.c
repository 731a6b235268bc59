/* SPDX-License-Identifier: MIT */
#include "pool/model_options.h"

#include <limits.h>

#define NS_PER_MS 1000000

struct tp_model_options tp_model_options_of(
	const tierpool *pool, struct tp_model_tier *tier, const size_t *bound, unsigned bounds)
{
	const struct tp_tiers *tiers = &pool->tiers;
	struct tp_model_options options = {.tier = tier,
		.tiers = tiers->count,
		.cpus = tiers->cpus.count,
		.bound = bound,
		.bounds = bounds,
		.max_idle = tiers->max_idle,
		.decay_ns = UINT64_MAX,
		.locked = !tp_cpu_rseq};

	if (tiers->decay.ms != UINT_MAX)
		options.decay_ns = (uint64_t)tiers->decay.ms * NS_PER_MS;
	for (unsigned i = 0; i < tiers->count; i++)
		tier[i] = (struct tp_model_tier){tiers->tier[i].cost, tiers->tier[i].slots,
			tiers->tier[i].steal, i >= pool->maximum.first};
	while (options.in_place < tiers->count &&
		tp_blocks_grow_in_place(&pool->blocks, tiers->count - 1 - options.in_place))
		options.in_place++;
	return options;
}
