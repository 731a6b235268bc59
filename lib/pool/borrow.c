/* SPDX-License-Identifier: MIT */
/*
 * Get, put and growth: the ways that programs run. The fast ones are here; what they lead to when a
 * stack cannot serve is pool.h's. Layer 8.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/atomic.h"
#include "memory/bufstate.h"
#include "memory/poison.h"
#include "percpu/stack.h"
#include "pool/buffer.h"
#include "pool/misuse.h"
#include "pool/pool.h"

/* There is a fast path in rseq mode, where nobody watches idle blocks. */
static struct tp_fast fast;

static void fast_settle(void)
{
	tp_percpu_start();
	tp_shadow_start();
	/* Never changed: a buffer that was lent by the fast path may be put only by it. */
	fast = (struct tp_fast){tp_shadow_watched ? 0 : tp_percpu_rseq, tp_percpu_count()};
}

void tp_pool_start(void)
{
	static pthread_once_t settled = PTHREAD_ONCE_INIT;

	pthread_once(&settled, fast_settle);
}

uint64_t tp_pool_lines(const tierpool *pool)
{
	return tp_page_line((uintptr_t)&fast) | tp_page_line((uintptr_t)&pool->id) |
	       tp_percpu_line();
}

/* ---- get ---- */

static inline tierpool_buf *lend(tierpool_buf *b, uint32_t control)
{
	b->len = 0;
	tp_control_set(b, control);
	return b;
}

/* In whatever mode, and telling those who watch idle blocks. */
static tierpool_buf *lend_in_any_mode(tierpool_buf *b)
{
	tp_shadow_show(b->data, b->cap);
	return lend(b, fast.rseq ? TP_CONTROL_FAST : TP_CONTROL_CAREFUL);
}

static unsigned tier_for(const tierpool *pool, size_t n)
{
	return n ? tp_sizeclass_of(&pool->sizes, n) : pool->default_tier;
}

/* What each slow call does beside its own work. */
static void attend(tierpool *pool)
{
	tp_pool_attend(pool);
	tp_decay_hurry(&pool->tiers.decay);
}

static tp_cold tierpool_buf *get_slow(tierpool *pool, size_t n)
{
	unsigned tier = tier_for(pool, n);
	tierpool_buf *b = NULL;

	/* Before anything comes to this CPU, which then is aged for what fell due. */
	attend(pool);
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
	lend_in_any_mode(b);
	if (tier == TP_TIER_NONE)
		tp_control_add(b, TP_STATE_OVERSIZE);
	return b;
}

/* What a CPU does at its strikes: a piece of what is due, and arms the next one. */
static tp_cold tierpool_buf *lend_struck(tierpool *pool, tierpool_buf *b)
{
	unsigned mean = tp_decay_gap(&pool->tiers.decay, tp_pool_attend(pool));

	tp_cpucache_arm(&pool->tiers.doors, b->tp_word, mean);
	return lend_in_any_mode(b);
}

/* The same as get_fast, in locked mode as well, and trying again what was aborted. */
static tp_outline tierpool_buf *get_in_any_mode(tierpool *pool, size_t n)
{
	size_t index = tp_size_index(n);
	unsigned at = pool->tiers.quick_at[index];
	uint64_t after;
	tierpool_buf *b;

	if (tp_unlikely(pool->tiers.quick_size[index] < n))
		at = pool->tiers.at[tp_sizeclass_search(&pool->sizes, n)];
	b = tp_cpucache_pop(&pool->tiers.doors, at, &after);
	if (tp_unlikely(!b))
		return get_slow(pool, n);
	return tp_unlikely((int64_t)after < 0) ? lend_struck(pool, b) : lend_in_any_mode(b);
}

static tp_cold tierpool_buf *get_odd(tierpool *pool, size_t n, tierpool_buf *b)
{
	return b ? lend_struck(pool, b) : get_in_any_mode(pool, n);
}

/*
 * Every way but the fast one ends in the call of a function, and none of them needs what the fast
 * one has found: so that it keeps nothing, and saves no register.
 */
static inline tierpool_buf *get_at_word(tierpool *pool, unsigned at, size_t n)
{
	bool odd;
	tierpool_buf *b = tp_cpucache_pop_fast(&fast, pool, at, &odd);

	return tp_unlikely(odd) ? get_odd(pool, n, b) : lend(b, TP_CONTROL_FAST);
}

/* Where a doubling holds several tiers; or none is large enough, whose word is always 0. */
static tp_outline tierpool_buf *get_searched(tierpool *pool, size_t n)
{
	return get_at_word(pool, pool->tiers.at[tp_sizeclass_search(&pool->sizes, n)], n);
}

static inline tierpool_buf *get_fast(tierpool *pool, size_t n)
{
	size_t index = tp_size_index(n);

	if (tp_unlikely(pool->tiers.quick_size[index] < n))
		return get_searched(pool, n);
	return get_at_word(pool, pool->tiers.quick_at[index], n);
}

static tierpool_buf *get_without_site(tierpool *pool, size_t n)
{
	if (!pool) {
		errno = EINVAL;
		return NULL;
	}
	return tp_likely(fast.rseq) ? get_fast(pool, n) : get_in_any_mode(pool, n);
}

