/* SPDX-License-Identifier: MIT */
/*
 * Get: a pop from the caller's CPU, and what follows if that finds nothing. Three ways, in order:
 *
 *     get_fast       one try of the restartable sequence; in rseq mode only
 *     get_any_mode   the same pop, tried again after an abort, or in locked mode
 *     get_slow       the slow call: an idle buffer from elsewhere, or a new block
 *
 * If the pop leaves the countdown expired, the get also does a piece of the pool's decay.
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
	/* Never changes: the state of a borrowed buffer says which way its put goes. */
	tp_pool_fast = (struct tp_fast){tp_poison_watched ? 0 : tp_cpu_rseq, tp_cpu_count()};
}

void tp_pool_start(void)
{
	static pthread_once_t settled = PTHREAD_ONCE_INIT;

	pthread_once(&settled, get_fast_settle);
}

uint64_t tp_pool_colours(const tierpool *pool)
{
	size_t one = tp_size_index(pool->sizes.size[0]);
	size_t other = tp_size_index(pool->sizes.size[pool->sizes.count - 1]);
	uint64_t colours = tp_colour((uintptr_t)&tp_pool_fast) | tp_colour((uintptr_t)&pool->id) |
			   tp_cpu_rseq_colour();

	for (size_t i = tp_min(one, other); i <= tp_max(one, other); i++)
		colours |= tp_colour((uintptr_t)&pool->quick_size[i]) |
			   tp_colour((uintptr_t)&pool->quick_offset[i]);
	return colours;
}

static inline tierpool_buf *get_lend(tierpool_buf *b)
{
	b->len = 0;
	tp_bufstate_lend(b);
	return b;
}

/* As get_lend, in either mode, and for a tool that watches idle blocks. */
static tierpool_buf *get_lend_any_mode(tierpool_buf *b)
{
	tp_unpoison(b->data, b->cap);
	b->len = 0;
	tp_bufstate_set(b, tp_pool_fast.rseq ? TP_BUFSTATE_FAST : TP_BUFSTATE_CAREFUL);
	return b;
}

static tp_cold tierpool_buf *get_slow(tierpool *pool, size_t n)
{
	unsigned tier = n ? tp_sizeclass_of(&pool->sizes, n) : pool->default_tier;
	tierpool_buf *b = NULL;

	/* First: what comes to this CPU later is not aged for a tick that was due before. */
	tp_pool_maintain(pool);
	if (tier != TP_TIER_NONE)
		b = tp_idle_take(&pool->tiers, tier);
	if (!b) {
		b = tp_pool_alloc_hard(pool, tier, n);
		if (!b) {
			errno = ENOMEM;
			return NULL;
		}
		tp_pool_count(pool, TP_MISSES);
	}
	/* Release: a reader of this get sees its miss. Partner: the acquire in tp_pool_counted. */
	tp_add_release(&tp_pool_counts(pool)[TP_SLOW_GETS], 1u);
	return get_lend_any_mode(b);
}

tp_cold void tp_pool_expired(tierpool *pool, unsigned tier)
{
	tp_pool_maintain(pool);
	tp_idle_arm(&pool->tiers, tier, tp_load_relaxed(&pool->blocks.passing));
}

static tp_cold tierpool_buf *get_lend_expired(tierpool *pool, tierpool_buf *b)
{
	tp_pool_expired(pool, b->tp_tier);
	return get_lend_any_mode(b);
}

/* As get_fast, but in locked mode too, and with more tries after an abort. */
static tp_outline tierpool_buf *get_any_mode(tierpool *pool, size_t n)
{
	size_t size_index = tp_size_index(n);
	uint32_t stack_offset = pool->quick_offset[size_index];
	bool expired;
	tierpool_buf *b;

	if (tp_unlikely(pool->quick_size[size_index] < n))
		stack_offset =
			tp_tiers_stack_offset(&pool->tiers, tp_sizeclass_search(&pool->sizes, n));
	b = tp_stack_pop(&pool->tiers.cpus, stack_offset / sizeof(uint64_t), &expired);
	if (tp_unlikely(!b))
		return get_slow(pool, n);
	return tp_unlikely(expired) ? get_lend_expired(pool, b) : get_lend_any_mode(b);
}

static tp_cold tierpool_buf *get_expired_or_none(tierpool *pool, size_t n, tierpool_buf *b)
{
	return b ? get_lend_expired(pool, b) : get_any_mode(pool, n);
}

/*
 * Every way out of the fast path ends in a call that needs nothing of what was found so far. So the
 * fast path saves no register.
 */
static inline tierpool_buf *get_from_stack(tierpool *pool, size_t stack_offset, size_t n)
{
	bool slow;
	tierpool_buf *b = tp_stack_pop_fast(&tp_pool_fast, pool, stack_offset, &slow);

	return tp_unlikely(slow) ? get_expired_or_none(pool, n, b) : get_lend(b);
}

/* If a doubling has several tiers; or no tier is large enough: its word is always 0. */
static tp_outline tierpool_buf *get_searched(tierpool *pool, size_t n)
{
	return get_from_stack(
		pool, tp_tiers_stack_offset(&pool->tiers, tp_sizeclass_search(&pool->sizes, n)), n);
}

static inline tierpool_buf *get_fast(tierpool *pool, size_t n)
{
	size_t size_index = tp_size_index(n);

	if (tp_unlikely(pool->quick_size[size_index] < n))
		return get_searched(pool, n);
	return get_from_stack(pool, pool->quick_offset[size_index], n);
}

static tierpool_buf *get_without_site(tierpool *pool, size_t n)
{
	if (!pool) {
		errno = EINVAL;
		return NULL;
	}
	return tp_likely(tp_pool_fast.rseq) ? get_fast(pool, n) : get_any_mode(pool, n);
}

/* A get whose site does not have the pool's id. */
static tp_outline tierpool_buf *get_aside(tierpool *pool, size_t n, tierpool_site *site)
{
	uint64_t id;

	if (tp_unlikely(!pool))
		return get_without_site(pool, n);
	/* Without a fast path another number than the id, so that tierpool_get_at_site comes here. */
	id = tp_pool_fast.rseq ? pool->id : ~pool->id;
	if (tp_unlikely(!tp_site_is_known(site, id)))
		tp_site_enter(&pool->sites, &pool->backing, site, id);
	return get_any_mode(pool, n);
}

tp_fastpath tierpool_buf *tierpool_get_at_site(tierpool *pool, size_t n, tierpool_site *site)
{
	if (tp_likely(pool && tp_site_is_known(site, pool->id)))
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
