/* SPDX-License-Identifier: MIT */
#include "idle.h"

#include <time.h>

#include "atomic.h"
#include "control.h"

/* Buffers that come along when one is taken from a depot, to spare its lock the next times. */
#define BATCH 16

/* Buffers that leave a depot under one hold of its lock. */
#define STRIP 64

/* From here on an idle buffer on another CPU is worth looking for, on so many CPUs. */
#define STEAL_FROM ((size_t)256 << 10)
#define STEAL_CPUS 4

/* ---- one CPU, stopped ---- */

static tierpool_buf *stack_take(struct tp_tiers *tiers, unsigned cpu, unsigned tier)
{
	uint64_t *stack = tp_tiers_stop(tiers, cpu, tier);
	tierpool_buf *b = NULL;

	if (!stack)
		return NULL;
	if (tp_word_depth(*stack)) {
		b = tp_cpucache_move_out(&tiers->cache.doors[cpu], stack, tp_word_depth(*stack));
		/* As in a pop, the lease stays behind as room for the buffer's return. */
		tp_cpucache_room_set(stack, tp_word_room(*stack) + 1);
	}
	tp_cpucache_publish(&tiers->cache, cpu);
	return b;
}

/* Room on a stack without any: doubled, or by one, as far as limit and leases allow. */
static void stack_widen(struct tp_tiers *tiers, uint64_t *stack, unsigned tier)
{
	unsigned depth = tp_word_depth(*stack);
	unsigned limit = tp_load_relaxed(&tiers->tier[tier].limit);
	unsigned more = limit > depth ? (unsigned)tp_min(tp_max(depth, 1), limit - depth) : 0;

	while (more && tp_tiers_lease(tiers, tier, more) != TP_KEPT)
		more = more > 1; /* when not doubled then one more, and when not one then none */
	if (more)
		tp_cpucache_room_set(stack, more);
}

/* The older half of a full stack, with its leases: to go where a whole batch costs one lock. */
static void stack_flush(struct tp_door *door, uint64_t *stack, struct tp_list *flushed)
{
	/* From the newer end of it, so that the newest comes to lie on top of the depot again. */
	for (unsigned slot = (tp_word_depth(*stack) + 1) / 2; slot; slot--)
		tp_list_push(flushed, tp_cpucache_move_out(door, stack, slot));
}

/* Keeps b on the caller's CPU. */
static bool stack_keep(
	struct tp_tiers *tiers, unsigned tier, tierpool_buf *b, struct tp_list *flushed)
{
	unsigned cpu = tp_percpu_current(tiers->cache.count);
	struct tp_door *door = &tiers->cache.doors[cpu];
	uint64_t *stack = tp_tiers_stop(tiers, cpu, tier);
	bool kept = false;

	if (!stack && !tp_load_relaxed(&door->closed)) {
		tp_tiers_slab_create(tiers, cpu);
		stack = tp_tiers_stop(tiers, cpu, tier);
	}
	if (!stack)
		return false;
	if (!tp_word_room(*stack)) {
		if (tp_word_depth(*stack) >= tp_load_relaxed(&tiers->tier[tier].limit))
			stack_flush(door, stack, flushed);
		stack_widen(tiers, stack, tier);
	}
	if (tp_word_room(*stack)) {
		tp_cpucache_room_set(stack, tp_word_room(*stack) - 1);
		tp_cpucache_move_in(door, stack, b);
		kept = true;
	}
	tp_cpucache_publish(&tiers->cache, cpu);
	return kept;
}

/*
 * Fills the caller's CPU's stack from list, and turns the lease of one more buffer, which the
 * caller keeps, into room for its return. A buffer from the list takes room that is there, and its
 * own lease ends; where none is, it brings its lease along, up to the limit. What finds no place
 * stays in the list.
 */
