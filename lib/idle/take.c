/* SPDX-License-Identifier: MIT */
/*
 * Takes an idle buffer for a get or a growth: where it is looked for, and what moves along with it
 * from a depot to a stack.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/* Buffers that come along when one is taken from a depot: the next gets do without its lock. */
#define BATCH 16

/* From this size on a get looks on other CPUs; on how many. */
#define STEAL_FROM ((size_t)256 << 10)
#define STEAL_CPUS 4

/* Takes the top of a stack. As in a pop, its lease stays as room for the buffer's return. */
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
	/* An aborted change may have written item, which then is not ours. */
	return change.before != change.after ? item : NULL;
}

/* What a refill may use: the most that the stack may have leased; how many buffers there are. */
struct take_refill {
	unsigned limit, items;
};

/*
 * Fills a stack. The lease of the buffer that the caller keeps becomes room for its return. An item
 * takes room, and its own lease ends; without room, up to the limit, it brings its lease along.
 */
static uint64_t take_refill_decide(uint64_t word, const void *context)
{
	const struct take_refill *refill = context;
	unsigned items = refill->items, held = tp_word_held(word);

	if (held < refill->limit) {
		word += TP_WORD_ROOM;
		held++;
	}
	/* The last room is for the return of the caller's buffer. */
	for (; items && (tp_word_room(word) > 1 || held < refill->limit); items--) {
		word += TP_WORD_DEPTH;
		if (tp_word_room(word) > 1)
			word -= TP_WORD_ROOM;
		else
			held++;
	}
	return word;
}

/* Fills the stack of the caller's CPU from list. What finds no place stays in the list. */
static void take_refill(struct tp_tiers *tiers, unsigned tier, struct tp_buflist *list)
{
	struct take_refill refill = {.limit = tp_load_relaxed(&tiers->tier[tier].limit)};
	struct tp_word_change change = {0, 0};
	bool owes_tick = tp_decay_owes_here(&tiers->decay);
	void *items[BATCH];
	unsigned filled;

	while (refill.items < BATCH && list->head) {
		/* The depot has aged it for the tick that this CPU owes: not twice, see decay.h. */
		if (owes_tick)
			tp_bufstate_age_set(list->head, 0);
		items[refill.items++] = tp_buflist_pop(list);
	}
	if (refill.limit)
		change = tp_stack_change(
			&tiers->cpus, tiers->stack_index[tier], take_refill_decide, &refill, items);
	filled = tp_word_depth(change.after) - tp_word_depth(change.before);
	for (unsigned i = refill.items; i > filled; i--)
		tp_buflist_push(list, items[i - 1]);
	tp_tiers_unlease(
		tiers, tier, 1 + filled + tp_word_held(change.before) - tp_word_held(change.after));
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

/* Takes the top of another CPU's stack. Its lease stays there as room. */
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
