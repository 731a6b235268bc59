/* SPDX-License-Identifier: MIT */
#include "pool/maximum.h"

#include "base/atomic.h"

/* So often in two ticks. */
#define ASKS 2

static uint64_t maximum_countdowns(const struct tp_maximum *maximum, unsigned tier)
{
	uint64_t sum = 0;

	for (unsigned cpu_id = 0; cpu_id < maximum->tiers->cpus.count; cpu_id++)
		sum += (uint64_t)tp_word_countdown(tp_tiers_word(maximum->tiers, cpu_id, tier));
	return sum;
}

/* Lets ticks pass that have begun since the tier was last looked at. */
static struct tp_asked *maximum_look(struct tp_maximum *maximum, unsigned tier)
{
	struct tp_asked *asked = &maximum->asked[tier - maximum->first];
	uint32_t tick = (uint32_t)tp_load_relaxed(&maximum->tiers->decay.ticks);
	uint32_t passed = tick - tp_load_relaxed(&asked->tick);

	if (passed) {
		tp_store_relaxed(
			&asked->before, passed == 1 ? tp_load_relaxed(&asked->now) : (uint16_t)0);
		tp_store_relaxed(&asked->now, (uint16_t)0);
		tp_store_relaxed(&asked->tick, tick);
	}
	return asked;
}

static unsigned maximum_asks(const struct tp_asked *asked)
{
	return tp_load_relaxed(&asked->now) + tp_load_relaxed(&asked->before);
}

void tp_maximum_ask(struct tp_maximum *maximum, unsigned tier)
{
	struct tp_asked *asked;

	if (tier < maximum->first || tier >= maximum->tiers->count)
		return;
	asked = maximum_look(maximum, tier);
	if (tp_load_relaxed(&asked->now) < ASKS)
		tp_add_relaxed(&asked->now, (uint16_t)1);
}

bool tp_maximum_keeps(struct tp_maximum *maximum, unsigned tier)
{
	struct tp_asked *asked;
	uint64_t countdowns;

	if (tier < maximum->first)
		return true;
	asked = maximum_look(maximum, tier);
	if (maximum_asks(asked) >= ASKS)
		return true;
	/* Fast gets: any change of a countdown is one. */
	countdowns = maximum_countdowns(maximum, tier);
	if (countdowns == tp_load_relaxed(&asked->countdowns))
		return false;
	tp_store_relaxed(&asked->countdowns, countdowns);
	tp_store_relaxed(&asked->now, (uint16_t)ASKS);
	return true;
}

unsigned tp_maximum_tier(struct tp_maximum *maximum)
{
	unsigned tier = maximum->tiers->count - 1;

	while (tier && !tp_maximum_keeps(maximum, tier))
		tier--;
	return tier;
}