static void stack_refill(struct tp_tiers *tiers, unsigned tier, struct tp_list *list)
{
	unsigned cpu = tp_percpu_current(tiers->cache.count);
	unsigned limit = tp_load_relaxed(&tiers->tier[tier].limit);
	uint64_t *stack = limit ? tp_tiers_stop(tiers, cpu, tier) : NULL;
	unsigned room, held, surplus = 1;

	if (stack) {
		room = tp_word_room(*stack);
		held = room + tp_word_depth(*stack);
		if (held < limit) {
			room++;
			held++;
			surplus = 0;
		}
		/* The last of the room is for the return of the caller's. */
		for (; list->head && (room > 1 || held < limit);) {
			tp_cpucache_move_in(&tiers->cache.doors[cpu], stack, tp_list_pop(list));
			if (room > 1) {
				room--;
				surplus++;
			} else {
				held++;
			}
		}
		tp_cpucache_room_set(stack, room);
		tp_cpucache_publish(&tiers->cache, cpu);
	}
	tp_tiers_unlease(tiers, tier, surplus);
}

/* ---- get ---- */

static void depot_return(
	struct tp_tiers *tiers, unsigned tier, struct tp_list *list, struct tp_list *victims)
{
	if (!list->head || tp_depot_push(&tiers->tier[tier].depot, list))
		return;
	for (tierpool_buf *b; (b = tp_list_pop(list));)
		tp_list_push(victims, b);
}

static tierpool_buf *depot_take(
	struct tp_tiers *tiers, unsigned tier, enum tp_depot_age age, struct tp_list *victims)
{
	unsigned limit = tp_load_relaxed(&tiers->tier[tier].limit);
	size_t batch = age == TP_DEPOT_ANY ? tp_min(limit / 2, BATCH) : 0;
	struct tp_list list = {NULL, 0};
	tierpool_buf *b;

	tp_depot_pop(&tiers->tier[tier].depot, 1 + batch, age, &list);
	b = tp_list_pop(&list);
	if (b) {
		stack_refill(tiers, tier, &list);
		depot_return(tiers, tier, &list, victims);
	}
	return b;
}

static tierpool_buf *steal(struct tp_tiers *tiers, unsigned tier)
{
	unsigned count = tiers->cache.count;
	unsigned cpu = tp_percpu_current(count);

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count; i++) {
		tierpool_buf *b;

		cpu = cpu + 1 == count ? 0 : cpu + 1;
		b = tp_word_depth(tp_cpucache_word(&tiers->cache, cpu, tiers->at[tier]))
			    ? stack_take(tiers, cpu, tier)
			    : NULL;
		if (b)
			return b;
	}
	return NULL;
}

tierpool_buf *tp_idle_take(struct tp_tiers *tiers, unsigned tier, struct tp_list *victims)
{
	unsigned cpu = tp_percpu_current(tiers->cache.count);
	tierpool_buf *b = tp_tiers_holds(tiers, cpu, tier) ? stack_take(tiers, cpu, tier) : NULL;

	if (!b)
		b = depot_take(tiers, tier, TP_DEPOT_ANY, victims);
	if (!b && tiers->sizes->size[tier] >= STEAL_FROM)
		b = steal(tiers, tier);
	if (!b && tier + 1 < tiers->sizes->count)
		b = depot_take(tiers, tier + 1, TP_DEPOT_AGED, victims);
	return b;
}

/* ---- put ---- */

static size_t room_give_up(struct tp_tiers *tiers, uint64_t *slab, unsigned tier)
{
	uint64_t *stack = slab + tiers->at[tier];
	unsigned room = tp_word_room(*stack);

	tp_cpucache_room_set(stack, 0);
	tp_tiers_unlease(tiers, tier, room);
	return room * tiers->tier[tier].cost;
}

