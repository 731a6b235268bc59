/* SPDX-License-Identifier: MIT */
/*
 * Takes an idle item for a get or a growth: where it is looked for, and what moves along with it
 * from a depot to a stack.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/* Items that come along when one is taken from a depot: the next gets do without its lock. */
#define BATCH 32

/* Other CPUs that are looked at. */
#define STEAL_CPUS 4

/* What a refill may use: the most that the stack may have leased; how many items there are. */
struct take_refill {
	unsigned limit, items;
};

/*
 * Fills a stack. The lease of the item that the caller keeps becomes room for its return. Each other
 * item uses room if there is some: then its own lease ends. Without room it brings its lease along,
 * up to the limit.
 */
static uint64_t take_refill_decide(uint64_t word, const void *context)
{
	const struct take_refill *refill = context;
	unsigned items = refill->items, held = tp_word_held(word);

	if (held < refill->limit) {
		word += TP_WORD_ROOM;
		held++;
	}
	/* The last room is for the return of the caller's item. */
	for (; items && (tp_word_room(word) > 1 || held < refill->limit); items--) {
		word += TP_WORD_DEPTH;
		if (tp_word_room(word) > 1)
			word -= TP_WORD_ROOM;
		else
			held++;
	}
	return word;
}

/*
 * Fills the stack of the caller's CPU with n items of one generation, which come from the depot
 * with their leases, as does the one that the caller has taken. What finds no place goes back.
 */
static void take_refill(struct tp_tiers *tiers, unsigned tier, void **items, unsigned n,
	enum tp_generation generation)
{
	struct take_refill refill = {tp_load_relaxed(&tiers->tier[tier].limit), n};
	unsigned filled;
	/* 0 if a CPU still owes the tick for which the depot has aged them (decay.h). */
	uint8_t age = generation != TP_YOUNG && !tp_decay_makes_young(&tiers->decay);
	struct tp_word_change change = {0, 0};

	/* The header of a young one says 0 already. */
	for (unsigned i = 0; i < n && generation != TP_YOUNG && !tiers->aged_slots; i++)
		tp_bufstate_age_set(items[i], age);
	if (refill.limit) {
		tp_tiers_slab_create(tiers);
		change = tp_stack_change(&tiers->cpus, tier, take_refill_decide, &refill, items,
			tiers->aged_slots ? &age : NULL);
	}
	filled = tp_word_depth(change.after) - tp_word_depth(change.before);
	tp_tiers_unlease(
		tiers, tier, 1 + filled + tp_word_held(change.before) - tp_word_held(change.after));
	tp_tiers_depot_push(tiers, tier, generation, items + filled, n - filled);
}

static void *take_from_depot(struct tp_tiers *tiers, unsigned tier, enum tp_generation youngest)
{
	unsigned limit = tp_load_relaxed(&tiers->tier[tier].limit);
	size_t batch = youngest == TP_YOUNG ? tp_min(limit / 2, BATCH) : 0;
	enum tp_generation generation;
	void *items[1 + BATCH];
	size_t n = tp_depot_pop(&tiers->tier[tier].depot, youngest, items, 1 + batch, &generation);

	if (!n)
		return NULL;
	take_refill(tiers, tier, items, (unsigned)n - 1, generation);
	return items[n - 1];
}

/* Takes the top of another CPU's stack. Its lease stays there as room. */
static void *take_steal_from(struct tp_tiers *tiers, unsigned cpu_id, unsigned tier)
{
	struct tp_cpu *cpu = tp_cpus_try_stop(&tiers->cpus, cpu_id);
	void *item = NULL;
	uint64_t word;

	if (!cpu)
		return NULL;
	word = cpu->slab[tiers->stack_index[tier]];
	if (tp_word_depth(word)) {
		tp_stack_take_out(
			&tiers->cpus, cpu, tier, tp_word_depth(word), 1, &item, tiers->aged_slots);
		tp_stack_room_set(&tiers->cpus, cpu, tier, tp_word_room(word) + 1);
	}
	tp_cpu_start(cpu);
	return item;
}

static void *take_steal(struct tp_tiers *tiers, unsigned tier)
{
	unsigned count = tiers->cpus.count;
	unsigned cpu_id = tp_cpu_current(count);

	for (unsigned i = 0; i < STEAL_CPUS && i + 1 < count; i++) {
		void *item = NULL;

		cpu_id = tp_cpu_next(cpu_id, count);
		if (tp_tiers_depth(tiers, cpu_id, tier) && tp_decay_may_stop(&tiers->decay, cpu_id))
			item = take_steal_from(tiers, cpu_id, tier);
		if (item)
			return item;
	}
	return NULL;
}

void *tp_idle_take(struct tp_tiers *tiers, unsigned tier, enum tp_found *found)
{
	void *item = take_from_depot(tiers, tier, TP_YOUNG);

	*found = TP_FOUND_IN_DEPOT;
	if (!item && tiers->tier[tier].steal) {
		*found = TP_FOUND_ON_OTHER_CPU;
		item = take_steal(tiers, tier);
	}
	/* Not if it is young: else two tiers would drain each other. */
	if (!item && tier + 1 < tiers->count) {
		*found = TP_FOUND_LARGER;
		item = take_from_depot(tiers, tier + 1, TP_OLD);
	}
	return item;
}
