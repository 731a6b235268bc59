/* SPDX-License-Identifier: MIT */
#include "idle.h"

#include "atomic.h"
#include "control.h"

/* Buffers that come along when one is taken from a depot, to spare its lock the next times. */
#define BATCH 16

/* Buffers that leave a depot under one hold of its lock. */
#define STRIP 64

/* From here on an idle buffer on another CPU is worth looking for, on so many CPUs. */
#define STEAL_FROM ((size_t)256 << 10)
#define STEAL_CPUS 4

/* Pops and pushes since the last tick from which on a CPU counts as hard at work. */
#define BUSY 4096

/* ---- the caller's CPU ---- */

/* The top of a stack. As in a pop, the lease stays behind as room for the buffer's return. */
static uint64_t take_decide(uint64_t word, const void *unused)
{
	(void)unused;
	return tp_word_depth(word) ? word - TP_WORD_DEPTH + TP_WORD_ROOM : word;
}

static tierpool_buf *stack_take(struct tp_tiers *tiers, unsigned tier)
{
	struct tp_change change;
	void *item;

	change = tp_cpucache_change(&tiers->cache, tiers->at[tier], take_decide, NULL, &item);
	return change.before != change.after ? item : NULL;
}

/* What a change may use: leases of so many buffers more, up to so many in all; pointers waiting. */
struct means {
	unsigned leases, limit, items;
};

/* One buffer into the stack: with new leases, of which the rest becomes room, or into room. */
static uint64_t keep_decide(uint64_t word, const void *context)
{
	const struct means *with = context;

	if (with->leases && tp_word_held(word) + with->leases <= with->limit)
		return word + TP_WORD_DEPTH + (with->leases - 1) * TP_WORD_ROOM;
	return tp_word_room(word) ? word + TP_WORD_DEPTH - TP_WORD_ROOM : word;
}

/* Leases for a stack without room: as many as it has buffers, or one, as limit and bounds allow. */
static unsigned leases_for(struct tp_tiers *tiers, unsigned tier, unsigned depth, unsigned limit)
{
	unsigned more = limit > depth ? (unsigned)tp_min(tp_max(depth, 1), limit - depth) : 0;

	while (more && tp_tiers_lease(tiers, tier, more) != TP_KEPT)
		more = more > 1; /* when not doubled then one more, and when not one then none */
	return more;
}

/* The older half of a full stack, with its leases: to go where a whole batch costs one lock. */
static void stack_flush(struct tp_tiers *tiers, unsigned tier, struct tp_list *flushed)
{
	struct tp_door *door = tp_cpucache_stop_own(&tiers->cache);
	uint64_t *stack;

	if (!door)
		return;
	stack = tp_tiers_stack(tiers, door, tier);
	/* From the newer end of it, so that the newest comes to lie on top of the depot again. */
	for (unsigned slot = (tp_word_depth(*stack) + 1) / 2; slot; slot--)
		tp_list_push(flushed, tp_cpucache_move_out(door, stack, slot));
	tp_cpucache_publish(door);
}

/* Keeps b on the caller's CPU; a full stack makes place for it. */
static bool stack_keep(
	struct tp_tiers *tiers, unsigned tier, tierpool_buf *b, struct tp_list *flushed)
{
	struct means with = {.limit = tp_load_relaxed(&tiers->tier[tier].limit)};
	unsigned at = tiers->at[tier], depth;
	struct tp_change change;
	void *item = b;

	change = tp_cpucache_change(&tiers->cache, at, keep_decide, &with, &item);
	if (change.before != change.after)
		return true;
	tp_tiers_slab_create(tiers);
	if (tp_word_depth(change.before) >= with.limit)
		stack_flush(tiers, tier, flushed);
	depth = tp_word_depth(tp_tiers_word(tiers, tp_percpu_current(tiers->cache.count), tier));
	with.leases = leases_for(tiers, tier, depth, with.limit);
	change = tp_cpucache_change(&tiers->cache, at, keep_decide, &with, &item);
	tp_tiers_unlease(tiers, tier,
		with.leases + tp_word_held(change.before) - tp_word_held(change.after));
	return change.before != change.after;
}

