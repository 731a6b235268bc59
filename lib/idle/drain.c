/* SPDX-License-Identifier: MIT */
#include "idle/drain.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/* Buffers that leave a depot under one hold of its lock; and all of them while CPUs are stopped. */
#define STRIP 64
#define STRIP_STOPPED 1024

/* CPUs that a put looks at for something larger to go in its place. */
#define EVICT_CPUS 16

/*
 * A piece of a tick that nobody asked for: slots that are looked at on one CPU, but for the end of
 * the last stack; and what is freed, but one buffer at least. Ten microseconds or so; freeing 2 MiB
 * of mappings takes libc a hundred.
 */
#define PIECE_SLOTS 64
#define PIECE_BUFFERS 64
#define PIECE_BYTES ((size_t)2 << 20)

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

/* ---- ages ---- */

struct ageing {
	struct tp_tiers *tiers;
	size_t piece; /* slots to look at, and then no further tier */
	struct tp_list gone;
};

/* Buffers of age 1 go, those of age 0 are of age 1 now, and half of the room goes. */
static void stack_age(struct ageing *ageing, struct tp_door *door, unsigned tier)
{
	uint64_t *stack = tp_tiers_stack(ageing->tiers, door, tier);
	unsigned room = tp_word_room(*stack);

	for (unsigned slot = 1; slot <= tp_word_depth(*stack);) {
		tierpool_buf *b = (tierpool_buf *)(uintptr_t)stack[slot];

		if (tp_control_age(b)) {
			tp_list_push(&ageing->gone, tp_cpucache_move_out(door, stack, slot));
		} else {
			tp_control_age_set(b, 1);
			slot++;
		}
	}
	tp_cpucache_room_set(stack, room / 2);
	tp_tiers_unlease(ageing->tiers, tier, room - room / 2);
}

/* Of a tp_ager: tier by tier, from where the last piece ended. */
static bool slab_age(void *context, struct tp_door *door, unsigned ticks)
{
	struct ageing *ageing = context;
	unsigned tier = door->ager, tiers = ageing->tiers->sizes->count;
	size_t slots = 0;

	for (; tier < tiers && slots < ageing->piece; tier++) {
		slots += tp_word_depth(*tp_tiers_stack(ageing->tiers, door, tier));
		for (unsigned i = 0; i < ticks; i++)
			stack_age(ageing, door, tier);
	}
	door->ager = (uint16_t)tier;
	return tier == tiers;
}

/* To the depots, to be freed by and by. A closed depot's have to go at once. */
static void bury(struct tp_tiers *tiers, struct tp_list *gone, struct tp_list *victims)
{
	struct tp_list one = {NULL, 0};

	while (gone->head) {
		unsigned tier = gone->head->tp_tier;

		/* They come tier by tier. */
		while (gone->head && gone->head->tp_tier == tier)
			tp_list_push(&one, tp_list_pop(gone));
		if (!tp_depot_bury(&tiers->tier[tier].depot, &one))
			tp_list_move(&one, victims);
		/* Release: who clears it first sees what it was set for. */
		tp_store_release(&tiers->dying, 1u);
	}
}

/* Some of those that are dying, of the larger tiers first. */
static void dying_take(struct tp_tiers *tiers, struct tp_list *victims)
{
	size_t n = PIECE_BUFFERS, bytes = PIECE_BYTES;

	if (!tp_load_relaxed(&tiers->dying) || !tp_exchange_acquire(&tiers->dying, 0u))
		return;
	for (unsigned tier = tiers->sizes->count; tier--;) {
		size_t cost = tiers->tier[tier].cost;
		size_t fit = tp_min(n, tp_max(bytes / cost, n == PIECE_BUFFERS));
		size_t taken = victims->count;

		tp_depot_pop(&tiers->tier[tier].depot, fit, TP_DEPOT_DYING, victims);
		taken = victims->count - taken;
		n -= taken;
		bytes -= tp_min(bytes, taken * cost);
		/* As many as might be: there may be more. */
		if (taken == fit)
			tp_store_release(&tiers->dying, 1u);
	}
}

static void depots_age(struct tp_tiers *tiers)
{
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		if (tp_depot_age(&tiers->tier[tier].depot))
			tp_store_release(&tiers->dying, 1u);
}

void tp_drain_begin(struct tp_tiers *tiers)
{
	tp_decay_turn(&tiers->decay);
	depots_age(tiers);
	tp_decay_begin(&tiers->decay, TP_TICK_PIECES);
}

bool tp_drain_some(struct tp_tiers *tiers, struct tp_list *victims)
{
	struct ageing ageing = {.tiers = tiers, .piece = PIECE_SLOTS};
	struct tp_ager ager = {.age = slab_age, .context = &ageing};
	bool more;

	if (tp_decay_claim(&tiers->decay))
		tp_drain_begin(tiers);
	more = tp_decay_some(&tiers->decay, &ager);
	bury(tiers, &ageing.gone, victims);
	dying_take(tiers, victims);
	return more || tp_load_relaxed(&tiers->dying);
}

void tp_drain_tick(struct tp_tiers *tiers, bool asked, struct tp_list *victims)
{
	struct ageing ageing = {.tiers = tiers, .piece = SIZE_MAX};

	tp_decay_turn(&tiers->decay);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		tp_depot_rotate(&tiers->tier[tier].depot, victims);
	tp_decay_begin(&tiers->decay, asked ? TP_TICK_ASKED : TP_TICK_WHOLE);
	tp_decay_all(&tiers->decay, &(struct tp_ager){.age = slab_age, .context = &ageing});
	tp_list_move(&ageing.gone, victims);
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
