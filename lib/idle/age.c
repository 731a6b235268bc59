/* SPDX-License-Identifier: MIT */
/*
 * What ticks do to idle buffers: those of age 1 go, those of age 0 are of age 1 now.
 */
#include "idle/idle.h"

#include "base/atomic.h"
#include "memory/bufstate.h"

/*
 * A piece of a tick that nobody asked for: slots that are looked at on one CPU, but for the end of
 * the last stack; and what is freed, but one buffer at least. Ten microseconds or so; freeing 2 MiB
 * of mappings takes libc a hundred.
 */
#define PIECE_SLOTS 64
#define PIECE_BUFFERS 64
#define PIECE_BYTES ((size_t)2 << 20)

struct ageing {
	struct tp_tiers *tiers;
	size_t piece; /* slots to look at, and then no further tier */
	struct tp_buflist gone;
};

/* Buffers of age 1 go, those of age 0 are of age 1 now, and half of the room goes. */
static void age_stack(struct ageing *ageing, struct tp_cpu *cpu, unsigned tier)
{
	uint64_t *stack = tp_tiers_stack(ageing->tiers, cpu, tier);
	unsigned room = tp_word_room(*stack);

	for (unsigned slot = 1; slot <= tp_word_depth(*stack);) {
		tierpool_buf *b = (tierpool_buf *)(uintptr_t)stack[slot];

		if (tp_bufstate_age(b)) {
			tp_buflist_push(&ageing->gone, tp_stack_move_out(cpu, stack, slot));
		} else {
			tp_bufstate_age_set(b, 1);
			slot++;
		}
	}
	tp_stack_room_set(stack, room / 2);
	tp_tiers_unlease(ageing->tiers, tier, room - room / 2);
}

/* Of a tp_ager: tier by tier, from where the last piece ended. */
static bool age_slab(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	struct ageing *ageing = context;
	unsigned tier = *progress, tiers = ageing->tiers->sizes->count;
	size_t slots = 0;

	for (; tier < tiers && slots < ageing->piece; tier++) {
		slots += tp_word_depth(*tp_tiers_stack(ageing->tiers, cpu, tier));
		for (unsigned i = 0; i < ticks; i++)
			age_stack(ageing, cpu, tier);
	}
	*progress = (uint16_t)tier;
	return tier == tiers;
}

/* To the depots, to be freed by and by. A closed depot's have to go at once. */
static void age_expire(struct tp_tiers *tiers, struct tp_buflist *gone, struct tp_buflist *victims)
{
	struct tp_buflist one = {NULL, 0};

	while (gone->head) {
		unsigned tier = gone->head->tp_tier;

		/* They come tier by tier. */
		while (gone->head && gone->head->tp_tier == tier)
			tp_buflist_push(&one, tp_buflist_pop(gone));
		if (!tp_depot_expire(&tiers->tier[tier].depot, &one))
			tp_buflist_move(&one, victims);
		/* Release: who clears it first sees what it was set for. */
		tp_store_release(&tiers->expired, 1u);
	}
}

/* Some of those that are dying, of the larger tiers first. */
static void age_expired_take(struct tp_tiers *tiers, struct tp_buflist *victims)
{
	size_t n = PIECE_BUFFERS, bytes = PIECE_BYTES;

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
		/* As many as might be: there may be more. */
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
	struct ageing ageing = {.tiers = tiers, .piece = PIECE_SLOTS};
	struct tp_ager ager = {.age = age_slab, .context = &ageing};
	bool more;

	if (tp_decay_claim(&tiers->decay))
		tp_idle_tick_begin(tiers);
	more = tp_decay_some(&tiers->decay, &ager);
	age_expire(tiers, &ageing.gone, victims);
	age_expired_take(tiers, victims);
	return more || tp_load_relaxed(&tiers->expired);
}

void tp_idle_tick(struct tp_tiers *tiers, bool asked, struct tp_buflist *victims)
{
	struct ageing ageing = {.tiers = tiers, .piece = SIZE_MAX};

	tp_decay_turn(&tiers->decay);
	for (unsigned tier = 0; tier < tiers->sizes->count; tier++)
		tp_depot_rotate(&tiers->tier[tier].depot, victims);
	tp_decay_begin(&tiers->decay, asked ? TP_TICK_ASKED : TP_TICK_WHOLE);
	tp_decay_all(&tiers->decay, &(struct tp_ager){.age = age_slab, .context = &ageing});
	tp_buflist_move(&ageing.gone, victims);
}