/*
 * A refill: the lease of one more buffer, which the caller keeps, becomes room for its return. An item
 * takes room that is there, and its own lease ends; where none is, it brings its lease along, up to
 * the limit.
 */
static uint64_t refill_decide(uint64_t word, const void *context)
{
	const struct means *with = context;
	unsigned items = with->items, held = tp_word_held(word);

	if (held < with->limit) {
		word += TP_WORD_ROOM;
		held++;
	}
	/* The last of the room is for the return of the caller's. */
	for (; items && (tp_word_room(word) > 1 || held < with->limit); items--) {
		word += TP_WORD_DEPTH;
		if (tp_word_room(word) > 1)
			word -= TP_WORD_ROOM;
		else
			held++;
	}
	return word;
}

/* Fills the caller's CPU's stack from list. What finds no place stays in the list. */
static void stack_refill(struct tp_tiers *tiers, unsigned tier, struct tp_list *list)
{
	struct means with = {.limit = tp_load_relaxed(&tiers->tier[tier].limit)};
	struct tp_change change = {0, 0};
	void *items[BATCH];
	unsigned in;

	while (with.items < BATCH && list->head)
		items[with.items++] = tp_list_pop(list);
	if (with.limit)
		change = tp_cpucache_change(
			&tiers->cache, tiers->at[tier], refill_decide, &with, items);
	in = tp_word_depth(change.after) - tp_word_depth(change.before);
	for (unsigned i = with.items; i > in; i--)
		tp_list_push(list, items[i - 1]);
	tp_tiers_unlease(
		tiers, tier, 1 + in + tp_word_held(change.before) - tp_word_held(change.after));
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

/* The top of another CPU's stack. */
static tierpool_buf *stack_steal(struct tp_tiers *tiers, unsigned cpu, unsigned tier)
{
	struct tp_door *door = tp_cpucache_stop(&tiers->cache, cpu);
	tierpool_buf *b = NULL;
	uint64_t *stack;

	if (!door)
		return NULL;
	stack = tp_tiers_stack(tiers, door, tier);
	if (tp_word_depth(*stack)) {
		b = tp_cpucache_move_out(door, stack, tp_word_depth(*stack));
		tp_cpucache_room_set(stack, tp_word_room(*stack) + 1);
	}
	tp_cpucache_publish(door);
	return b;
}

static tierpool_buf *steal(struct tp_tiers *tiers, unsigned tier)
{
	unsigned count = tiers->cache.count;
	unsigned cpu = tp_percpu_current(count);

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count; i++) {
		tierpool_buf *b = NULL;

		cpu = cpu + 1 == count ? 0 : cpu + 1;
		if (tp_word_depth(tp_tiers_word(tiers, cpu, tier)) &&
			tp_tiers_may_stop(tiers, cpu, tp_tiers_stop_due(tiers)))
			b = stack_steal(tiers, cpu, tier);
		if (b)
			return b;
	}
	return NULL;
}

tierpool_buf *tp_idle_take(struct tp_tiers *tiers, unsigned tier, struct tp_list *victims)
{
	tierpool_buf *b = stack_take(tiers, tier);

	if (!b)
		b = depot_take(tiers, tier, TP_DEPOT_ANY, victims);
	if (!b && tiers->sizes->size[tier] >= STEAL_FROM)
		b = steal(tiers, tier);
	if (!b && tier + 1 < tiers->sizes->count)
		b = depot_take(tiers, tier + 1, TP_DEPOT_AGED, victims);
	return b;
}

/* ---- put ---- */

