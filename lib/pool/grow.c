/* SPDX-License-Identifier: MIT */
#include "pool/grow.h"

#include <string.h>

#include "base/probe.h"
#include "idle/idle.h"
#include "pool/advise.h"
#include "pool/fastpath.h"
#include "pool/guard.h"
#include "pool/pool.h"
#include "pool/trace.h"
#include "profile/samples.h"

#define SWAP(a, b)                       \
	do {                             \
		__typeof__(a) was = (a); \
		(a) = (b);               \
		(b) = was;               \
	} while (0)

static void grow_swap_blocks(tierpool_buf *a, tierpool_buf *b)
{
	char *data = a->data;
	size_t cap = a->cap;

	char *other = b->data;

	tp_bufhead_block_set(a, other, b->cap);
	tp_bufhead_block_set(b, data, cap);
	SWAP(a->tp_lend, b->tp_lend);
	SWAP(a->tp_stack_offset, b->tp_stack_offset);
	SWAP(a->tp_tier, b->tp_tier);
}

static tp_cold void grow_report(const tierpool_buf *b, size_t old_cap, size_t copied)
{
	const struct tp_sites *sites = &b->tp_pool->sites;
	uint32_t number = tp_site_word_number(b->tp_site_word);
	const struct tp_site *site = number ? tp_site_of_number(sites, number) : &sites->own;

	tp_probe(grow, tp_probe_text(b->tp_pool->registered.name), old_cap, b->cap, copied,
		tp_probe_text(site->file), site->line);
}

/* Whether anyone wants to know of a growth: the profile, its advisor, a probe. */
static inline bool grow_is_told(const tierpool_buf *b)
{
	return tp_unlikely(tp_bufstate_is_followed(b)) || tp_probe_wanted(grow);
}

static tp_cold void grow_tell(
	const tierpool_buf *b, unsigned old_tier, size_t old_cap, size_t copied)
{
	if (tp_bufstate_is_followed(b))
		tp_samples_grow(b, b->cap, copied);
	if (tp_bufstate_is_followed(b) && tp_pool_is_watched(b->tp_pool))
		tp_pool_advise_grow(b->tp_pool, old_tier, b->tp_tier);
	if (tp_probe_wanted(grow))
		grow_report(b, old_cap, copied);
}

/* A buffer has grown: its put is recorded, if it has a site; the content may be cut off later. */
static void grow_note(tierpool_buf *b)
{
	tp_bufstate_note_used(b, b->len);
	if (b->tp_site_word && b->tp_pool->sites.options.classes.every)
		tp_bufstate_record_growth(b);
	tp_bufstate_set(b, b->tp_state); /* for the limit, which follows the capacity */
}

/*
 * Above the tiers: makes the block itself larger, if it has pages of its own, whose content then need
 * not be copied. Returns: false: not possible, and nothing happened.
 */
static tp_cold bool grow_block(tierpool_buf *b, size_t keep, const void *src, size_t n, size_t size)
{
	tierpool *pool = b->tp_pool;
	size_t old_cap = b->cap;
	unsigned old_tier = b->tp_tier;
	size_t offset = (uintptr_t)src - (uintptr_t)b->data;
	bool inside = src && offset < b->cap;
	char *block = tp_block_grow(&pool->blocks, b->data, size);

	if (!block)
		return false;
	tp_pool_count(pool, TP_TIER_NONE, TP_GROWS_MISSED);
	if (b->tp_tier != TP_TIER_NONE)
		tp_pool_count(pool, b->tp_tier, TP_GROWN_AWAY);
	tp_bufhead_block_set(b, block, size);
	b->tp_tier = TP_TIER_NONE;
	b->tp_stack_offset = tp_tiers_stack_offset(&pool->tiers, TP_TIER_NONE);
	tp_bufstate_lend_note(b);
	/* If src lies in the block it has moved along. */
	if (src)
		memmove(block + keep, inside ? block + offset : src, n);
	b->len = keep + n;
	grow_note(b);
	if (grow_is_told(b))
		grow_tell(b, old_tier, old_cap, 0);
	return true;
}

