/* SPDX-License-Identifier: MIT */
#include "pool/shared_budget.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/inject.h"
#include "base/spinlock.h"
#include "idle/idle.h"
#include "pool/pool.h"

struct tp_budget *tp_shared_budget_join(tierpool_budget *budget)
{
	tp_add_relaxed(&budget->users, 1u);
	return &budget->budget;
}

int tierpool_budget_create(tierpool_budget **out, size_t bytes)
{
	if (!out)
		return -EINVAL;
	*out = NULL;
	if (!bytes)
		return -EINVAL;
	*out = calloc(1, sizeof **out);
	if (!*out)
		return -ENOMEM;
	tp_budget_init(&(*out)->budget, bytes);
	(*out)->users = 1;
	return 0;
}

void tierpool_budget_destroy(tierpool_budget *budget)
{
	/* Acquire and release: whoever frees sees every other user's last release of a lease. */
	if (budget && tp_sub_acq_rel(&budget->users, 1u) == 1)
		free(budget);
}

void tp_shared_budget_fork(tierpool_budget *budget)
{
	tp_budget_recount(&budget->budget, 0);
	budget->reclaiming = 0;
}

/* ---- neighbours ---- */

/*
 * Whoever is kept from keeping a buffer only by what other pools have leased looks after these, one
 * caller at a time and at most once a millisecond. What they have leased and do not use goes at
 * once; what lies idle there untouched for one to two of RECLAIM_MS goes by ticks that come so often,
 * in pieces as ever: so the budget goes to those who use it.
 */
#define RECLAIM_MS 100

/* Pools that one call looks after, and CPUs of each that it stops: at worst some 10 us for each. */
#define NEIGHBOURS 8
#define NEIGHBOUR_CPUS 4

/* Whether a buffer of the tier would be kept but for the shares of other pools. */
static bool shared_budget_is_starved(const tierpool *pool, unsigned tier)
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

static bool shared_budget_is_neighbour(const struct tp_registered *entry, void *context)
{
	struct neighbourhood *of = context;

	if (entry == &of->pool->registered || entry->kind->id != TP_KIND_POOL ||
		((const tierpool *)entry)->budget != of->pool->budget)
		return false;
	return !of->skip || !of->skip--;
}

static void shared_budget_reclaim_from(tierpool *pool)
{
	if (!tp_load_relaxed(&pool->tiers.retain.leased))
		return;
	tp_tiers_room_drop(&pool->tiers, 0, pool->sizes.count, NEIGHBOUR_CPUS);
	/* Or of itself: what lies there has the same time in either case. */
	if (tp_decay_is_past(&pool->tiers.decay, RECLAIM_MS))
		tp_idle_tick_begin(&pool->tiers);
	tp_pool_maintain(pool);
}

/* With the budget's reclaiming. wanted: bytes that then should be free in it. */
static void shared_budget_reclaim_all(tierpool *pool, size_t wanted)
{
	struct tierpool_budget *budget = pool->budget;
	struct neighbourhood of = {pool, budget->next_neighbour};
	struct tp_registered *entry = tp_registry_next_of(NULL, shared_budget_is_neighbour, &of);

	if (!entry) {
		/* All of them had their turn, or have gone. */
		budget->next_neighbour = of.skip = 0;
		entry = tp_registry_next_of(NULL, shared_budget_is_neighbour, &of);
	}
	for (unsigned i = 0; entry;
		entry = tp_registry_next_of(entry, shared_budget_is_neighbour, &of)) {
		budget->next_neighbour++;
		shared_budget_reclaim_from(tp_pool_of(entry));
		if (++i == NEIGHBOURS || tp_load_relaxed(&budget->budget.free) >= (int64_t)wanted)
			break;
	}
	if (entry)
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