static size_t room_give_up(struct tp_tiers *tiers, struct tp_door *door, unsigned tier)
{
	uint64_t *stack = tp_tiers_stack(tiers, door, tier);
	unsigned room = tp_word_room(*stack);

	tp_cpucache_room_set(stack, 0);
	tp_tiers_unlease(tiers, tier, room);
	return room * tiers->tier[tier].cost;
}

/* Gives up a stopped CPU's room, of the larger tiers first, until wanted bytes are free. */
static void room_reclaim(struct tp_tiers *tiers, struct tp_door *door, size_t wanted)
{
	size_t freed = 0;

	for (unsigned tier = tiers->sizes->count; tier-- && freed < wanted;)
		freed += room_give_up(tiers, door, tier);
}

static bool has_room(const struct tp_tiers *tiers, unsigned cpu)
{
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		if (tp_word_room(tp_tiers_word(tiers, cpu, tier)))
			return true;
	return false;
}

/* Gives up the room of one tier on all CPUs: where max_idle stands against it, only that helps. */
static void room_reclaim_of(struct tp_tiers *tiers, unsigned tier)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++) {
		struct tp_door *door = tp_word_room(tp_tiers_word(tiers, cpu, tier))
					       ? tp_cpucache_stop(&tiers->cache, cpu)
					       : NULL;

		if (!door)
			continue;
		room_give_up(tiers, door, tier);
		tp_cpucache_publish(door);
	}
}

void tp_idle_room_drop(struct tp_tiers *tiers)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++) {
		struct tp_door *door =
			has_room(tiers, cpu) ? tp_cpucache_stop(&tiers->cache, cpu) : NULL;

		if (!door)
			continue;
		room_reclaim(tiers, door, SIZE_MAX);
		tp_cpucache_publish(door);
	}
}

static enum tp_kept lease_or_reclaim(struct tp_tiers *tiers, unsigned tier)
{
	enum tp_kept result = tp_tiers_lease(tiers, tier, 1);

	/* Nothing that could be given up would make room for what is above the whole bound. */
	if (result == TP_KEPT || !tp_tiers_may_fit(tiers, tier))
		return result;
	if (result == TP_NO_BYTES) {
		struct tp_door *door = tp_cpucache_stop_own(&tiers->cache);

		if (door) {
			room_reclaim(tiers, door, tiers->tier[tier].cost);
			tp_cpucache_publish(door);
			result = tp_tiers_lease(tiers, tier, 1);
		}
	}
	if (result == TP_KEPT || !tp_tiers_stop_due(tiers))
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
			door = tp_cpucache_stop(&tiers->cache, cpu);
		if (!door)
			return false;
		found = stack_strip(tiers, door, larger, 1, age, victim);
	}
	if (door)
		tp_cpucache_publish(door);
	return found;
}

static bool evict(struct tp_tiers *tiers, unsigned tier, enum tp_depot_age age, bool due,
	struct tp_list *victim)
{
	unsigned cpu = tp_percpu_current(tiers->cache.count);

	for (unsigned larger = tiers->sizes->count - 1; larger > tier; larger--)
		if (depot_strip(tiers, larger, 1, age, victim))
			return true;
	for (unsigned i = 0; i < tiers->cache.count; i++) {
		if ((!i || tp_tiers_may_stop(tiers, cpu, due)) &&
			cpu_evict(tiers, cpu, tier, age, victim))
			return true;
		cpu = cpu + 1 == tiers->cache.count ? 0 : cpu + 1;
	}
	return false;
}

tierpool_buf *tp_idle_evict(struct tp_tiers *tiers, unsigned tier)
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

	for (unsigned cpu = 0; cpu < tiers->cache.count && moved < n; cpu++) {
		struct tp_door *door = &tiers->cache.doors[cpu];

		if (tp_cpucache_is_stopped(door))
			moved += stack_strip(tiers, door, tier, n - moved, age, victims);
	}
	return moved;
}

