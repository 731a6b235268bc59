/* SPDX-License-Identifier: MIT */
#include "pool/pool.h"

#include <string.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/spinlock.h"
#include "idle/drain.h"
#include "idle/idle.h"
#include "memory/bufstate.h"
#include "memory/poison.h"

/* ---- buffers: from the backing and back to it ---- */

tierpool_buf *tp_pool_alloc(tierpool *pool, unsigned tier, size_t n)
{
	size_t cap = tier == TP_TIER_NONE ? n : pool->sizes.size[tier];
	uint64_t stack = tier == TP_TIER_NONE ? 0 : tp_tiers_lines(&pool->tiers, tier);
	tierpool_buf *b = tp_header_alloc(
		&pool->headers, &pool->backing, stack | pool->tiers.lines | tp_percpu_line());
	char *block;

	if (!b)
		return NULL;
	block = tp_backing_alloc(&pool->backing, cap);
	if (!block) {
		tp_header_free(&pool->headers, b);
		return NULL;
	}
	tp_registry_retain(&pool->registered);
	tp_pool_count(&pool->counters.allocs);
	*b = (tierpool_buf){.data = block,
		.cap = cap,
		.tp_pool = pool,
		.tp_control = tp_control(TP_STATE_IDLE),
		.tp_tier = (uint8_t)tier};
	if (tier != TP_TIER_NONE)
		b->tp_word = pool->tiers.at[tier];
	return b;
}

/* Frees a buffer in state idle, and ends the lease that came with it. The pool may be gone then. */
static void buffer_release(tierpool *pool, tierpool_buf *b, enum tp_drop why, bool leased)
{
	unsigned tier = b->tp_tier;

	tp_shadow_show(b->data, b->cap);
	tp_backing_free(&pool->backing, b->data, b->cap);
	/* Before the lease ends: a pool without leases whose frees are settled has come to rest. */
	tp_pool_count(&pool->counters.frees);
	/* Not before the block is free: the bound counts memory, not intentions. */
	if (leased && !tp_fault(TP_FAULT_LOST_LEASE))
		tp_tiers_unlease(&pool->tiers, tier, 1);
	tp_pool_count(&pool->counters.drops[why]);
	tp_header_free(&pool->headers, b);
	tp_registry_drop(&pool->registered);
}

size_t tp_pool_release(tierpool *pool, struct tp_list *victims, enum tp_drop why)
{
	size_t bytes = 0;

	for (tierpool_buf *b; (b = tp_list_pop(victims));) {
		bytes += pool->tiers.tier[b->tp_tier].cost;
		buffer_release(pool, b, why, true);
	}
	return bytes;
}

/* ---- decay ---- */

/* Something was kept; or freed, which is of account where its pages may have to be given back. */
static void reaper_tell(tierpool *pool, bool kept)
{
	if (kept || pool->backing.give_back)
		tp_decay_kept(&pool->tiers.decay);
}

bool tp_pool_is_settled(const tierpool *pool)
{
	return !pool->backing.give_back || (!tp_load_relaxed(&pool->settling) &&
						   tp_load_relaxed(&pool->settled_frees) ==
							   tp_load_relaxed(&pool->counters.frees));
}

void tp_pool_settle(tierpool *pool)
{
	tp_store_relaxed(&pool->settled_frees, tp_load_relaxed(&pool->counters.frees));
	tp_store_relaxed(&pool->settling, 0);
	tp_backing_give_back(&pool->backing, true);
}

/*
 * Has jemalloc give back the pages whose time has come: by itself it does so only where its arena
 * goes on to be used, which a quiet pool's is not. Through two of our periods after the last block
 * was freed, since its own is one of ours; and many times in a period, a little each time, since
 * what it has to give back is given back in the call. After a tick that was asked for: once, and
 * all of it where that has left nothing idle; a pool that has come to rest will not need it soon.
 */
static void pages_settle(tierpool *pool, bool asked)
{
	uint64_t frees = tp_load_relaxed(&pool->counters.frees), now;
	const struct tp_decay *decay = &pool->tiers.decay;
	bool all;

	/* Relaxed, all of it: where two come at once jemalloc is asked once more. */
	if (tp_likely(tp_pool_is_settled(pool)))
		return;
	now = tp_clock_ms();
	if (!asked && now - tp_load_relaxed(&pool->settled_ms) < tp_decay_part(decay))
		return;
	all = asked && !tp_tiers_bytes(&pool->tiers);
	tp_store_relaxed(&pool->settled_ms, now);
	if (tp_exchange_relaxed(&pool->settled_frees, frees) != frees)
		tp_store_relaxed(&pool->settling, now + 2 * (uint64_t)decay->ms);
	if (all) {
		tp_pool_settle(pool);
		return;
	}
	if (now >= tp_load_relaxed(&pool->settling))
		tp_store_relaxed(&pool->settling, 0);
	tp_backing_give_back(&pool->backing, false);
}

bool tp_pool_attend(tierpool *pool)
{
	struct tp_list victims = {NULL, 0};
	bool more = tp_drain_some(&pool->tiers, &victims);

	/* What was in hand, the reaper may not have seen. */
	if (tp_pool_release(pool, &victims, TP_DROP_DECAY))
		reaper_tell(pool, false);
	pages_settle(pool, false);
	return more;
}

size_t tp_pool_tick(tierpool *pool, bool asked)
{
	struct tp_list victims = {NULL, 0};
	size_t bytes;

	tp_drain_tick(&pool->tiers, asked, &victims);
	bytes = tp_pool_release(pool, &victims, TP_DROP_DECAY);
	pages_settle(pool, true);
	return bytes;
}