/* The content has left the old block, which goes back whole, and was too small for need behind its front. */
static tp_cold void grow_forget_front(tierpool_buf *b, size_t need)
{
	tp_bufstate_note_used(b, tp_bufstate_front(b) + need);
	tp_bufstate_front_set(b, 0);
}

/*
 * At least double, so that appending n bytes one by one copies fewer than 3 n; and what the site has
 * learned.
 */
static size_t grow_size(const tierpool_buf *b, size_t need)
{
	const tierpool *pool = b->tp_pool;
	size_t largest = pool->sizes.size[pool->sizes.count - 1];
	size_t cap = b->cap + tp_bufstate_front(b);
	size_t size = tp_max(need, cap > SIZE_MAX / 2 ? need : 2 * cap);
	uint32_t number = tp_site_word_number(b->tp_site_word);

	if (number)
		size = tp_max(
			size, tp_calibration_step(&pool->sites.options.classes,
				      &tp_site_of_number(&pool->sites, number)->sizes, cap, need));
	/*
	 * A double size may be above the largest tier though the need is not. What was consumed of a block of
	 * that size is no reason for another one, which would be full as soon.
	 */
	return need <= largest && cap < largest ? tp_min(size, largest) : size;
}

/*
 * Takes an idle buffer of at least n bytes from elsewhere, or makes one. hard: as tp_pool_alloc_hard.
 * NULL: out of memory.
 */
static tierpool_buf *grow_obtain(tierpool *pool, size_t n, bool hard)
{
	unsigned tier = tp_sizeclass_of(&pool->sizes, n);
	enum tp_count count = TP_GROWS_TAKEN;
	enum tp_found found;
	tierpool_buf *b = NULL;

	if (tier != TP_TIER_NONE) {
		tp_maximum_ask(&pool->maximum, tier);
		b = tp_idle_take(&pool->tiers, tier, &found);
	}
	if (!b) {
		b = hard ? tp_pool_alloc_hard(pool, tier, n) : tp_pool_alloc(pool, tier, n);
		count = TP_GROWS_MISSED;
	}
	if (b)
		tp_pool_count(pool, b->tp_tier, count);
	return b;
}

/* After a pop that took nothing: a buffer of n bytes; if there is no memory for that, of need. */
static tp_cold tierpool_buf *grow_slow(tierpool *pool, size_t n, size_t need)
{
	tierpool_buf *b;

	tp_pool_maintain(pool);
	b = grow_obtain(pool, n, n <= need);
	return b || n <= need ? b : grow_obtain(pool, need, true);
}

/* ---- an exchange ---- */

/*
 * What it counts: of the tier in counters, those of the CPU where the growth began, on a line that no
 * CPU shares.
 */
static inline uint64_t *grow_count(
	struct tp_stack_counters *counters, unsigned tier, enum tp_exchange which)
{
	return &counters[tier].owner[which];
}

/* Pops an idle buffer of the tier from the caller's CPU, which is no get. NULL: there is none. */
static inline tierpool_buf *grow_pop(
	tierpool *pool, unsigned tier, struct tp_stack_counters *counters)
{
	uint32_t stack_offset = tp_tiers_stack_offset(&pool->tiers, tier);
	tierpool_buf *b = NULL;
	bool expired;

	if (tp_unlikely(tier == TP_TIER_NONE))
		return NULL;
	/* Before the pop: no reading counts that as a get. */
	tp_add_relaxed(grow_count(counters, tier, TP_EXCHANGE_POPS), 1u);
	if (tp_likely(tp_pool_fast.rseq))
		b = tp_stack_pop_fast(&tp_pool_fast, pool, stack_offset, &expired);
	/* Again: an abort is no reason to allocate. */
	if (tp_unlikely(!b))
		b = tp_stack_pop(&pool->tiers.cpus, stack_offset / sizeof(uint64_t), &expired);
	if (tp_unlikely(!b)) {
		tp_sub_relaxed(grow_count(counters, tier, TP_EXCHANGE_POPS), 1u);
		return NULL;
	}
	if (tp_unlikely(expired))
		tp_pool_expired(pool, tier);
	return b;
}

