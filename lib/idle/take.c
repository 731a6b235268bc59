/* SPDX-License-Identifier: MIT */
/*
 * Takes an idle buffer for a get or a growth: where it is looked for, in which order.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/* Buffers that come along when one is taken from a depot, to spare its lock the next times. */
#define BATCH 16

/* From here on an idle buffer on another CPU is worth looking for, on so many CPUs. */
#define STEAL_FROM ((size_t)256 << 10)
#define STEAL_CPUS 4

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

	change = tp_cpucache_change(&tiers->doors, tiers->at[tier], take_decide, NULL, &item);
	/* Where the change was aborted, item may be what it found on its way, which is not ours. */
	return change.before != change.after ? item : NULL;
}

/* What a refill may use: so many leases in all; pointers waiting. */
struct refill {
	unsigned limit, items;
};

/*
 * A refill: the lease of one more buffer, which the caller keeps, becomes room for its return. An
 * item takes room that is there, and its own lease ends; where none is, it brings its lease along,
 * up to the limit.
 */
static uint64_t refill_decide(uint64_t word, const void *context)
{
	const struct refill *with = context;
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
	struct refill with = {.limit = tp_load_relaxed(&tiers->tier[tier].limit)};
	struct tp_change change = {0, 0};
	bool owes = tp_decay_owes_here(&tiers->decay);
	void *items[BATCH];
	unsigned in;

	while (with.items < BATCH && list->head) {
		/* What the depot has aged for a tick is not to be aged here for the same one. */
		if (owes)
			tp_control_age_set(list->head, 0);
		items[with.items++] = tp_list_pop(list);
	}
	if (with.limit)
		change = tp_cpucache_change(
			&tiers->doors, tiers->at[tier], refill_decide, &with, items);
	in = tp_word_depth(change.after) - tp_word_depth(change.before);
	for (unsigned i = with.items; i > in; i--)
		tp_list_push(list, items[i - 1]);
	tp_tiers_unlease(
		tiers, tier, 1 + in + tp_word_held(change.before) - tp_word_held(change.after));
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
		tp_tiers_depot_push(tiers, tier, &list, victims);
	}
	return b;
}

/* The top of another CPU's stack. */
static tierpool_buf *stack_steal(struct tp_tiers *tiers, unsigned cpu, unsigned tier)
{
	struct tp_door *door = tp_doors_stop(&tiers->doors, cpu);
	tierpool_buf *b = NULL;
	uint64_t *stack;

	if (!door)
		return NULL;
	stack = tp_tiers_stack(tiers, door, tier);
	if (tp_word_depth(*stack)) {
		b = tp_cpucache_move_out(door, stack, tp_word_depth(*stack));
		tp_cpucache_room_set(stack, tp_word_room(*stack) + 1);
	}
	tp_door_publish(door);
	return b;
}

static tierpool_buf *steal(struct tp_tiers *tiers, unsigned tier)
{
	unsigned count = tiers->doors.count;
	unsigned cpu = tp_percpu_current(count);

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count; i++) {
		tierpool_buf *b = NULL;

		cpu = tp_percpu_next(cpu, count);
		if (tp_word_depth(tp_tiers_word(tiers, cpu, tier)) &&
			tp_decay_may_stop(&tiers->decay, cpu, tp_decay_stop_due(&tiers->decay)))
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
