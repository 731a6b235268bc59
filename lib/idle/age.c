/* SPDX-License-Identifier: MIT */
/*
 * What a tick does to a pool's idle buffers: age 1 ages out, age 0 becomes age 1. Owns the size of
 * a piece of that. When it is done, and on which CPU, is decay.h's.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/*
 * A piece of a tick: slots of one CPU that are aged, and then the rest of the last stack; buffers
 * and bytes that are freed, but at least one buffer.
 */
#define PIECE_SLOTS 64
#define PIECE_BUFFERS 64
#define PIECE_BYTES ((size_t)2 << 20)

struct ageing {
	struct tp_tiers *tiers;
	size_t slots_most; /* after this many slots no further tier is begun */
	struct tp_buflist aged_out;
};

/* Ages a stopped CPU's stack of a tier by one tick, and gives up half of its room. */
static void age_stack(struct ageing *ageing, struct tp_cpu *cpu, unsigned tier)
{
	uint64_t *stack = tp_tiers_stack(ageing->tiers, cpu, tier);
	unsigned room = tp_word_room(*stack);

	for (unsigned slot = 1; slot <= tp_word_depth(*stack);) {
		tierpool_buf *b = (tierpool_buf *)(uintptr_t)stack[slot];

		if (tp_bufstate_age(b)) {
			tp_buflist_push(&ageing->aged_out, tp_stack_move_out(cpu, stack, slot));
		} else {
			tp_bufstate_age_set(b, 1);
			slot++;
		}
	}
	tp_stack_room_set(stack, room / 2);
	tp_tiers_unlease(ageing->tiers, tier, room - room / 2);
}

/* The age of a tp_ager: tier by tier, from where the last piece ended. */
static bool age_slab(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	struct ageing *ageing = context;
	unsigned tier = *progress, tiers = ageing->tiers->sizes->count;
	size_t slots = 0;

	for (; tier < tiers && slots < ageing->slots_most; tier++) {
		slots += tp_word_depth(*tp_tiers_stack(ageing->tiers, cpu, tier));
		for (unsigned i = 0; i < ticks; i++)
			age_stack(ageing, cpu, tier);
	}
	*progress = (uint16_t)tier;
	return tier == tiers;
}

/* Moves aged_out to the depots' expired lists; what closed depots refuse goes to victims. */
static void age_expire(
	struct tp_tiers *tiers, struct tp_buflist *aged_out, struct tp_buflist *victims)
{
	struct tp_buflist of_tier = {NULL, 0};

	while (aged_out->head) {
		unsigned tier = aged_out->head->tp_tier;

		/* age_slab has them in order of their tiers. */
		while (aged_out->head && aged_out->head->tp_tier == tier)
			tp_buflist_push(&of_tier, tp_buflist_pop(aged_out));
		if (!tp_depot_expire(&tiers->tier[tier].depot, &of_tier))
			tp_buflist_move(&of_tier, victims);
		/* Release: pairs with the acquire in age_expired_take, which finds the buffers. */
		tp_store_release(&tiers->expired, 1u);
	}
}

/* Moves a piece of the depots' expired buffers to victims, of the larger tiers first. */
static void age_expired_take(struct tp_tiers *tiers, struct tp_buflist *victims)
{
	size_t n = PIECE_BUFFERS, bytes = PIECE_BYTES;

	/* Relaxed: what is missed now, a later call takes. */
	if (!tp_load_relaxed(&tiers->expired) || !tp_exchange_acquire(&tiers->expired, 0u))
		return;
	for (unsigned tier = tiers->sizes->count; tier--;) {
		size_t cost = tiers->tier[tier].cost;
		size_t fit = tp_min(n, tp_max(bytes / cost, n == PIECE_BUFFERS));
		size_t taken = victims->count;

		tp_depot_pop(&tiers->tier[tier].depot, fit, TP_DEPOT_EXPIRED, victims);
		taken = victims->count - taken;
		n -= taken;
		bytes -= tp_min(bytes, taken * cost);
		/* The depot gave all that was asked for: it may have more. */
		if (taken == fit)
			tp_store_release(&tiers->expired, 1u);
	}
}

static void age_depots(struct tp_tiers *tiers)
{
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		if (tp_depot_age(&tiers->tier[tier].depot))
			tp_store_release(&tiers->expired, 1u);
}

void tp_idle_tick_begin(struct tp_tiers *tiers)
{
	tp_decay_turn(&tiers->decay);
	age_depots(tiers);
	tp_decay_begin(&tiers->decay, TP_TICK_PIECES);
}

bool tp_idle_age_some(struct tp_tiers *tiers, struct tp_buflist *victims)
{
	struct ageing ageing = {.tiers = tiers, .slots_most = PIECE_SLOTS};
	struct tp_ager ager = {.age = age_slab, .context = &ageing};
	bool more;

	if (tp_decay_claim(&tiers->decay))
		tp_idle_tick_begin(tiers);
	more = tp_decay_some(&tiers->decay, &ager);
	age_expire(tiers, &ageing.aged_out, victims);
	age_expired_take(tiers, victims);
	return more || tp_load_relaxed(&tiers->expired);
}

void tp_idle_tick(struct tp_tiers *tiers, bool asked, struct tp_buflist *victims)
{
	struct ageing ageing = {.tiers = tiers, .slots_most = SIZE_MAX};

	tp_decay_turn(&tiers->decay);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		tp_depot_rotate(&tiers->tier[tier].depot, victims);
	tp_decay_begin(&tiers->decay, asked ? TP_TICK_ASKED : TP_TICK_WHOLE);
	tp_decay_all(&tiers->decay, &(struct tp_ager){.age = age_slab, .context = &ageing});
	tp_buflist_move(&ageing.aged_out, victims);
}
