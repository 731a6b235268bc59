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

static tierpool_buf *take_from_stack(struct tp_tiers *tiers, unsigned tier)
{
	struct tp_word_change change;
	void *item;

	change = tp_stack_change(&tiers->cpus, tiers->stack_index[tier], take_decide, NULL, &item);
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
static uint64_t take_refill_decide(uint64_t word, const void *context)
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
static void take_refill(struct tp_tiers *tiers, unsigned tier, struct tp_buflist *list)
{
	struct refill with = {.limit = tp_load_relaxed(&tiers->tier[tier].limit)};
	struct tp_word_change change = {0, 0};
	bool owes = tp_decay_owes_here(&tiers->decay);
	void *items[BATCH];
	unsigned in;

	while (with.items < BATCH && list->head) {
		/* What the depot has aged for a tick is not to be aged here for the same one. */
		if (owes)
			tp_bufstate_age_set(list->head, 0);
		items[with.items++] = tp_buflist_pop(list);
	}
	if (with.limit)
		change = tp_stack_change(
			&tiers->cpus, tiers->stack_index[tier], take_refill_decide, &with, items);
	in = tp_word_depth(change.after) - tp_word_depth(change.before);
	for (unsigned i = with.items; i > in; i--)
		tp_buflist_push(list, items[i - 1]);
	tp_tiers_unlease(
		tiers, tier, 1 + in + tp_word_held(change.before) - tp_word_held(change.after));
}

static tierpool_buf *take_from_depot(
	struct tp_tiers *tiers, unsigned tier, enum tp_depot_age age, struct tp_buflist *victims)
{
	unsigned limit = tp_load_relaxed(&tiers->tier[tier].limit);
	size_t batch = age == TP_DEPOT_ANY ? tp_min(limit / 2, BATCH) : 0;
	struct tp_buflist list = {NULL, 0};
	tierpool_buf *b;

	tp_depot_pop(&tiers->tier[tier].depot, 1 + batch, age, &list);
	b = tp_buflist_pop(&list);
	if (b) {
		take_refill(tiers, tier, &list);
		tp_tiers_depot_push(tiers, tier, &list, victims);
	}
	return b;
}

/* The top of another CPU's stack. */
static tierpool_buf *take_steal_from(struct tp_tiers *tiers, unsigned cpu_id, unsigned tier)
{
	struct tp_cpu *cpu = tp_cpus_stop(&tiers->cpus, cpu_id);
	tierpool_buf *b = NULL;
	uint64_t *stack;

	if (!cpu)
		return NULL;
	stack = tp_tiers_stack(tiers, cpu, tier);
	if (tp_word_depth(*stack)) {
		b = tp_stack_move_out(cpu, stack, tp_word_depth(*stack));
		tp_stack_room_set(stack, tp_word_room(*stack) + 1);
	}
	tp_cpu_start(cpu);
	return b;
}

static tierpool_buf *take_steal(struct tp_tiers *tiers, unsigned tier)
{
	unsigned count = tiers->cpus.count;
	unsigned cpu_id = tp_cpu_current(count);

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count; i++) {
		tierpool_buf *b = NULL;

		cpu_id = tp_cpu_next(cpu_id, count);
		if (tp_word_depth(tp_tiers_word(tiers, cpu_id, tier)) &&
			tp_decay_may_stop(&tiers->decay, cpu_id, tp_decay_stop_due(&tiers->decay)))
			b = take_steal_from(tiers, cpu_id, tier);
		if (b)
			return b;
	}
	return NULL;
}

tierpool_buf *tp_idle_take(struct tp_tiers *tiers, unsigned tier, struct tp_buflist *victims)
{
	tierpool_buf *b = take_from_stack(tiers, tier);

	if (!b)
		b = take_from_depot(tiers, tier, TP_DEPOT_ANY, victims);
	if (!b && tiers->sizes->size[tier] >= STEAL_FROM)
		b = take_steal(tiers, tier);
	if (!b && tier + 1 < tiers->sizes->count)
		b = take_from_depot(tiers, tier + 1, TP_DEPOT_AGED, victims);
	return b;
}
