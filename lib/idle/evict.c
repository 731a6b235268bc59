/* SPDX-License-Identifier: MIT */
/*
 * Which idle buffers leave when there are too many: one in favour of a smaller one, as many as are
 * above a number of bytes, or all at the end of a pool. Decay is age.c's.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/* Most buffers that leave a depot in one hold of its lock; that leave in one stop of all CPUs. */
#define POP_MOST 64
#define TRIM_MOST 1024

/* CPUs on which a put looks for a larger buffer to evict. */
#define EVICT_CPUS 16

/* Moves up to n buffers of a stopped CPU's stack to victims, oldest first, with their leases. */
static size_t evict_from_stack(struct tp_tiers *tiers, struct tp_cpu *cpu, unsigned tier, size_t n,
	enum tp_depot_age age, struct tp_buflist *victims)
{
	uint64_t *stack = tp_tiers_stack(tiers, cpu, tier);
	size_t moved = 0;

	for (; moved < n && tp_word_depth(*stack); moved++) {
		/* The bottom of a stack has lain there the longest. */
		if (age == TP_DEPOT_AGED && !tp_bufstate_age((tierpool_buf *)(uintptr_t)stack[1]))
			break;
		tp_buflist_push(victims, tp_stack_move_out(cpu, stack, 1));
	}
	return moved;
}

/* Moves up to n buffers of a depot to victims. */
static size_t evict_from_depot(struct tp_tiers *tiers, unsigned tier, size_t n,
	enum tp_depot_age age, struct tp_buflist *victims)
{
	size_t before = victims->count, before_pop;

	/* A few at a time: gets and puts take the depot's lock in between. */
	do {
		before_pop = victims->count;
		tp_depot_pop(&tiers->tier[tier].depot, tp_min(before + n - before_pop, POP_MOST),
			age, victims);
	} while (victims->count != before_pop && victims->count < before + n);
	return victims->count - before;
}

static bool evict_has_larger(const struct tp_tiers *tiers, unsigned cpu_id, unsigned tier)
{
	for (unsigned larger = tiers->sizes->count - 1; larger > tier; larger--)
		if (tp_word_depth(tp_tiers_word(tiers, cpu_id, larger)))
			return true;
	return false;
}

/*
 * Chooses the CPUs to evict from: the caller's and others, in each call the next ones. Each has
 * something larger and may be stopped for it. Returns: how many they are.
 */
static unsigned evict_candidates(
	struct tp_tiers *tiers, unsigned tier, unsigned cpu_ids[EVICT_CPUS])
{
	unsigned count = tiers->cpus.count, own = tp_cpu_current(count), n = 0;
	bool due = tp_decay_stop_due(&tiers->decay);

	if (evict_has_larger(tiers, own, tier))
		cpu_ids[n++] = own;
	for (unsigned i = 1; i < EVICT_CPUS && i < count; i++) {
		unsigned cpu_id =
			(own + 1 + tp_add_relaxed(&tiers->next_cpu, 1u) % (count - 1)) % count;

		if (evict_has_larger(tiers, cpu_id, tier) &&
			tp_decay_may_stop(&tiers->decay, cpu_id, due))
			cpu_ids[n++] = cpu_id;
	}
	return n;
}

/* Takes one buffer of a larger tier from a CPU's stacks, of the largest tier first. */
static bool evict_from_cpu(struct tp_tiers *tiers, unsigned cpu_id, unsigned tier,
	enum tp_depot_age age, struct tp_buflist *victim)
{
	struct tp_cpu *cpu = tp_cpus_stop(&tiers->cpus, cpu_id);
	size_t found = 0;

	if (!cpu)
		return false;
	for (unsigned larger = tiers->sizes->count - 1; larger > tier && !found; larger--)
		found = evict_from_stack(tiers, cpu, larger, 1, age, victim);
	tp_cpu_start(cpu);
	return found;
}

tierpool_buf *tp_idle_evict(struct tp_tiers *tiers, unsigned tier)
{
	unsigned cpu_ids[EVICT_CPUS], count;
	struct tp_buflist victim = {NULL, 0};

	if (!tp_tiers_may_fit(tiers, tier) || tier + 1 == tiers->sizes->count)
		return NULL;
	count = evict_candidates(tiers, tier, cpu_ids);
	for (int pass = 0; pass < 2 && !victim.count; pass++) {
		enum tp_depot_age age = pass ? TP_DEPOT_ANY : TP_DEPOT_AGED;

		for (unsigned larger = tiers->sizes->count - 1; larger > tier; larger--)
			if (evict_from_depot(tiers, larger, 1, age, &victim))
				return victim.head;
		for (unsigned i = 0; i < count && !victim.count; i++)
			evict_from_cpu(tiers, cpu_ids[i], tier, age, &victim);
	}
	return victim.head;
}

/* With all CPUs stopped: moves up to n buffers of a tier to victims, from the depot first. */
static size_t evict_from_tier(struct tp_tiers *tiers, unsigned tier, size_t n,
	enum tp_depot_age age, struct tp_buflist *victims)
{
	size_t moved = evict_from_depot(tiers, tier, n, age, victims);

	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count && moved < n; cpu_id++) {
		struct tp_cpu *cpu = &tiers->cpus.cpu[cpu_id];

		if (tp_cpu_is_stopped(cpu))
			moved += evict_from_stack(tiers, cpu, tier, n - moved, age, victims);
	}
	return moved;
}

static void evict_room(struct tp_tiers *tiers)
{
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		if (tp_cpu_is_stopped(&tiers->cpus.cpu[cpu_id]))
			tp_tiers_room_reclaim(tiers, &tiers->cpus.cpu[cpu_id], SIZE_MAX);
}

bool tp_idle_trim(struct tp_tiers *tiers, size_t excess, struct tp_buflist *victims)
{
	bool all = tp_cpus_stop_all(&tiers->cpus);
	size_t found = 0, left = TRIM_MOST;

	evict_room(tiers);
	for (int pass = 0; pass < 2; pass++)
		for (unsigned tier = tiers->sizes->count; tier-- && found < excess && left;) {
			size_t cost = tiers->tier[tier].cost;
			size_t n = (excess - found) / cost + ((excess - found) % cost != 0);
			size_t moved = evict_from_tier(tiers, tier, tp_min(n, left),
				pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, victims);

			found += cost * moved;
			left -= moved;
		}
	tp_cpus_start_all(&tiers->cpus);
	return all;
}

void tp_idle_close(struct tp_tiers *tiers, struct tp_buflist *victims)
{
	tp_cpus_stop_all(&tiers->cpus);
	evict_room(tiers);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		tp_depot_close(&tiers->tier[tier].depot);
		evict_from_tier(tiers, tier, SIZE_MAX - victims->count, TP_DEPOT_ANY, victims);
	}
	tp_cpus_close_all(&tiers->cpus);
	tp_cpus_start_all(&tiers->cpus);
}
