/* SPDX-License-Identifier: MIT */
#include "pool/maximum.h"

#include "base/atomic.h"

/* So often in two ticks. */
#define ASKS 2

/* Of a tier's stacks on all CPUs. */
struct maximum_view {
	uint64_t countdowns; /* their sum */
	bool held;           /* any has an item, or room for one */
};

static struct maximum_view maximum_look(const struct tp_maximum *maximum, unsigned tier)
{
	struct maximum_view view = {0, false};

	for (unsigned cpu_id = 0; cpu_id < maximum->tiers->cpus.count; cpu_id++) {
		uint64_t word = tp_tiers_word(maximum->tiers, cpu_id, tier);

		view.countdowns += (uint64_t)tp_word_countdown(word);
		view.held |= tp_word_held(word) != 0;
	}
	return view;
}

/* A get changes a countdown, and leaves room. (So does no purge of a slab, which is empty.) */
static bool maximum_was_popped(const struct tp_asked *asked, struct maximum_view view)
{
	return view.held && view.countdowns != tp_load_relaxed(&asked->countdowns);
}

static struct tp_asked *maximum_asked(const struct tp_maximum *maximum, unsigned tier)
{
	return &maximum->asked[tier - maximum->first];
}

void tp_maximum_tick(struct tp_maximum *maximum)
{
	uint32_t tick = (uint32_t)tp_load_relaxed(&maximum->tiers->decay.ticks);
	uint32_t passed = tick - tp_load_relaxed(&maximum->tick);

	if (!passed)
		return;
	tp_store_relaxed(&maximum->tick, tick);
	for (unsigned tier = maximum->first; tier < maximum->tiers->count; tier++) {
		struct tp_asked *asked = maximum_asked(maximum, tier);
		struct maximum_view view = maximum_look(maximum, tier);
		uint32_t now = tp_load_relaxed(&asked->now);

		if (maximum_was_popped(asked, view))
			now = ASKS;
		/* If several ticks have passed, nothing was asked for in the last one. */
		tp_store_relaxed(&asked->before, passed == 1 ? now : 0);
		tp_store_relaxed(&asked->now, 0u);
		tp_store_relaxed(&asked->countdowns, view.countdowns);
	}
}

void tp_maximum_ask(struct tp_maximum *maximum, unsigned tier)
{
	if (tier >= maximum->first && tier < maximum->tiers->count)
		tp_add_lossy(&maximum_asked(maximum, tier)->now, 1u);
}

bool tp_maximum_keeps(const struct tp_maximum *maximum, unsigned tier)
{
	const struct tp_asked *asked;

	if (tier < maximum->first)
		return true;
	asked = maximum_asked(maximum, tier);
	return tp_load_relaxed(&asked->now) + tp_load_relaxed(&asked->before) >= ASKS ||
	       maximum_was_popped(asked, maximum_look(maximum, tier));
}

size_t tp_maximum_size(const struct tp_maximum *maximum, const struct tp_sizeclass *sizes)
{
	for (unsigned tier = sizes->count; tier-- > 0;)
		if (tp_maximum_keeps(maximum, tier))
			return sizes->size[tier];
	return 0;
}
