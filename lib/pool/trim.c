/* SPDX-License-Identifier: MIT */
/*
 * What is done to a pool as a whole, and to all pools: tick, trim, a new bound.
 */
#include "base/atomic.h"
#include "base/spinlock.h"
#include "idle/idle.h"
#include "pool/pool.h"

static size_t trim_tick(tierpool *pool, size_t unused)
{
	(void)unused;
	return tp_pool_tick(pool, true);
}

size_t tp_pool_trim(tierpool *pool, size_t keep)
{
	struct tp_buflist victims = {NULL, 0};
	size_t idle = tp_tiers_bytes(&pool->tiers);
	size_t excess = idle > keep ? idle - keep : 0;
	size_t released, bytes = 0;

	/*
	 * More than was too much at the call need not go, however many are put meanwhile; and where
	 * nothing has to go nobody is stopped.
	 */
	while (idle > keep) {
		tp_idle_trim(&pool->tiers, idle - keep, &victims);
		released = tp_pool_free_all(pool, &victims, TP_DROP_TRIM);
		bytes += released;
		if (!released || bytes >= excess)
			break;
		idle = tp_tiers_bytes(&pool->tiers);
	}
	tp_pool_purge(pool);
	return bytes;
}

static bool trim_is_pool(const struct tp_registered *entry, void *unused)
{
	(void)unused;
	return entry->kind->id == TP_KIND_POOL;
}

size_t tp_pool_each(tierpool *pool, size_t (*step)(tierpool *, size_t), size_t argument)
{
	size_t sum = 0;

	if (pool) {
		if (tp_registry_hold(pool)) {
			sum = step(pool, argument);
			tp_registry_drop(&pool->registered);
		}
		return sum;
	}
	for (struct tp_registered *entry = NULL;
		(entry = tp_registry_next_of(entry, trim_is_pool, NULL));)
		sum += step(tp_pool_of(entry), argument);
	return sum;
}

size_t tierpool_tick(tierpool *pool)
{
	return tp_pool_each(pool, trim_tick, 0);
}

size_t tierpool_trim(tierpool *pool, size_t keep)
{
	return tp_pool_each(pool, tp_pool_trim, keep);
}

/* ---- a new bound ---- */

static size_t trim_retain_set(tierpool *pool, size_t bytes)
{
	struct tp_buflist victims = {NULL, 0};
	unsigned looks = TP_SPINLOCK_LOOKS;
	size_t excess, sum = 0;

	tp_tiers_retain_set(&pool->tiers, bytes);
	/* Until no lease is above the bound: this one, or what another call has set meanwhile. */
	while ((excess = tp_budget_excess(&pool->tiers.retain))) {
		bool all = tp_idle_trim(&pool->tiers, excess, &victims);
		size_t released = tp_pool_free_all(pool, &victims, TP_DROP_TRIM);

		sum += released;
		if (released)
			continue;
		/* Where nobody can reach the rest, statistics tell the bound that holds. */
		if (!all || tp_load_relaxed(&pool->closing))
			break;
		/* Else it is in the hands of a slow call in another thread. */
		tp_spinlock_wait(++looks);
	}
	return sum;
}

void tierpool_retain_set(tierpool *pool, size_t bytes)
{
	if (pool)
		tp_pool_each(pool, trim_retain_set, bytes ? bytes : TIERPOOL_RETAIN_NONE);
}
