/* SPDX-License-Identifier: MIT */
/*
 * Which idle buffers go when there are too many: one for a smaller one, down to a number of bytes,
 * or all at the end.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/* Buffers that leave a depot under one hold of its lock; and all of them while CPUs are stopped. */
#define STRIP 64
#define STRIP_STOPPED 1024

/* CPUs that a put looks at for something larger to go in its place. */
#define EVICT_CPUS 16

/* Up to n buffers of a stopped CPU's stack, oldest first, to victims, with their leases. */
static size_t stack_strip(struct tp_tiers *tiers, struct tp_door *door, unsigned tier, size_t n,
	enum tp_depot_age age, struct tp_list *victims)
{
	uint64_t *stack = tp_tiers_stack(tiers, door, tier);
	size_t moved = 0;

	for (; moved < n && tp_word_depth(*stack); moved++) {
		/* The bottom of a stack is what lay untouched the longest. */
		if (age == TP_DEPOT_AGED && !tp_control_age((tierpool_buf *)(uintptr_t)stack[1]))
			break;
		tp_list_push(victims, tp_cpucache_move_out(door, stack, 1));
	}
	return moved;
}

/* Up to n buffers of a depot. */
static size_t depot_strip(struct tp_tiers *tiers, unsigned tier, size_t n, enum tp_depot_age age,
	struct tp_list *victims)
{
	size_t before = victims->count, seen;

	/* A few at a time, so that gets and puts find the depot's lock free in between. */
	do {
		seen = victims->count;
		tp_depot_pop(
			&tiers->tier[tier].depot, tp_min(before + n - seen, STRIP), age, victims);
	} while (victims->count != seen && victims->count < before + n);
	return victims->count - before;
}

static bool has_larger(const struct tp_tiers *tiers, unsigned cpu, unsigned tier)
{
	for (unsigned larger = tiers->sizes->count - 1; larger > tier; larger--)
		if (tp_word_depth(tp_tiers_word(tiers, cpu, larger)))
			return true;
	return false;
}

/*
 * The caller's CPU and the next ones, another time others, as far as something larger lies there
 * and they may be stopped for it: how many.
 */
static unsigned evictable(struct tp_tiers *tiers, unsigned tier, unsigned cpus[EVICT_CPUS])
{
	unsigned count = tiers->doors.count, own = tp_percpu_current(count), n = 0;
	bool due = tp_decay_stop_due(&tiers->decay);

	if (has_larger(tiers, own, tier))
		cpus[n++] = own;
	for (unsigned i = 1; i < EVICT_CPUS && i < count; i++) {
		unsigned cpu =
			(own + 1 + tp_add_relaxed(&tiers->next_cpu, 1u) % (count - 1)) % count;

		if (has_larger(tiers, cpu, tier) && tp_decay_may_stop(&tiers->decay, cpu, due))
			cpus[n++] = cpu;
	}
	return n;
}

/* One buffer of a tier above this one, out of a CPU's stacks, largest first. */
static bool cpu_evict(struct tp_tiers *tiers, unsigned cpu, unsigned tier, enum tp_depot_age age,
	struct tp_list *victim)
{
	struct tp_door *door = tp_doors_stop(&tiers->doors, cpu);
	size_t found = 0;

	if (!door)
		return false;
	for (unsigned larger = tiers->sizes->count - 1; larger > tier && !found; larger--)
		found = stack_strip(tiers, door, larger, 1, age, victim);
	tp_door_publish(door);
	return found;
}

tierpool_buf *tp_drain_evict(struct tp_tiers *tiers, unsigned tier)
{
	unsigned cpus[EVICT_CPUS], count;
	struct tp_list victim = {NULL, 0};

	if (!tp_tiers_may_fit(tiers, tier) || tier + 1 == tiers->sizes->count)
		return NULL;
	count = evictable(tiers, tier, cpus);
	for (int pass = 0; pass < 2 && !victim.count; pass++) {
		enum tp_depot_age age = pass ? TP_DEPOT_ANY : TP_DEPOT_AGED;

		for (unsigned larger = tiers->sizes->count - 1; larger > tier; larger--)
			if (depot_strip(tiers, larger, 1, age, &victim))
				return victim.head;
		for (unsigned i = 0; i < count && !victim.count; i++)
			cpu_evict(tiers, cpus[i], tier, age, &victim);
	}
	return victim.head;
}

/* Up to n buffers of a tier from wherever they lie. All CPUs are stopped. */
static size_t tier_strip(struct tp_tiers *tiers, unsigned tier, size_t n, enum tp_depot_age age,
	struct tp_list *victims)
{
	size_t moved = depot_strip(tiers, tier, n, age, victims);

	for (unsigned cpu = 0; cpu < tiers->doors.count && moved < n; cpu++) {
		struct tp_door *door = &tiers->doors.door[cpu];

		if (tp_door_is_stopped(door))
			moved += stack_strip(tiers, door, tier, n - moved, age, victims);
	}
	return moved;
}

static void room_drop_stopped(struct tp_tiers *tiers)
{
	for (unsigned cpu = 0; cpu < tiers->doors.count; cpu++)
		if (tp_door_is_stopped(&tiers->doors.door[cpu]))
			tp_tiers_room_reclaim(tiers, &tiers->doors.door[cpu], SIZE_MAX);
}

bool tp_drain_strip(struct tp_tiers *tiers, size_t excess, struct tp_list *victims)
{
	bool all = tp_doors_stop_all(&tiers->doors);
	size_t found = 0, left = STRIP_STOPPED;

	room_drop_stopped(tiers);
	for (int pass = 0; pass < 2; pass++)
		for (unsigned tier = tiers->sizes->count; tier-- && found < excess && left;) {
			size_t cost = tiers->tier[tier].cost;
			size_t n = (excess - found) / cost + ((excess - found) % cost != 0);
			size_t moved = tier_strip(tiers, tier, tp_min(n, left),
				pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, victims);

			found += cost * moved;
			left -= moved;
		}
	tp_doors_publish_all(&tiers->doors);
	return all;
}

void tp_drain_close(struct tp_tiers *tiers, struct tp_list *victims)
{
	tp_doors_stop_all(&tiers->doors);
	room_drop_stopped(tiers);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		tp_depot_close(&tiers->tier[tier].depot);
		tier_strip(tiers, tier, SIZE_MAX - victims->count, TP_DEPOT_ANY, victims);
	}
	tp_doors_close_all(&tiers->doors);
	tp_doors_publish_all(&tiers->doors);
}