/* Gives up a CPU's room, of the larger tiers first, until wanted bytes are free. */
static void room_reclaim(struct tp_tiers *tiers, unsigned cpu, size_t wanted)
{
	uint64_t *slab = tp_cpucache_stop(&tiers->cache, cpu);
	size_t freed = 0;

	for (unsigned tier = tiers->sizes->count; slab && tier-- && freed < wanted;)
		freed += room_give_up(tiers, slab, tier);
	tp_cpucache_publish(&tiers->cache, cpu);
}

/* Gives up the room of one tier on all CPUs: where max_idle stands against it, only that helps. */
static void room_reclaim_of(struct tp_tiers *tiers, unsigned tier)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++) {
		uint64_t *slab = tp_cpucache_stop(&tiers->cache, cpu);

		if (slab)
			room_give_up(tiers, slab, tier);
		tp_cpucache_publish(&tiers->cache, cpu);
	}
}

void tp_idle_room_drop(struct tp_tiers *tiers)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++)
		room_reclaim(tiers, cpu, SIZE_MAX);
}

/* Whether a millisecond has passed since all CPUs were last asked for room; if so, it has not. */
static bool room_look_due(struct tp_tiers *tiers)
{
	struct timespec now;
	uint64_t looked = tp_load_relaxed(&tiers->room_looked);
	uint64_t ms;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return ms != looked && tp_cas_relaxed(&tiers->room_looked, &looked, ms);
}

static enum tp_kept lease_or_reclaim(struct tp_tiers *tiers, unsigned tier)
{
	enum tp_kept result = tp_tiers_lease(tiers, tier, 1);

	/* Nothing that could be given up would make room for what is above the whole bound. */
	if (result == TP_KEPT || !tp_tiers_may_fit(tiers, tier))
		return result;
	if (result == TP_NO_BYTES) {
		room_reclaim(tiers, tp_percpu_current(tiers->cache.count), tiers->tier[tier].cost);
		result = tp_tiers_lease(tiers, tier, 1);
	}
	if (result == TP_KEPT || !room_look_due(tiers))
		return result;
	if (result == TP_NO_COUNT)
		room_reclaim_of(tiers, tier);
	else
		tp_idle_room_drop(tiers);
	return tp_tiers_lease(tiers, tier, 1);
}

enum tp_kept tp_idle_keep(struct tp_tiers *tiers, tierpool_buf *b, struct tp_list *victims)
{
	unsigned tier = b->tp_tier;
	struct tp_list list = {NULL, 0};
	enum tp_kept result;

	if (tp_load_relaxed(&tiers->tier[tier].limit) && stack_keep(tiers, tier, b, &list)) {
		depot_return(tiers, tier, &list, victims);
		return TP_KEPT;
	}
	depot_return(tiers, tier, &list, victims);
	result = lease_or_reclaim(tiers, tier);
	if (result != TP_KEPT)
		return result;
	tp_list_push(&list, b);
	if (tp_depot_push(&tiers->tier[tier].depot, &list))
		return TP_KEPT;
	tp_tiers_unlease(tiers, tier, 1);
	return TP_CLOSED;
}

/* ---- what goes ---- */

/* Up to n buffers of a CPU's stack, oldest first, to victims, with their leases. */
static size_t stack_strip(struct tp_tiers *tiers, unsigned cpu, unsigned tier, size_t n,
	enum tp_depot_age age, struct tp_list *victims)
{
	uint64_t *stack;
	size_t moved = 0;

	if (!n || !tp_tiers_holds(tiers, cpu, tier))
		return 0;
	stack = tp_tiers_stop(tiers, cpu, tier);
	if (!stack)
		return 0;
	for (; moved < n && tp_word_depth(*stack); moved++) {
		/* The bottom of a stack is what lay untouched the longest. */
		if (age == TP_DEPOT_AGED && !tp_control_age((tierpool_buf *)(uintptr_t)stack[1]))
			break;
		tp_list_push(victims, tp_cpucache_move_out(&tiers->cache.doors[cpu], stack, 1));
	}
	tp_cpucache_publish(&tiers->cache, cpu);
	return moved;
}