/* ---- neighbours on a shared budget ---- */

/*
 * Whoever is kept from keeping a buffer only by what other pools have leased looks after these, one
 * caller at a time and at most once a millisecond. What they have leased and do not use goes at
 * once; what lies idle there untouched for one to two of PRESS_MS goes by ticks that come so often,
 * in pieces as ever: so the budget goes to those who use it.
 */
#define PRESS_MS 100

/* Pools that one call looks after, and CPUs of each that it stops: at worst some 10 us for each. */
#define NEIGHBOURS 8
#define NEIGHBOUR_CPUS 4

/* Whether a buffer of the tier would be kept but for the shares of other pools. */
static bool is_starved(const tierpool *pool, unsigned tier)
{
	const struct tp_tiers *tiers = &pool->tiers;
	size_t cost = tiers->tier[tier].cost;

	/* Relaxed: of numbers that go on changing, one look is as good as another. */
	return tiers->shared && !tp_load_relaxed(&pool->closing) && tp_tiers_may_fit(tiers, tier) &&
	       tp_load_relaxed(&tiers->shared->free) < (int64_t)cost &&
	       tp_load_relaxed(&tiers->retain.free) >= (int64_t)cost &&
	       tp_load_relaxed(&tiers->shared->leased) > tp_load_relaxed(&tiers->retain.leased);
}

struct neighbourhood {
	const tierpool *pool;
	unsigned skip; /* those who were looked after the last time */
};

static bool is_neighbour(const struct tp_registered *entry, void *context)
{
	struct neighbourhood *of = context;

	if (entry == &of->pool->registered || entry->kind != of->pool->registered.kind ||
		((const tierpool *)entry)->budget != of->pool->budget)
		return false;
	return !of->skip || !of->skip--;
}

static void neighbour_press(tierpool *pool)
{
	if (!tp_load_relaxed(&pool->tiers.retain.leased))
		return;
	tp_tiers_room_drop(&pool->tiers, 0, pool->sizes.count, NEIGHBOUR_CPUS);
	/* Or of itself: what lies there has the same time in either case. */
	if (tp_decay_is_past(&pool->tiers.decay, PRESS_MS))
		tp_drain_begin(&pool->tiers);
	tp_pool_attend(pool);
}

/* With the budget's reclaiming. wanted: bytes that then should be free in it. */
static void neighbours_press(tierpool *pool, size_t wanted)
{
	struct tierpool_budget *budget = pool->budget;
	struct neighbourhood of = {pool, budget->next_neighbour};
	struct tp_registered *entry = tp_registry_next_of(NULL, is_neighbour, &of);

	if (!entry) {
		/* All of them had their turn, or have gone. */
		budget->next_neighbour = of.skip = 0;
		entry = tp_registry_next_of(NULL, is_neighbour, &of);
	}
	for (unsigned i = 0; entry; entry = tp_registry_next_of(entry, is_neighbour, &of)) {
		budget->next_neighbour++;
		neighbour_press(tp_pool_of(entry));
		if (++i == NEIGHBOURS || tp_load_relaxed(&budget->budget.free) >= (int64_t)wanted)
			break;
	}
	if (entry)
		tp_registry_leave(entry);
}

/* Whether anything was done. */
static bool neighbours_reclaim(tierpool *pool, size_t wanted)
{
	struct tierpool_budget *budget = pool->budget;
	uint64_t now;
	bool due;

	if (tp_fault(TP_FAULT_NO_RECLAIM) || !tp_locked_try(&budget->reclaiming))
		return false;
	now = tp_clock_ms();
	due = budget->reclaimed_ms != now;
	if (due) {
		budget->reclaimed_ms = now;
		neighbours_press(pool, wanted);
	}
	tp_locked_leave(&budget->reclaiming);
	return due;
}

/* ---- idle buffers ---- */

tierpool_buf *tp_pool_take(tierpool *pool, unsigned tier)
{
	struct tp_list victims = {NULL, 0};
	tierpool_buf *b = tp_idle_take(&pool->tiers, tier, &victims);

	tp_pool_release(pool, &victims, TP_DROP_DESTROY);
	return b;
}

void tp_pool_stow(tierpool *pool, tierpool_buf *b)
{
	static const enum tp_drop why[] = {[TP_NO_BYTES] = TP_DROP_RETAIN,
		[TP_NO_COUNT] = TP_DROP_IDLE_COUNT,
		[TP_CLOSED] = TP_DROP_DESTROY};
	struct tp_list victims = {NULL, 0};
	enum tp_kept kept;

	if (b->tp_tier == TP_TIER_NONE) {
		buffer_release(pool, b, TP_DROP_OVERSIZE, false);
		reaper_tell(pool, false);
		return;
	}
	tp_shadow_hide(b->data, b->cap);
	kept = tp_idle_keep(&pool->tiers, b, &victims);
	if (kept == TP_NO_BYTES && is_starved(pool, b->tp_tier) &&
		neighbours_reclaim(pool, pool->tiers.tier[b->tp_tier].cost))
		kept = tp_idle_keep(&pool->tiers, b, &victims);
	if (kept == TP_NO_BYTES) {
		tierpool_buf *victim = tp_drain_evict(&pool->tiers, b->tp_tier);

		if (victim) {
			buffer_release(pool, victim, TP_DROP_RETAIN, true);
			kept = tp_idle_keep(&pool->tiers, b, &victims);
		}
	}
	if (kept != TP_KEPT)
		buffer_release(pool, b, why[kept], false);
	reaper_tell(pool, kept == TP_KEPT);
	tp_pool_release(pool, &victims, TP_DROP_DESTROY);
}
