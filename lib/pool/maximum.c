/* SPDX-License-Identifier: MIT */
#include "pool/maximum.h"

#include "base/atomic.h"

/* So often in two ticks. */
#define ASKS 2

/* Gets and growths that popped a buffer of the tier, on all CPUs; never above the truth. */
static int64_t maximum_pops(const struct tp_maximum *maximum, unsigned tier)
{
	return tp_stack_count(&maximum->tiers->cpus, tier).pops;
}

static bool maximum_was_popped(const struct tp_asked *asked, int64_t pops)
{
	return pops > tp_load_relaxed(&asked->pops);
}

static struct tp_asked *maximum_asked(const struct tp_maximum *maximum, unsigned tier)
{
	return &maximum->asked[tier - maximum->first];
}

void tp_maximum_tick(struct tp_maximum *maximum)
{
	uint64_t tick = tp_load_relaxed(&maximum->tiers->decay.ticks);
	uint64_t passed = tick - tp_load_relaxed(&maximum->tick);

	if (!passed)
		return;
	tp_store_relaxed(&maximum->tick, tick);
	for (unsigned tier = maximum->first; tier < maximum->tiers->count; tier++) {
		struct tp_asked *asked = maximum_asked(maximum, tier);
		int64_t pops = maximum_pops(maximum, tier);
		uint32_t now = tp_load_relaxed(&asked->now);

		if (maximum_was_popped(asked, pops))
			now = ASKS;
		/* If several ticks have passed, nothing was asked for in the last one. */
		tp_store_relaxed(&asked->before, passed == 1 ? now : 0);
		tp_store_relaxed(&asked->now, 0u);
		tp_store_relaxed(&asked->pops, pops);
	}
}

void tp_maximum_ask(struct tp_maximum *maximum, unsigned tier)
{
	if (tier >= maximum->first && tier < maximum->tiers->count &&
		tp_load_relaxed(&maximum_asked(maximum, tier)->now) < ASKS)
		tp_add_lossy(&maximum_asked(maximum, tier)->now, 1u);
}

bool tp_maximum_keeps(const struct tp_maximum *maximum, unsigned tier)
{
	const struct tp_asked *asked;

	if (tier < maximum->first)
		return true;
	asked = maximum_asked(maximum, tier);
	return tp_load_relaxed(&asked->now) + tp_load_relaxed(&asked->before) >= ASKS ||
	       maximum_was_popped(asked, maximum_pops(maximum, tier));
}

size_t tp_maximum_size(const struct tp_maximum *maximum, const struct tp_sizeclass *sizes)
{
	for (unsigned tier = sizes->count; tier-- > 0;)
		if (tp_maximum_keeps(maximum, tier))
			return sizes->size[tier];
	return 0;
}