/* The first get from a place; and, where there is no fast path, every one. */
static tp_outline tierpool_buf *get_aside(tierpool *pool, size_t n, tierpool_site *site)
{
	uint64_t id;

	if (tp_unlikely(!pool || !site))
		return get_without_site(pool, n);
	/* Without a fast path not the id itself, so that get_at sends every get here. */
	id = fast.rseq ? pool->id : ~pool->id;
	if (tp_unlikely(!tp_site_is_known(site, id)))
		tp_site_enter(&pool->sites, &pool->backing, site, id);
	return get_in_any_mode(pool, n);
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

/* ---- put ---- */

static tp_cold void put_slow(tierpool_buf *b)
{
	tierpool *pool = b->tp_pool;

	/* Once b is kept, another thread may destroy the pool and free it: not under our feet. */
	tp_registry_retain(&pool->registered);
	tp_pool_count(&pool->counters.slow_puts);
	/* Before b is kept, which owes nothing of what fell due earlier. */
	attend(pool);
	tp_pool_stow(pool, b);
	tp_registry_drop(&pool->registered);
}

/* A buffer whose state is more than borrowed: false when it may not be put. */
static bool put_special(tierpool_buf *b)
{
	if (!tp_misuse_check(b, true))
		return false;
	if (tp_control_has(b, TP_STATE_STREAM)) {
		tp_misuse(b, "put while its stream is open");
		return false;
	}
	if (tp_control_has(b, TP_STATE_SECRET))
		tp_buffer_wipe(b);
	return true;
}

/*
 * The same as tierpool_put, of whatever is not plain as well, in locked mode, and telling watchers.
 */
static tp_outline void put_in_any_mode(tierpool_buf *b)
{
	bool plain = tp_control_is_plain(b->tp_control);

	if (tp_unlikely(!plain && !put_special(b)))
		return;
	tp_control_set(b, tp_control(TP_STATE_IDLE));
	tp_shadow_hide(b->data, b->cap);
	if (!plain || !tp_cpucache_push(&b->tp_pool->tiers.doors, b->tp_word, b))
		put_slow(b);
}

/* After a push that found no room, or was aborted. */
static tp_cold void put_again(tierpool_buf *b)
{
	if (!tp_cpucache_push(&b->tp_pool->tiers.doors, b->tp_word, b))
		put_slow(b);
}

tp_fastpath void tierpool_put(tierpool_buf *b)
{
	if (tp_unlikely(!b))
		return;
	/* Where there is no fast path no buffer is in this state. */
	if (tp_unlikely(b->tp_control != TP_CONTROL_FAST)) {
		put_in_any_mode(b);
		return;
	}
	tp_control_idle(b);
	/* Nothing of b or of the pool is touched after a push: they may be gone. */
	if (tp_unlikely(!tp_cpucache_push_fast(&fast, b->tp_pool, b->tp_word, b)))
		put_again(b);
}

/* ---- growth ---- */

#define SWAP(a, b)                       \
	do {                             \
		__typeof__(a) was = (a); \
		(a) = (b);               \
		(b) = was;               \
	} while (0)

static void blocks_swap(tierpool_buf *a, tierpool_buf *b)
{
	SWAP(a->data, b->data);
	SWAP(a->cap, b->cap);
	SWAP(a->tp_word, b->tp_word);
	SWAP(a->tp_tier, b->tp_tier);
}

/* An idle buffer of at least n bytes, or a new one. NULL: out of memory. */
static tierpool_buf *buffer_obtain(tierpool *pool, size_t n)
{
	unsigned tier = tp_sizeclass_of(&pool->sizes, n);
	tierpool_buf *b = tier == TP_TIER_NONE ? NULL : tp_pool_take(pool, tier);

	if (b)
		tp_pool_count(&pool->counters.grows_pooled);
	else
		b = tp_pool_alloc(pool, tier, n);
	return b;
}

/* At least double, so that appending n bytes one by one copies less than 3 n. */
static size_t growth_size(const tierpool *pool, size_t cap, size_t need)
{
	size_t largest = pool->sizes.size[pool->sizes.count - 1];
	size_t doubled = cap > SIZE_MAX / 2 ? need : 2 * cap;

	/* The last doubling may lead past the largest tier, and what is needed not. */
	return need <= largest && doubled > largest ? largest : tp_max(need, doubled);
}

tierpool_buf *tp_pool_exchange(tierpool_buf *b, size_t need)
{
	tierpool *pool = b->tp_pool;
	size_t n = growth_size(pool, b->cap, need);
	tierpool_buf *other;

	attend(pool);
	other = buffer_obtain(pool, n);
	if (!other && n > need)
		other = buffer_obtain(pool, need);
	if (!other)
		return NULL;
	tp_pool_count(&pool->counters.grows);
	tp_shadow_show(other->data, other->cap);
	blocks_swap(b, other);
	if (b->tp_tier == TP_TIER_NONE)
		tp_control_add(b, TP_STATE_OVERSIZE);
	else
		tp_control_set(b, b->tp_control); /* the limit is another one now */
	/* Its block was in use until now, whatever the age of the one it had. */
	tp_control_set(other, tp_control(TP_STATE_IDLE));
	return other;
}

void tp_pool_retire(tierpool_buf *displaced)
{
	tp_pool_stow(displaced->tp_pool, displaced);
}