static void room_drop_stopped(struct tp_tiers *tiers)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++)
		if (tp_cpucache_is_stopped(&tiers->cache.doors[cpu]))
			room_reclaim(tiers, &tiers->cache.doors[cpu], SIZE_MAX);
}

void tp_idle_strip(struct tp_tiers *tiers, size_t excess, struct tp_list *victims)
{
	size_t found = 0;

	tp_cpucache_stop_all(&tiers->cache);
	room_drop_stopped(tiers);
	for (int pass = 0; pass < 2; pass++)
		for (unsigned tier = tiers->sizes->count; tier-- && found < excess;) {
			size_t cost = tiers->tier[tier].cost;
			size_t n = (excess - found) / cost + ((excess - found) % cost != 0);

			found += cost * tier_strip(tiers, tier, n,
						pass ? TP_DEPOT_ANY : TP_DEPOT_AGED, victims);
		}
	tp_cpucache_publish_all(&tiers->cache);
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

void tp_idle_age_own(struct tp_tiers *tiers, struct tp_list *victims)
{
	unsigned cpu = tp_percpu_current(tiers->cache.count);
	struct tp_door *door;

	if (tp_likely(!tp_load_relaxed(&tiers->cache.doors[cpu].age_due)))
		return;
	door = tp_cpucache_stop_own(&tiers->cache);
	if (!door)
		return;
	/* Of the CPU that was stopped, which may be another one. Acquire: once for each tick. */
	if (tp_exchange_acquire(&door->age_due, 0u))
		cpu_age(tiers, door, 1, victims);
	tp_cpucache_publish(door);
}

/*
 * The part of a tick that is a CPU's. One that is hard at work is not fenced, which would cost it more
 * than its own ageing does: it is told to do that itself, at its next strike or slow call. If it has
 * not by the next tick it is fenced after all. One that has not moved since it was told has not touched
 * a buffer since, and so owes both ticks.
 */
static void cpu_tick(struct tp_tiers *tiers, unsigned cpu, struct tp_list *victims)
{
	struct tp_door *door = &tiers->cache.doors[cpu];
	struct tp_cpucache_counts counts =
		tp_cpucache_count_on(&tiers->cache, cpu, tiers->at, tiers->sizes->count);
	/* Relaxed: two ticks at once age what they find, and differ in who found it busy. */
	uint64_t now = (uint64_t)(counts.pops + counts.pushes);
	uint64_t moved = now - tp_exchange_relaxed(&door->ticked, now);
	bool told = tp_load_relaxed(&door->age_due);

	if (tp_percpu_rseq && moved >= BUSY && !told && cpu != tp_percpu_id()) {
		tp_store_relaxed(&door->age_due, 1u);
		return;
	}
	door = tp_cpucache_stop(&tiers->cache, cpu);
	if (!door)
		return;
	told = tp_exchange_acquire(&door->age_due, 0u);
	cpu_age(tiers, door, told && !moved ? 2 : 1, victims);
	tp_cpucache_publish(door);
}

void tp_idle_tick(struct tp_tiers *tiers, struct tp_list *victims)
{
	for (unsigned cpu = 0; cpu < tiers->cache.count; cpu++)
		cpu_tick(tiers, cpu, victims);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		struct tp_list old;

		tp_depot_rotate(&tiers->tier[tier].depot, &old);
		for (tierpool_buf *b; (b = tp_list_pop(&old));)
			tp_list_push(victims, b);
	}
}

void tp_idle_close(struct tp_tiers *tiers, struct tp_list *victims)
{
	tp_cpucache_stop_all(&tiers->cache);
	room_drop_stopped(tiers);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++) {
		tp_depot_close(&tiers->tier[tier].depot);
		tier_strip(tiers, tier, SIZE_MAX - victims->count, TP_DEPOT_ANY, victims);
	}
	tp_cpucache_close_all(&tiers->cache);
	tp_cpucache_publish_all(&tiers->cache);
}
