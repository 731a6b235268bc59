/* SPDX-License-Identifier: MIT */
/*
 * Get: the fast path, which is a pop from the caller's CPU, and what it leads to when the stack
 * there cannot serve.
 */
#include <errno.h>
#include <pthread.h>

#include "base/colour.h"
#include "idle/idle.h"
#include "pool/fastpath.h"
#include "pool/pool.h"

struct tp_fast tp_pool_fast;

static void get_fast_settle(void)
{
	tp_cpu_init();
	tp_poison_init();
	/* Never changed: a buffer that was lent by the fast path may be put only by it. */
	tp_pool_fast = (struct tp_fast){tp_poison_watched ? 0 : tp_cpu_rseq, tp_cpu_count()};
}

void tp_pool_start(void)
{
	static pthread_once_t settled = PTHREAD_ONCE_INIT;

	pthread_once(&settled, get_fast_settle);
}

uint64_t tp_pool_colours(const tierpool *pool)
{
	return tp_colour((uintptr_t)&tp_pool_fast) | tp_colour((uintptr_t)&pool->id) |
	       tp_cpu_rseq_colour();
}

tierpool_buf *tp_pool_take(tierpool *pool, unsigned tier)
{
	struct tp_buflist victims = {NULL, 0};
	tierpool_buf *b = tp_idle_take(&pool->tiers, tier, &victims);

	tp_pool_free_all(pool, &victims, TP_DROP_DESTROY);
	return b;
}

static inline tierpool_buf *get_lend(tierpool_buf *b, uint32_t control)
{
	b->len = 0;
	tp_bufstate_set(b, control);
	return b;
}

/* In whatever mode, and telling those who watch idle blocks. */
static tierpool_buf *get_lend_any_mode(tierpool_buf *b)
{
	tp_unpoison(b->data, b->cap);
	return get_lend(b, tp_pool_fast.rseq ? TP_BUFSTATE_FAST : TP_BUFSTATE_CAREFUL);
}

static unsigned get_tier(const tierpool *pool, size_t n)
{
	return n ? tp_sizeclass_of(&pool->sizes, n) : pool->default_tier;
}

static tp_cold tierpool_buf *get_slow(tierpool *pool, size_t n)
{
	unsigned tier = get_tier(pool, n);
	tierpool_buf *b = NULL;

	/* Before anything comes to this CPU, which then is aged for what fell due. */
	tp_pool_maintain_slow(pool);
	if (tier != TP_TIER_NONE)
		b = tp_pool_take(pool, tier);
	if (!b) {
		b = tp_pool_alloc(pool, tier, n);
		if (!b) {
			errno = ENOMEM;
			return NULL;
		}
		tp_pool_count(&pool->counters.misses);
	}
	/* Release: whoever sees this get sees its miss. Partner: hits in stats.c. */
	tp_add_release(&pool->counters.slow_gets, 1u);
	get_lend_any_mode(b);
	if (tier == TP_TIER_NONE)
		tp_bufstate_add(b, TP_STATE_OVERSIZE);
	return b;
}

/* What a CPU does at its strikes: a piece of what is due, and arms the next one. */
static tp_cold tierpool_buf *get_lend_expired(tierpool *pool, tierpool_buf *b)
{
	unsigned mean = tp_decay_gap(&pool->tiers.decay, tp_pool_maintain(pool));

	tp_stack_arm(&pool->tiers.cpus, b->tp_stack_index, mean);
	return get_lend_any_mode(b);
}

/* The same as get_fast, in locked mode as well, and trying again what was aborted. */
static tp_outline tierpool_buf *get_any_mode(tierpool *pool, size_t n)
{
	size_t size_index = tp_size_index(n);
	unsigned stack_index = pool->tiers.quick_index[size_index];
	uint64_t after;
	tierpool_buf *b;

	if (tp_unlikely(pool->tiers.quick_size[size_index] < n))
		stack_index = pool->tiers.stack_index[tp_sizeclass_search(&pool->sizes, n)];
	b = tp_stack_pop(&pool->tiers.cpus, stack_index, &after);
	if (tp_unlikely(!b))
		return get_slow(pool, n);
	return tp_unlikely((int64_t)after < 0) ? get_lend_expired(pool, b) : get_lend_any_mode(b);
}

static tp_cold tierpool_buf *get_otherwise(tierpool *pool, size_t n, tierpool_buf *b)
{
	return b ? get_lend_expired(pool, b) : get_any_mode(pool, n);
}

/*
 * Every way but the fast one ends in the call of a function, and none of them needs what the fast
 * one has found: so that it keeps nothing, and saves no register.
 */
static inline tierpool_buf *get_from_stack(tierpool *pool, unsigned stack_index, size_t n)
{
	bool slow;
	tierpool_buf *b = tp_stack_pop_fast(&tp_pool_fast, pool, stack_index, &slow);

	return tp_unlikely(slow) ? get_otherwise(pool, n, b) : get_lend(b, TP_BUFSTATE_FAST);
}

/* Where a doubling holds several tiers; or none is large enough, whose word is always 0. */
static tp_outline tierpool_buf *get_searched(tierpool *pool, size_t n)
{
	return get_from_stack(
		pool, pool->tiers.stack_index[tp_sizeclass_search(&pool->sizes, n)], n);
}

static inline tierpool_buf *get_fast(tierpool *pool, size_t n)
{
	size_t size_index = tp_size_index(n);

	if (tp_unlikely(pool->tiers.quick_size[size_index] < n))
		return get_searched(pool, n);
	return get_from_stack(pool, pool->tiers.quick_index[size_index], n);
}

static tierpool_buf *get_without_site(tierpool *pool, size_t n)
{
	if (!pool) {
		errno = EINVAL;
		return NULL;
	}
	return tp_likely(tp_pool_fast.rseq) ? get_fast(pool, n) : get_any_mode(pool, n);
}

/* The first get from a place; and, where there is no fast path, every one. */
static tp_outline tierpool_buf *get_aside(tierpool *pool, size_t n, tierpool_site *site)
{
	uint64_t id;

	if (tp_unlikely(!pool || !site))
		return get_without_site(pool, n);
	/* Without a fast path not the id itself, so that get_at sends every get here. */
	id = tp_pool_fast.rseq ? pool->id : ~pool->id;
	if (tp_unlikely(!tp_site_is_known(site, id)))
		tp_site_enter(&pool->sites, &pool->backing, site, id);
	return get_any_mode(pool, n);
}

tp_fastpath tierpool_buf *tierpool_get_at(tierpool *pool, size_t n, tierpool_site *site)
{
	if (tp_likely(pool && site && tp_site_is_known(site, pool->id)))
		return get_fast(pool, n);
	return get_aside(pool, n, site);
}

tierpool_buf *(tierpool_get)(tierpool *pool)
{
	return get_without_site(pool, 0);
}

tierpool_buf *(tierpool_get_sized)(tierpool *pool, size_t n)
{
	return get_without_site(pool, n);
}