/* Counts the bytes that a growth to a tier has copied. */
static inline void grow_count_bytes(tierpool *pool, unsigned tier, size_t bytes, bool popped,
	struct tp_stack_counters *counters)
{
	if (tp_likely(popped)) {
		tp_add_relaxed(grow_count(counters, tier, TP_EXCHANGE_BYTES), bytes);
	} else {
		tp_counts_add(&pool->tiers, tier, TP_GROW_BYTES, bytes);
	}
}

/* Gives the buffer that has the old block to its pool; after a pop by a push, which is no put. */
static inline void grow_retire(
	tierpool *pool, tierpool_buf *b, bool popped, struct tp_stack_counters *counters)
{
	if (popped) {
		tp_guard_hide(b);
		/* Before the push, as in grow_pop. Release: see tp_counts_exchanges. */
		tp_add_release(grow_count(counters, b->tp_tier, TP_EXCHANGE_PUSHES), 1u);
		if (tp_likely(tp_pool_fast.rseq) &&
			tp_stack_push_fast(&tp_pool_fast, pool, &b->tp_stack_offset, b))
			return;
		if (tp_stack_push(&pool->tiers.cpus, pool->tiers.stack_index[b->tp_tier], b))
			return;
		/* Release: a reader of this one sees the one above. Partner: tp_counts_read. */
		tp_add_release(&tp_counts_of(&pool->tiers, b->tp_tier)->n[TP_SLOW_PUTS], 1u);
	}
	tp_pool_keep(pool, b);
}

bool tp_pool_grow(tierpool_buf *b, size_t keep, const void *src, size_t n, size_t need)
{
	tierpool *pool = b->tp_pool;
	size_t size = grow_size(b, need);
	unsigned tier = tp_sizeclass_of(&pool->sizes, size);
	struct tp_stack_counters *counters =
		tp_stack_counters(&pool->tiers.cpus, tp_cpu_current(pool->tiers.cpus.count), 0);
	tierpool_buf *other;
	bool popped;

	if (tp_unlikely(tier == TP_TIER_NONE && !tp_bufstate_is_consumed(b) &&
			grow_block(b, keep, src, n, size))) {
		if (tp_load_relaxed(&tp_trace_on))
			tp_trace_grow(b, need, keep);
		return true;
	}
	other = grow_pop(pool, tier, counters);
	popped = other;
	if (tp_unlikely(!popped))
		other = grow_slow(pool, size, need);
	if (tp_unlikely(!other))
		return false;
	tp_guard_show(other);
	memcpy(other->data, b->data, keep);
	if (n)
		memcpy(other->data + keep, src, n);
	b->len = keep + n;
	if (tp_unlikely(tp_bufstate_is_consumed(b)))
		grow_forget_front(b, need);
	grow_swap_blocks(b, other);
	tp_block_owner_set(&pool->blocks, b->data, b);
	tp_block_owner_set(&pool->blocks, other->data, other);
	grow_note(b);
	if (grow_is_told(b))
		grow_tell(b, other->tp_tier, other->cap, keep);
	grow_count_bytes(pool, b->tp_tier, keep, popped, counters);
	if (tp_unlikely(tp_bufstate_has(b, TP_STATE_SECRET)))
		explicit_bzero(other->data, other->cap);
	/* Age 0: the block that it has now was in use until now. */
	tp_bufstate_idle(other);
	if (tp_unlikely(tp_load_relaxed(&tp_trace_on)))
		tp_trace_grow(b, need, keep);
	grow_retire(pool, other, popped, counters);
	return true;
}
