/* SPDX-License-Identifier: MIT */
/*
 * Keeps an item that was put: on the caller's CPU, in room that is leased; and a lease for a place
 * in the depot, if the CPU has no place. The whole ladder of a put is in pool/put.c.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/* CPUs that give up room for a put that finds none: 160 us at worst, once a millisecond. */
#define ROOM_CPUS 16

/* What a change may use: new leases; and the most that the stack may then have leased. */
struct keep_bounds {
	unsigned leases, limit;
};

/* Adds an item: it takes a new lease, and the other new ones become room; else it takes room. */
static uint64_t keep_decide(uint64_t word, const void *context)
{
	const struct keep_bounds *bounds = context;

	if (bounds->leases && tp_word_held(word) + bounds->leases <= bounds->limit)
		return word + TP_WORD_DEPTH + (bounds->leases - 1) * TP_WORD_ROOM;
	return tp_word_room(word) ? word + TP_WORD_PUSH : word;
}

/* Leases for a stack without room: as many as it has items; if the bounds refuse them, one. */
static unsigned keep_leases(struct tp_tiers *tiers, unsigned tier, unsigned depth, unsigned limit)
{
	unsigned more = limit > depth ? (unsigned)tp_min(tp_max(depth, 1), limit - depth) : 0;

	while (more && tp_tiers_lease(tiers, tier, more) != TP_KEPT)
		more = more > 1; /* after several, tries one; after one, none */
	return more;
}

/* Takes the upper half out of a stack that is full. */
static uint64_t keep_flush_decide(uint64_t word, const void *context)
{
	const unsigned *limit = context;
	unsigned depth = tp_word_depth(word);

	return depth < *limit ? word : word - (depth + 1) / 2 * TP_WORD_DEPTH;
}

/*
 * Moves the upper half of a full stack, with its leases, to the depot: a batch, one commit, one
 * lock. Old items lie below the young ones, but for what a refill put there after a migration.
 */
static void keep_flush(struct tp_tiers *tiers, unsigned tier, unsigned limit)
{
	unsigned n, old = 0;
	void *items[TP_STACK_BATCH];
	uint8_t ages[TP_STACK_BATCH] = {0};
	struct tp_word_change change = tp_stack_change(&tiers->cpus, tier, keep_flush_decide,
		&limit, items, tiers->aged_slots ? ages : NULL);

	n = tp_word_depth(change.before) - tp_word_depth(change.after);
	while (old < n && (tiers->aged_slots ? ages[old] : tp_bufstate_age(items[old])))
		old++;
	tp_tiers_depot_push(tiers, tier, TP_OLD, items, old);
	tp_tiers_depot_push(tiers, tier, TP_YOUNG, items + old, n - old);
}

bool tp_idle_keep_in_stack(struct tp_tiers *tiers, unsigned tier, void *item)
{
	struct keep_bounds bounds = {.limit = tp_load_relaxed(&tiers->tier[tier].limit)};
	struct tp_word_change change;
	uint64_t word;
	unsigned depth;
	uint8_t young = 0;
	bool full;

	if (!bounds.limit)
		return false;
	tp_tiers_slab_create(tiers);
	word = tp_tiers_word(tiers, tp_cpu_current(tiers->cpus.count), tier);
	depth = tp_word_depth(word);
	full = depth >= bounds.limit;
	bounds.leases = keep_leases(tiers, tier, full ? depth / 2 : depth, bounds.limit);
	if (!bounds.leases && !tp_word_room(word))
		return false;
	if (full)
		keep_flush(tiers, tier, bounds.limit);
	change = tp_stack_change(
		&tiers->cpus, tier, keep_decide, &bounds, &item, tiers->aged_slots ? &young : NULL);
	tp_tiers_unlease(tiers, tier,
		bounds.leases + tp_word_held(change.before) - tp_word_held(change.after));
	return change.before != change.after;
}

/* ---- room that is not used ---- */

static uint64_t keep_no_room_decide(uint64_t word, const void *unused)
{
	(void)unused;
	return word - tp_word_room(word) * TP_WORD_ROOM;
}

/* The first tier of from ... to - 1 in which a CPU has room; to: none, or the CPU is stopped. */
static unsigned keep_room_find(
	const struct tp_tiers *tiers, unsigned cpu_id, unsigned from, unsigned to)
{
	const uint64_t *slab = tp_load_acquire(&tiers->cpus.visible[cpu_id]); /* as tp_stack_word */

	while (from < to && !tp_word_room(tp_load_relaxed(&slab[tiers->stack_index[from]])))
		from++;
	return from;
}

/* Gives up the room of the caller's CPU in the tiers from ... to - 1. False: there was none. */
static bool keep_own_room_drop(struct tp_tiers *tiers, unsigned from, unsigned to)
{
	unsigned cpu_id = tp_cpu_current(tiers->cpus.count), tier = from, dropped = 0;

	for (; (tier = keep_room_find(tiers, cpu_id, tier, to)) < to; tier++) {
		struct tp_word_change change =
			tp_stack_change(&tiers->cpus, tier, keep_no_room_decide, NULL, NULL, NULL);
		unsigned room = tp_word_room(change.before) - tp_word_room(change.after);

		tp_tiers_unlease(tiers, tier, room);
		dropped += room;
	}
	return dropped;
}

void tp_idle_room_drop(struct tp_tiers *tiers, unsigned from, unsigned to, unsigned cpus)
{
	for (unsigned i = 0; i < tiers->cpus.count && cpus; i++) {
		unsigned cpu_id = tp_tiers_next_cpu(tiers);
		struct tp_cpu *cpu = keep_room_find(tiers, cpu_id, from, to) < to
					     ? tp_cpus_try_stop(&tiers->cpus, cpu_id)
					     : NULL;

		if (!cpu)
			continue;
		cpus--;
		for (unsigned tier = from; tier < to; tier++)
			tp_tiers_room_set(tiers, cpu, tier, 0);
		tp_cpu_start(cpu);
	}
}

enum tp_kept tp_idle_lease(struct tp_tiers *tiers, unsigned tier)
{
	enum tp_kept result = tp_tiers_lease(tiers, tier, 1);
	unsigned from = 0, to = tiers->count;

	/* An item that is larger than the whole bound fits in no case. */
	if (result == TP_KEPT || !tp_tiers_may_fit(tiers, tier))
		return result;
	/* If max_idle refused the lease, only room of this tier helps. */
	if (result == TP_NO_COUNT) {
		from = tier;
		to = tier + 1;
	}
	if (keep_own_room_drop(tiers, from, to))
		result = tp_tiers_lease(tiers, tier, 1);
	if (result == TP_KEPT || !tp_decay_stop_due(&tiers->decay))
		return result;
	tp_idle_room_drop(tiers, from, to, ROOM_CPUS);
	return tp_tiers_lease(tiers, tier, 1);
}
