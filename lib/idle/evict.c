/* SPDX-License-Identifier: MIT */
/*
 * Which idle items leave when there are too many: one in favour of a smaller one, as many as are
 * above a number of bytes, or all at the end of a pool. Decay is age.c's.
 */
#include "idle/idle.h"

#include "base/atomic.h"

/* Items that leave in one stop of all CPUs, at most. */
#define TRIM_MOST 256

/* Items on their way out. alone: no other thread uses the tiers, so each CPU is as good as stopped. */
struct evicted {
	void **item;
	size_t most, count;
	bool alone;
};

/* Moves up to n items of a stopped CPU's stack to evicted, oldest first, with their leases. */
static size_t evict_from_stack(struct tp_tiers *tiers, struct tp_cpu *cpu, unsigned tier, size_t n,
	enum tp_generation youngest, struct evicted *evicted)
{
	size_t depth = tp_word_depth(cpu->slab[tiers->stack_index[tier]]), old = 0;

	n = tp_min(tp_min(n, depth), evicted->most - evicted->count);
	/* The bottom of a stack has lain there the longest. */
	if (youngest != TP_YOUNG) {
		while (old < n && tp_tiers_age(tiers, cpu, tier, (unsigned)old + 1))
			old++;
		n = old;
	}
	if (n)
		tp_stack_take_out(&tiers->cpus, cpu, tier, 1, (unsigned)n,
			evicted->item + evicted->count, tiers->aged_slots);
	evicted->count += n;
	return n;
}

/* Moves up to n items of a depot to evicted. */
static size_t evict_from_depot(struct tp_tiers *tiers, unsigned tier, size_t n,
	enum tp_generation youngest, struct evicted *evicted)
{
	size_t before = evicted->count, popped;
	enum tp_generation generation;

	n = tp_min(n, evicted->most - before);
	do {
		popped = tp_depot_pop(&tiers->tier[tier].depot, youngest,
			evicted->item + evicted->count, n, &generation);
		evicted->count += popped;
		n -= popped;
	} while (popped && n);
	return evicted->count - before;
}

/* ---- one, in favour of a smaller one ---- */

/*
 * The largest tier above this one of which a CPU's stacks have an item; the tier itself: none has.
 * A CPU that is stopped at the moment seems to have none.
 */
static unsigned evict_largest_on(const struct tp_tiers *tiers, unsigned cpu_id, unsigned tier)
{
	const uint64_t *slab = tp_load_acquire(&tiers->cpus.visible[cpu_id]); /* as tp_stack_word */
	unsigned larger = tiers->count - 1;

	while (larger > tier && !tp_word_depth(tp_load_relaxed(&slab[tiers->stack_index[larger]])))
		larger--;
	return larger;
}

static unsigned evict_largest_in_depots(const struct tp_tiers *tiers, unsigned tier)
{
	unsigned larger = tiers->count - 1;

	while (larger > tier && !tp_depot_count(&tiers->tier[larger].depot))
		larger--;
	return larger;
}

/* Takes one item out of a CPU's stacks of the tiers larger ... tier + 1, in this order. */
static void evict_from_cpu(struct tp_tiers *tiers, unsigned cpu_id, unsigned larger, unsigned tier,
	enum tp_generation youngest, struct evicted *victim)
{
	struct tp_cpu *cpu = larger > tier ? tp_cpus_try_stop(&tiers->cpus, cpu_id) : NULL;

	if (!cpu)
		return;
	for (; larger > tier && !victim->count; larger--)
		evict_from_stack(tiers, cpu, larger, 1, youngest, victim);
	tp_cpu_start(cpu);
}

/*
 * Looks in the depots, on the caller's CPU, and on one other, in each call the next one, if that may
 * be stopped for it. So a put at the bound costs the same with any number of CPUs.
 */
bool tp_idle_evict(struct tp_tiers *tiers, unsigned tier)
{
	unsigned own = tp_cpu_current(tiers->cpus.count), other = tp_tiers_next_cpu(tiers);
	unsigned in_depots = evict_largest_in_depots(tiers, tier);
	unsigned on_own = evict_largest_on(tiers, own, tier);
	unsigned on_other = other == own ? tier : evict_largest_on(tiers, other, tier);
	void *item;
	struct evicted victim = {.item = &item, .most = 1};

	if (on_other > tier && !tp_decay_may_stop(&tiers->decay, other))
		on_other = tier;
	if ((in_depots == tier && on_own == tier && on_other == tier) ||
		!tp_tiers_may_fit(tiers, tier))
		return false;
	for (int pass = 0; pass < 2 && !victim.count; pass++) {
		enum tp_generation youngest = pass ? TP_YOUNG : TP_OLD;

		for (unsigned larger = in_depots; larger > tier && !victim.count; larger--)
			evict_from_depot(tiers, larger, 1, youngest, &victim);
		if (!victim.count)
			evict_from_cpu(tiers, own, on_own, tier, youngest, &victim);
		/* Whatever its age: so that CPU is stopped once. */
		if (!victim.count && !pass)
			evict_from_cpu(tiers, other, on_other, tier, TP_YOUNG, &victim);
	}
	if (victim.count)
		tiers->release(tiers, &item, 1, TP_DROP_RETAIN);
	return victim.count;
}

