/* SPDX-License-Identifier: MIT */
#include "drain.h"

#include "atomic.h"
#include "control.h"

/* Buffers that leave a depot under one hold of its lock. */
#define STRIP 64

/* Pops and pushes since the last tick from which on a CPU counts as hard at work. */
#define BUSY 4096

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

/* One buffer of a tier above this one, out of a CPU's stacks, largest first. */
static bool cpu_evict(struct tp_tiers *tiers, unsigned cpu, unsigned tier, enum tp_depot_age age,
	struct tp_list *victim)
{
	struct tp_door *door = NULL;
	size_t found = 0;

	for (unsigned larger = tiers->sizes->count - 1; larger > tier && !found; larger--) {
		if (!tp_word_depth(tp_tiers_word(tiers, cpu, larger)))
			continue;
		if (!door)
			door = tp_doors_stop(&tiers->doors, cpu);
		if (!door)
			return false;
		found = stack_strip(tiers, door, larger, 1, age, victim);
	}
	if (door)
		tp_door_publish(door);
	return found;
}

static bool evict(struct tp_tiers *tiers, unsigned tier, enum tp_depot_age age, bool due,
	struct tp_list *victim)
{
	unsigned cpu = tp_percpu_current(tiers->doors.count);

	for (unsigned larger = tiers->sizes->count - 1; larger > tier; larger--)
		if (depot_strip(tiers, larger, 1, age, victim))
			return true;
	for (unsigned i = 0; i < tiers->doors.count; i++) {
		if ((!i || tp_tiers_may_stop(tiers, cpu, due)) &&
			cpu_evict(tiers, cpu, tier, age, victim))
			return true;
		cpu = tp_percpu_next(cpu, tiers->doors.count);
	}
	return false;
}

tierpool_buf *tp_drain_evict(struct tp_tiers *tiers, unsigned tier)
{
	struct tp_list victim = {NULL, 0};
	bool due;

	if (!tp_tiers_may_fit(tiers, tier) || tier + 1 == tiers->sizes->count)
		return NULL;
	due = tp_tiers_stop_due(tiers);
	if (!evict(tiers, tier, TP_DEPOT_AGED, due, &victim))
		evict(tiers, tier, TP_DEPOT_ANY, due, &victim);
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
	size_t found = 0;

	room_drop_stopped(tiers);
	for (int pass = 0; pass < 2; pass++)
		for (unsigned tier = tiers->sizes->count; tier-- && found < excess;) {
			size_t cost = tiers->tier[tier].cost;
			size_t n = (excess - found) / cost + ((excess - found) % cost != 0);

			found += cost * tier_strip(tiers, tier, n,
						pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, victims);
		}
	tp_doors_publish_all(&tiers->doors);
	return all;
}

/* ---- ages ---- */

/* Buffers of age 1 go, those of age 0 are of age 1 now, and half of the room goes. */
static void stack_age(
	struct tp_tiers *tiers, struct tp_door *door, unsigned tier, struct tp_list *victims)
{
	uint64_t *stack = tp_tiers_stack(tiers, door, tier);
	unsigned room = tp_word_room(*stack);

	for (unsigned slot = 1; slot <= tp_word_depth(*stack);) {
		tierpool_buf *b = (tierpool_buf *)(uintptr_t)stack[slot];

		if (tp_control_age(b)) {
			tp_list_push(victims, tp_cpucache_move_out(door, stack, slot));
		} else {
			tp_control_age_set(b, 1);
			slot++;
		}
	}
	tp_cpucache_room_set(stack, room / 2);
	tp_tiers_unlease(tiers, tier, room - room / 2);
}

/* A stopped CPU's stacks, so many ticks at once. */
static void cpu_age(
	struct tp_tiers *tiers, struct tp_door *door, unsigned ticks, struct tp_list *victims)
{
	for (; ticks; ticks--)
		for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
			stack_age(tiers, door, tier, victims);
}

void tp_drain_age_own(struct tp_tiers *tiers, struct tp_list *victims)
{
	unsigned cpu = tp_percpu_current(tiers->doors.count);
	struct tp_door *door;

	if (tp_likely(!tp_load_relaxed(&tiers->doors.door[cpu].age_due)))
		return;
	door = tp_doors_stop_own(&tiers->doors);
	if (!door)
		return;
	/* Of the CPU that was stopped, which may be another one. Acquire: once for each tick. */
	if (tp_exchange_acquire(&door->age_due, 0u))
		cpu_age(tiers, door, 1, victims);
	tp_door_publish(door);
}

/*
 * The part of a tick that is a CPU's. One that is hard at work is not fenced, which would cost it
 * more than its own ageing does: it is told to do that itself, at its next strike or slow call. If
 * it has not by the next tick it is fenced after all. One that has not moved since it was told has
 * not touched a buffer since, and so owes both ticks.
 */
static void cpu_tick(struct tp_tiers *tiers, unsigned cpu, struct tp_list *victims)
{
	struct tp_door *door = &tiers->doors.door[cpu];
	uint64_t now = tp_tiers_moves(tiers, cpu);
	/* Relaxed: two ticks at once age what they find, and differ in who found it busy. */
	uint64_t moved = now - tp_exchange_relaxed(&door->moves_at_tick, now);
	bool told = tp_load_relaxed(&door->age_due);

	if (tp_percpu_rseq && moved >= BUSY && !told && cpu != tp_percpu_id()) {
		tp_store_relaxed(&door->age_due, 1u);
		return;
	}
	door = tp_doors_stop(&tiers->doors, cpu);
	if (!door)
		return;
	told = tp_exchange_acquire(&door->age_due, 0u);
	/* Nor since it was stopped: a buffer that was put since then owes nothing. */
	if (told && !moved && tp_tiers_moves(tiers, cpu) == now)
		cpu_age(tiers, door, 2, victims);
	else
		cpu_age(tiers, door, 1, victims);
	tp_door_publish(door);
}

void tp_drain_tick(struct tp_tiers *tiers, struct tp_list *victims)
{
	for (unsigned cpu = 0; cpu < tiers->doors.count; cpu++)
		cpu_tick(tiers, cpu, victims);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		struct tp_list old;

		tp_depot_rotate(&tiers->tier[tier].depot, &old);
		tp_list_move(&old, victims);
	}
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
