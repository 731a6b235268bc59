/* SPDX-License-Identifier: MIT */
/*
 * Keeps a buffer that was put: on the caller's CPU, in room or with a new lease; else in the depot,
 * with a lease. If that is refused, the caller's CPU gives up room, and then others do.
 */
#include "idle/idle.h"

#include "base/atomic.h"

/* CPUs that give up room for a put that finds none: 160 us at worst, once a millisecond. */
#define ROOM_CPUS 16

/* What a change may use: new leases; and the most that the stack may then have leased. */
struct keep_bounds {
	unsigned leases, limit;
};

/* Adds a buffer: it takes a new lease, and the other new ones become room; else it takes room. */
static uint64_t keep_decide(uint64_t word, const void *context)
{
	const struct keep_bounds *bounds = context;

	if (bounds->leases && tp_word_held(word) + bounds->leases <= bounds->limit)
		return word + TP_WORD_DEPTH + (bounds->leases - 1) * TP_WORD_ROOM;
	return tp_word_room(word) ? word + TP_WORD_DEPTH - TP_WORD_ROOM : word;
}

/* Leases for a stack without room: as many as it has buffers; if the bounds refuse them, one. */
static unsigned keep_leases(struct tp_tiers *tiers, unsigned tier, unsigned depth, unsigned limit)
{
	unsigned more = limit > depth ? (unsigned)tp_min(tp_max(depth, 1), limit - depth) : 0;

	while (more && tp_tiers_lease(tiers, tier, more) != TP_KEPT)
		more = more > 1; /* after several, tries one; after one, none */
	return more;
}

/* Takes out the older half of a full stack, with its leases, for the depot: a batch, one lock. */
static void keep_flush(struct tp_tiers *tiers, unsigned tier, struct tp_buflist *flushed)
{
	struct tp_cpu *cpu = tp_cpus_stop_own(&tiers->cpus);
	uint64_t *stack;

	if (!cpu)
		return;
	stack = tp_tiers_stack(tiers, cpu, tier);
	/* The newest first: tp_depot_push reverses the list, and has the newest on top. */
	for (unsigned slot = (tp_word_depth(*stack) + 1) / 2; slot; slot--)
		tp_buflist_push(flushed, tp_stack_move_out(cpu, stack, slot));
	tp_cpu_start(cpu);
}

/* Keeps b on the caller's CPU. If its stack is full, half of it goes to flushed. */
static bool keep_in_stack(
	struct tp_tiers *tiers, unsigned tier, tierpool_buf *b, struct tp_buflist *flushed)
{
	struct keep_bounds bounds = {.limit = tp_load_relaxed(&tiers->tier[tier].limit)};
	unsigned stack_index = tiers->stack_index[tier], depth;
	struct tp_word_change change;
	void *item = b;

	change = tp_stack_change(&tiers->cpus, stack_index, keep_decide, &bounds, &item);
	if (change.before != change.after)
		return true;
	tp_tiers_slab_create(tiers);
	if (tp_word_depth(change.before) >= bounds.limit)
		keep_flush(tiers, tier, flushed);
	depth = tp_word_depth(tp_tiers_word(tiers, tp_cpu_current(tiers->cpus.count), tier));
	bounds.leases = keep_leases(tiers, tier, depth, bounds.limit);
	change = tp_stack_change(&tiers->cpus, stack_index, keep_decide, &bounds, &item);
	tp_tiers_unlease(tiers, tier,
		bounds.leases + tp_word_held(change.before) - tp_word_held(change.after));
	return change.before != change.after;
}

/* Leases a place in the depot, and gives up room for that if there is none. */
static enum tp_kept keep_lease_or_reclaim(struct tp_tiers *tiers, unsigned tier)
{
	enum tp_kept result = tp_tiers_lease(tiers, tier, 1);

	/* A buffer that is larger than the whole bound fits in no case. */
	if (result == TP_KEPT || !tp_tiers_may_fit(tiers, tier))
		return result;
	if (result == TP_NO_BYTES) {
		struct tp_cpu *cpu = tp_cpus_stop_own(&tiers->cpus);

		if (cpu) {
			tp_tiers_room_reclaim(tiers, cpu, tiers->tier[tier].cost);
			tp_cpu_start(cpu);
			result = tp_tiers_lease(tiers, tier, 1);
		}
	}
	if (result == TP_KEPT || !tp_decay_stop_due(&tiers->decay))
		return result;
	/* If max_idle refused the lease, only room of this tier helps. */
	if (result == TP_NO_COUNT)
		tp_tiers_room_drop(tiers, tier, tier + 1, ROOM_CPUS);
	else
		tp_tiers_room_drop(tiers, 0, tiers->sizes->count, ROOM_CPUS);
	return tp_tiers_lease(tiers, tier, 1);
}

enum tp_kept tp_idle_keep(struct tp_tiers *tiers, tierpool_buf *b, struct tp_buflist *victims)
{
	unsigned tier = b->tp_tier;
	struct tp_buflist list = {NULL, 0};
	enum tp_kept result;

	if (tp_load_relaxed(&tiers->tier[tier].limit) && keep_in_stack(tiers, tier, b, &list)) {
		tp_tiers_depot_push(tiers, tier, &list, victims);
		return TP_KEPT;
	}
	tp_tiers_depot_push(tiers, tier, &list, victims);
	result = keep_lease_or_reclaim(tiers, tier);
	if (result != TP_KEPT)
		return result;
	tp_buflist_push(&list, b);
	if (tp_depot_push(&tiers->tier[tier].depot, &list))
		return TP_KEPT;
	tp_tiers_unlease(tiers, tier, 1);
	return TP_CLOSED;
}