/* ---- many ---- */

static bool evict_owns(const struct evicted *evicted, const struct tp_cpu *cpu)
{
	return tp_cpu_is_stopped(cpu) || (evicted->alone && cpu->slab);
}

/* With all CPUs stopped: moves up to n items of a tier to evicted, from the depot first. */
static size_t evict_from_tier(struct tp_tiers *tiers, unsigned tier, size_t n,
	enum tp_generation youngest, struct evicted *evicted)
{
	size_t moved = evict_from_depot(tiers, tier, n, youngest, evicted);

	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count && moved < n; cpu_id++) {
		struct tp_cpu *cpu = &tiers->cpus.cpu[cpu_id];

		if (evict_owns(evicted, cpu))
			moved += evict_from_stack(tiers, cpu, tier, n - moved, youngest, evicted);
	}
	return moved;
}

static void evict_room(struct tp_tiers *tiers, const struct evicted *evicted)
{
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		for (unsigned tier = 0; tier < tiers->count; tier++)
			if (evict_owns(evicted, &tiers->cpus.cpu[cpu_id]))
				tp_tiers_room_set(tiers, &tiers->cpus.cpu[cpu_id], tier, 0);
}

/* With all CPUs stopped: moves items to evicted until they are excess bytes. Returns: the bytes. */
static size_t evict_excess(struct tp_tiers *tiers, size_t excess, struct evicted *evicted)
{
	size_t found = 0;

	evict_room(tiers, evicted);
	for (int pass = 0; pass < 2; pass++)
		for (unsigned tier = tiers->count; tier-- && found < excess;) {
			size_t cost = tiers->tier[tier].cost, n = SIZE_MAX;

			if (cost)
				n = (excess - found) / cost + ((excess - found) % cost != 0);
			found += cost *
				 evict_from_tier(tiers, tier, n, pass ? TP_YOUNG : TP_OLD, evicted);
		}
	return found;
}

static void evict_release(struct tp_tiers *tiers, const struct evicted *evicted, enum tp_drop why)
{
	if (evicted->count)
		tiers->release(tiers, evicted->item, (unsigned)evicted->count, why);
}

struct tp_released tp_idle_trim(struct tp_tiers *tiers, size_t excess, bool *all)
{
	void *item[TRIM_MOST];
	struct evicted evicted = {.item = item, .most = TRIM_MOST};
	struct tp_released released;

	*all = tp_cpus_stop_all(&tiers->cpus);
	released.bytes = evict_excess(tiers, excess, &evicted);
	for (unsigned cpu_id = 0; cpu_id < tiers->cpus.count; cpu_id++)
		if (tp_cpu_is_stopped(&tiers->cpus.cpu[cpu_id]))
			tp_tiers_slab_purge(tiers, &tiers->cpus.cpu[cpu_id]);
	tp_cpus_start_all(&tiers->cpus);
	released.count = evicted.count;
	evict_release(tiers, &evicted, TP_DROP_TRIM);
	return released;
}

void tp_idle_drain(struct tp_tiers *tiers)
{
	void *item[TRIM_MOST];
	struct evicted evicted = {.item = item, .most = TRIM_MOST, .alone = true};

	/* What a release has put back goes in the next round, so that releases do not nest. */
	do {
		evicted.count = 0;
		evict_excess(tiers, SIZE_MAX, &evicted);
		evict_release(tiers, &evicted, TP_DROP_DESTROY);
	} while (evicted.count);
}

void tp_idle_close(struct tp_tiers *tiers)
{
	void *item[TRIM_MOST];
	struct evicted evicted = {.item = item, .most = TRIM_MOST};

	for (unsigned tier = 0; tier < tiers->count; tier++)
		tp_depot_close(&tiers->tier[tier].depot);
	/* Closes the CPUs in the stop that takes out the last items. */
	do {
		evicted.count = 0;
		tp_cpus_stop_all(&tiers->cpus);
		evict_excess(tiers, SIZE_MAX, &evicted);
		if (evicted.count < TRIM_MOST)
			tp_cpus_close_all(&tiers->cpus);
		tp_cpus_start_all(&tiers->cpus);
		evict_release(tiers, &evicted, TP_DROP_DESTROY);
	} while (evicted.count == TRIM_MOST);
}