/* Up to n buffers of a tier from wherever they lie. */
static size_t tier_strip(struct tp_tiers *tiers, unsigned tier, size_t n, enum tp_depot_age age,
	struct tp_list *victims)
{
	size_t before = victims->count, end = before + n;
	unsigned cpu = tp_percpu_current(tiers->cache.count);
	size_t seen;

	/* A few at a time, so that gets and puts find the depot's lock free in between. */
	do {
		seen = victims->count;
		tp_depot_pop(&tiers->tier[tier].depot, tp_min(end - seen, STRIP), age, victims);
	} while (victims->count != seen && victims->count < end);
	for (unsigned i = 0; i < tiers->cache.count && victims->count < end; i++) {
		stack_strip(tiers, cpu, tier, end - victims->count, age, victims);
		cpu = cpu + 1 == tiers->cache.count ? 0 : cpu + 1;
	}
	return victims->count - before;
}

tierpool_buf *tp_idle_evict(struct tp_tiers *tiers, unsigned tier)
{
	struct tp_list victim = {NULL, 0};

	if (!tp_tiers_may_fit(tiers, tier))
		return NULL;
	for (int pass = 0; pass < 2; pass++)
		for (unsigned larger = tiers->sizes->count - 1; larger > tier; larger--)
			if (tier_strip(
				    tiers, larger, 1, pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, &victim))
				return victim.head;
	return NULL;
}

void tp_idle_strip(struct tp_tiers *tiers, size_t excess, struct tp_list *victims)
{
	size_t found = 0;

	for (int pass = 0; pass < 2; pass++)
		for (unsigned tier = tiers->sizes->count; tier-- && found < excess;) {
			size_t cost = tiers->tier[tier].cost;
			size_t n = (excess - found) / cost + ((excess - found) % cost != 0);

			found += cost * tier_strip(tiers, tier, n,
						pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, victims);
		}
}

/* Buffers of age 1 go, those of age 0 are of age 1 now, and half of the room goes. */
static void stack_age(struct tp_tiers *tiers, struct tp_door *door, uint64_t *stack, unsigned tier,
	struct tp_list *victims)
{
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

void tp_idle_tick(struct tp_tiers *tiers, struct tp_list *victims)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++) {
		uint64_t *slab = tp_cpucache_stop(&tiers->cache, cpu);

		for (unsigned tier = 0; slab && tier < tiers->sizes->count; tier++)
			stack_age(tiers, &tiers->cache.doors[cpu], slab + tiers->at[tier], tier,
				victims);
		tp_cpucache_publish(&tiers->cache, cpu);
	}
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		struct tp_list old;

		tp_depot_rotate(&tiers->tier[tier].depot, &old);
		for (tierpool_buf *b; (b = tp_list_pop(&old));)
			tp_list_push(victims, b);
	}
}

void tp_idle_close(struct tp_tiers *tiers, struct tp_list *victims)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++) {
		struct tp_door *door = &tiers->cache.doors[cpu];
		uint64_t *slab = tp_cpucache_stop(&tiers->cache, cpu);

		for (unsigned tier = 0; slab && tier < tiers->sizes->count; tier++) {
			uint64_t *stack = slab + tiers->at[tier];

			while (tp_word_depth(*stack))
				tp_list_push(victims,
					tp_cpucache_move_out(door, stack, tp_word_depth(*stack)));
			tp_tiers_unlease(tiers, tier, tp_word_room(*stack));
			tp_cpucache_room_set(stack, 0);
		}
		tp_cpucache_close(&tiers->cache, cpu);
		tp_cpucache_publish(&tiers->cache, cpu);
	}
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		tp_depot_close(&tiers->tier[tier].depot);
		tier_strip(tiers, tier, SIZE_MAX - victims->count, TP_DEPOT_ANY, victims);
	}
}
