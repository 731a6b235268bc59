/* SPDX-License-Identifier: MIT */
#include "idle/countdown.h"

#include "base/random.h"
#include "idle/idle.h"

/*
 * Pops that are left, of one stack: until a look, and until a sample. Each is one more than that, so
 * that 0, as in a new slab, says that none was drawn yet. Written by threads on the CPU; if two of
 * them do, one gap is lost.
 */
struct countdown {
	unsigned look, sample;
};

_Static_assert(2 * TP_DECAY_GAP <= UINT16_MAX && 2 * TP_SAMPLE <= UINT16_MAX, "both fit in a half");

static struct tp_cpu *countdown_cpu(const struct tp_tiers *tiers)
{
	return &tiers->cpus.cpu[tp_cpu_current(tiers->cpus.count)];
}

/* Where it stands for a stack of a CPU: behind the stacks, in the slab. NULL: no slab. */
static uint32_t *countdown_place(
	const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier)
{
	uint64_t *slab = tp_load_acquire(&cpu->slab);

	return slab ? (uint32_t *)(slab + tiers->countdowns) + tier : NULL;
}

static struct countdown countdown_read(const uint32_t *place)
{
	uint32_t both = place ? tp_load_relaxed(place) : 0;

	return (struct countdown){both & UINT16_MAX, both >> 16};
}

struct tp_expiry tp_idle_expiry(const struct tp_tiers *tiers, unsigned tier)
{
	struct countdown left = countdown_read(countdown_place(tiers, countdown_cpu(tiers), tier));

	return (struct tp_expiry){left.look <= 1, left.sample == 1};
}

void tp_idle_arm(struct tp_tiers *tiers, unsigned tier, bool more)
{
	struct tp_cpu *cpu = countdown_cpu(tiers);
	uint32_t *place = countdown_place(tiers, cpu, tier);
	struct countdown left = countdown_read(place);
	unsigned gap;

	if (more)
		left.look = 2;
	else if (left.look <= 1)
		left.look = 1 + tp_random_gap(&cpu->random, tp_decay_gap(&tiers->decay));
	if (left.sample <= 1 && tiers->sampled)
		left.sample = 1 + tp_random_gap(&cpu->sample_random, TP_SAMPLE);
	gap = left.look - 1;
	if (tiers->sampled)
		gap = (unsigned)tp_min(gap, left.sample - 1);
	if (!tp_stack_arm(&tiers->cpus, tiers->stack_index[tier], gap) || !place)
		return;
	left.look -= gap;
	left.sample -= tiers->sampled ? gap : 0;
	tp_store_relaxed(place, left.look | left.sample << 16);
}

bool tp_idle_samples(struct tp_tiers *tiers)
{
	return tiers->sampled && tp_random(&countdown_cpu(tiers)->sample_random) % TP_SAMPLE == 0;
}
