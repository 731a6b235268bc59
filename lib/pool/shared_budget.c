/* SPDX-License-Identifier: MIT */
#include "pool/shared_budget.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/spinlock.h"
#include "idle/idle.h"
#include "pool/pool.h"

#define DEFAULT_NAME "budget"

/* ---- from create to destroy ---- */

static tierpool_budget *shared_budget_of(struct tp_registered *entry)
{
	return (tierpool_budget *)entry;
}

static void shared_budget_free(struct tp_registered *entry)
{
	free(shared_budget_of(entry));
}

static void shared_budget_describe(struct tp_registered *entry, uint64_t figure[TP_FIGURES])
{
	const struct tp_budget *budget = &shared_budget_of(entry)->budget;

	figure[TP_FIGURE_BOUND] = tp_budget_bound(budget);
	figure[TP_FIGURE_LEASED] = tp_load_relaxed(&budget->leased);
}

/* In the child all leases end, and the lock; each pool leases anew after that. */
static void shared_budget_fork(struct tp_registered *entry, enum tp_fork phase)
{
	if (phase != TP_FORK_CHILD_FIRST)
		return;
	tp_budget_recount(&shared_budget_of(entry)->budget, 0);
	shared_budget_of(entry)->reclaiming = 0;
}

static const struct tp_kind shared_budget_kind = {.id = TP_KIND_BUDGET,
	.dead = shared_budget_free,
	.describe = shared_budget_describe,
	.fork = shared_budget_fork};

bool tp_shared_budget_join(tierpool_budget *budget)
{
	if (!budget)
		return true;
	if (!tp_registry_hold(budget, TP_KIND_BUDGET))
		return false;
	tp_registry_retain(&budget->registered); /* the pool's, which stays */
	tp_registry_let_go(&budget->registered);
	return true;
}

void tp_shared_budget_leave(tierpool_budget *budget)
{
	if (budget)
		tp_registry_drop(&budget->registered);
}

int tierpool_budget_create_named(tierpool_budget **out, size_t bytes, const char *name)
{
	size_t length;

	if (!out)
		return -EINVAL;
	*out = NULL;
	if (!bytes)
		return -EINVAL;
	if (tp_atfork_start())
		return -ENOMEM;
	if (!name)
		name = DEFAULT_NAME;
	length = strlen(name) + 1;
	*out = calloc(1, sizeof **out + length);
	if (!*out)
		return -ENOMEM;
	tp_budget_init(&(*out)->budget, bytes);
	(*out)->registered.name = memcpy((*out)->name, name, length);
	(*out)->registered.kind = &shared_budget_kind;
	tp_registry_add(&(*out)->registered);
	return 0;
}

int tierpool_budget_create(tierpool_budget **out, size_t bytes)
{
	return tierpool_budget_create_named(out, bytes, NULL);
}

void tierpool_budget_destroy(tierpool_budget *budget)
{
	if (!budget || !tp_registry_hold(budget, TP_KIND_BUDGET))
		return;
	/* Of two calls only the first gives the handle's reference up: pools may keep the budget. */
	if (!tp_exchange_acq_rel(&budget->given_up, 1u))
		tp_registry_drop(&budget->registered);
	tp_registry_let_go(&budget->registered);
}

/* ---- neighbours ---- */

/*
 * If a put cannot keep its buffer because of other pools' leases alone, it visits some of these
 * pools, its neighbours; one put at a time, and at most one a millisecond. In each neighbour
 *   - room, which is leased and not used, goes at once;
 *   - if the last tick began RECLAIM_MS ago, another one begins, of which each visit does a piece.
 * So what lies idle there goes after one to two of RECLAIM_MS, to the pools that use the budget.
 */
#define RECLAIM_MS 100

/* Pools that one put visits, and CPUs of each that it stops for room: at worst 10 us for each. */
#define NEIGHBOURS 8
#define NEIGHBOUR_CPUS 4

/* Whether only the leases of other pools keep the pool from keeping a buffer of the tier. */
static bool shared_budget_is_starved(const tierpool *pool, unsigned tier)
{
	const struct tp_tiers *tiers = &pool->tiers;
	size_t cost = tiers->tier[tier].cost;

	/* Relaxed: the numbers go on changing, and a wrong answer costs one visit or one free. */
	return tiers->shared && !tp_load_relaxed(&pool->closing) && tp_tiers_may_fit(tiers, tier) &&
	       tp_load_relaxed(&tiers->shared->free) < (int64_t)cost &&
	       tp_load_relaxed(&tiers->retain.free) >= (int64_t)cost &&
	       tp_load_relaxed(&tiers->shared->leased) > tp_load_relaxed(&tiers->retain.leased);
}

static void shared_budget_reclaim_from(tierpool *pool)
{
	if (!tp_load_relaxed(&pool->tiers.retain.leased))
		return;
	tp_idle_room_drop(&pool->tiers, 0, pool->sizes.count, NEIGHBOUR_CPUS);
	/* The last tick may be one of its own: what lies there has had the same time. */
	if (tp_decay_claim(&pool->tiers.decay, RECLAIM_MS)) {
		tp_idle_tick_begin(&pool->tiers);
		tp_pool_report_tick(pool, 0, false);
	}
	tp_pool_maintain(pool);
}

/* Holds budget->reclaiming. wanted: visits end when these bytes are free in the budget. */
static void shared_budget_reclaim_all(tierpool *pool, size_t wanted)
{
	struct tp_registered *entry = NULL;

	for (unsigned i = 0; i < NEIGHBOURS; i++) {
		entry = tp_registry_next_in_group(&pool->registered, entry);
		if (!entry)
			return;
		shared_budget_reclaim_from(tp_pool_of(entry));
		if (tp_load_relaxed(&pool->budget->budget.free) >= (int64_t)wanted)
			break;
	}
	tp_registry_leave(entry);
}

bool tp_pool_reclaim(tierpool *pool, unsigned tier)
{
	struct tierpool_budget *budget = pool->budget;
	uint64_t now;
	bool due;

	if (tp_fault(TP_FAULT_NO_RECLAIM) || !shared_budget_is_starved(pool, tier) ||
		!tp_spinlock_try(&budget->reclaiming))
		return false;
	now = tp_clock_ms();
	due = budget->reclaimed_ms != now;
	if (due) {
		budget->reclaimed_ms = now;
		shared_budget_reclaim_all(pool, pool->tiers.tier[tier].cost);
	}
	tp_spinlock_unlock(&budget->reclaiming);
	return due;
}
