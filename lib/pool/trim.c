/* SPDX-License-Identifier: MIT */
/*
 * What a program does to a whole pool, or to all pools: tick, trim, a new bound. idle/ decides
 * which buffers go; here they are freed, again and again until it is enough.
 */
#include "base/atomic.h"
#include "base/keep_errno.h"
#include "base/lock.h"
#include "base/spinlock.h"
#include "idle/idle.h"
#include "pool/pool.h"

static size_t trim_tick(tierpool *pool, size_t unused)
{
	(void)unused;
	return tp_pool_tick(pool);
}

size_t tp_pool_trim(tierpool *pool, size_t keep)
{
	size_t idle = tp_tiers_bytes(&pool->tiers);
	size_t excess = idle > keep ? idle - keep : 0;
	size_t released, bytes = 0;
	bool all;

	/*
	 * Ends when as much is freed as was too much at the start, however many other threads put
	 * meanwhile. If nothing is too much, no CPU is stopped for it.
	 */
	while (idle > keep) {
		released = tp_idle_trim(&pool->tiers, idle - keep, &all).bytes;
		bytes += released;
		if (!released || bytes >= excess)
			break;
		idle = tp_tiers_bytes(&pool->tiers);
	}
	tp_pool_purge(pool);
	tp_idle_slabs_purge(&pool->tiers);
	return bytes;
}

size_t tp_pool_empty(struct tp_registered *entry)
{
	return tp_pool_trim(tp_pool_of(entry), 0);
}

size_t tp_pool_each(tierpool *pool, size_t (*step)(tierpool *, size_t), size_t argument)
{
	TP_KEEP_ERRNO;
	size_t sum = 0;

	if (pool) {
		if (tp_registry_hold(pool, TP_KIND_POOL)) {
			sum = step(pool, argument);
			tp_registry_let_go(&pool->registered);
		}
		return sum;
	}
	for (struct tp_registered *entry = NULL; (entry = tp_registry_next(entry));)
		if (entry->kind->id == TP_KIND_POOL)
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
	unsigned looks = TP_SPINLOCK_LOOKS;
	size_t excess, sum = 0;
	bool all;

	tp_tiers_retain_set(&pool->tiers, bytes);
	/* Unused room goes first: it may be enough. */
	if (tp_budget_excess(&pool->tiers.retain))
		tp_idle_trim(&pool->tiers, 0, &all);
	/* Until no lease is above the bound: ours, or one that another call set meanwhile. */
	while ((excess = tp_budget_excess(&pool->tiers.retain))) {
		size_t released = tp_idle_trim(&pool->tiers, excess, &all).bytes;

		sum += released;
		if (released)
			continue;
		/*
		 * The rest is out of reach, and statistics have the bound that does hold; or destroy
		 * takes it. Relaxed: a stale answer costs one more look.
		 */
		if (!all || tp_load_relaxed(&pool->closing) || tp_lock_all_held())
			break;
		/* The rest is in the hands of slow calls in other threads, which no fork holds up. */
		tp_spinlock_wait(++looks);
	}
	return sum;
}

void tierpool_retain_set(tierpool *pool, size_t bytes)
{
	if (pool)
		tp_pool_each(pool, trim_retain_set, bytes ? bytes : TIERPOOL_RETAIN_NONE);
}
