/* SPDX-License-Identifier: MIT */
/*
 * Put: a push to the caller's CPU, and what follows if there is no room there.
 */
#include <string.h>

#include "base/debug.h"
#include "base/keep_errno.h"
#include "base/probe.h"
#include "idle/idle.h"
#include "pool/advise.h"
#include "pool/fastpath.h"
#include "pool/guard.h"
#include "pool/misuse.h"
#include "pool/pool.h"
#include "pool/shared_budget.h"
#include "pool/trace.h"
#include "profile/samples.h"

static bool put_evict(tierpool *pool, unsigned tier)
{
	return tp_idle_evict(&pool->tiers, tier);
}

/*
 * Leases a place for a buffer of the tier, outside the stack of the caller's CPU: from what is free
 * or is room that nobody uses; from the neighbours on a shared budget; from a larger buffer, which
 * goes.
 */
static enum tp_kept put_lease(tierpool *pool, unsigned tier)
{
	static bool (*const makes_place[])(tierpool *, unsigned) = {tp_pool_reclaim, put_evict};
	enum tp_kept kept = tp_idle_lease(&pool->tiers, tier);

	for (size_t i = 0; i < 2 && kept == TP_NO_BYTES; i++)
		if (makes_place[i](pool, tier))
			kept = tp_tiers_lease(&pool->tiers, tier, 1);
	return kept;
}

/* The ladder of a put, once: a place in the stack of the CPU; one in the depot; else it is freed. */
void tp_pool_keep(tierpool *pool, tierpool_buf *b)
{
	unsigned tier = b->tp_tier;
	enum tp_kept kept;
	bool stays;
	void *item = b;

	if (tier == TP_TIER_NONE || !tp_maximum_keeps(&pool->maximum, tier)) {
		tp_pool_free(pool, b, TP_DROP_OVERSIZE, false);
		tp_pool_wake_reaper(pool, false);
		return;
	}
	if (tp_unlikely(tp_debug.unpooled)) {
		tp_pool_free(pool, b, TP_DROP_RETAIN, false);
		return;
	}
	tp_guard_hide(b);
	stays = tp_idle_keep_in_stack(&pool->tiers, tier, b);
	if (!stays) {
		kept = put_lease(pool, tier);
		stays = kept == TP_KEPT;
		if (!stays)
			tp_pool_free(pool, b,
				kept == TP_NO_BYTES ? TP_DROP_RETAIN : TP_DROP_IDLE_COUNT, false);
		else
			stays = tp_tiers_depot_push(&pool->tiers, tier, TP_YOUNG, &item, 1);
	}
	tp_pool_wake_reaper(pool, stays);
}

static tp_cold void put_slow(tierpool_buf *b)
{
	TP_KEEP_ERRNO;
	tierpool *pool = b->tp_pool;

	/* Once b is kept another thread may destroy the pool. This reference keeps it here. */
	tp_registry_hold_known(&pool->registered);
	tp_pool_count(pool, b->tp_tier, TP_SLOW_PUTS);
	/* First: b must not be aged for a tick that was due before. */
	tp_pool_maintain(pool);
	tp_pool_keep(pool, b);
	tp_registry_let_go(&pool->registered);
}

/* For a buffer that is not plain. Returns: false if it may not be put; that is reported. */
static bool put_check(tierpool_buf *b)
{
	if (!tp_misuse_check(b, true))
		return false;
	if (tp_bufstate_has(b, TP_STATE_STREAM)) {
		tp_misuse(b, "put while its stream is open");
		return false;
	}
	return true;
}

/* Has the gets of a site look into the stack of its default. */
static void put_site_set(tierpool *pool, struct tp_site *site)
{
	unsigned tier;

	/* Again, if another thread judged meanwhile: the last one is to stay. */
	do {
		tier = tp_calibration_tier(&site->sizes);
		tp_site_begin_with(site, tp_tiers_stack_offset(&pool->tiers, tier));
	} while (tier != tp_calibration_tier(&site->sizes));
}

static bool put_site_is_set(const tierpool *pool, const struct tp_site *site)
{
	uint32_t half = tp_site_word_half(tp_load_relaxed(&site->word));

	return tp_site_word_offset(half) != pool->sites.options.stack_offset;
}

static tp_cold void put_report_default(
	const tierpool *pool, const struct tp_site *site, struct tp_judged judged)
{
	tp_probe(learn, tp_probe_text(pool->registered.name), tp_probe_text(site->file), site->line,
		pool->sizes.size[judged.was], pool->sizes.size[judged.now]);
}

/* Counts the put for its site, and judges what the site has learned, if that is due. */
static tp_cold void put_calibrate(tierpool_buf *b)
{
	tierpool *pool = b->tp_pool;
	const struct tp_classes *classes = &pool->sites.options.classes;
	struct tp_site *site =
		tp_site_of_number(&pool->sites, tp_site_word_number(b->tp_site_word));
	unsigned growths = b->tp_growths & TP_GROWTHS_MOST;
	enum tp_due due;
	struct tp_judged judged = {0};

	if (growths)
		tp_add_relaxed(&site->growths, growths);
	due = tp_calibration_count(classes, &site->sizes,
		(struct tp_use){tp_min(tp_bufstate_used(b), b->cap), growths,
			b->tp_growths & TP_RECORD_SAMPLED});
	if (due != TP_DUE_NOTHING)
		judged = tp_calibration_judge(
			classes, &site->sizes, due, tp_load_relaxed(&pool->crowded));
	if (judged.done && due == TP_DUE_ALL)
		tp_add_relaxed(&pool->calibrations, 1u);
	if (judged.was != judged.now)
		put_report_default(pool, site, judged);
	/* Also if another thread was judging when the place ceased to be new. */
	if (!tp_calibration_is_new(&site->sizes) && (judged.done || !put_site_is_set(pool, site)))
		put_site_set(pool, site);
}

/* Tells the profile, and its advisor. */
static void put_tell(tierpool_buf *b)
{
	tp_samples_put(b, tp_min(tp_bufstate_used(b), b->cap));
	if (tp_pool_is_watched(b->tp_pool))
		tp_pool_advise_put(b->tp_pool, b->tp_tier);
}

static tp_cold void put_record(tierpool_buf *b)
{
	TP_KEEP_ERRNO;

	if (b->tp_growths & TP_RECORD_FOLLOWED)
		put_tell(b);
	/* Not of a get with a size; nor if it is recorded for the profile alone. */
	if (b->tp_site_word && b->tp_growths != TP_RECORD_FOLLOWED)
		put_calibrate(b);
}

static inline bool put_push(tierpool_buf *b)
{
	return tp_stack_push(
		&b->tp_pool->tiers.cpus, b->tp_stack_offset / (unsigned)sizeof(uint64_t), b);
}

/* As tierpool_put, for any state and length, in either mode, and if idle buffers are watched. */
static tp_outline void put_seldom(tierpool_buf *b)
{
	bool plain = tp_bufstate_is_plain(b->tp_state) && b->len <= b->cap;

	if (!plain && !put_check(b))
		return;
	if (tp_bufstate_is_consumed(b)) {
		tp_bufstate_note_len(b);
		tp_bufstate_front_set(b, 0);
	}
	if (tp_bufstate_has(b, TP_STATE_SECRET))
		explicit_bzero(b->data, b->cap);
	if (tp_bufstate_has(b, TP_STATE_RECORDED))
		put_record(b);
	if (tp_load_relaxed(&tp_trace_on))
		tp_trace_put(b);
	tp_bufstate_set(b, tp_bufstate(TP_STATE_IDLE));
	tp_guard_hide(b);
	if (!plain || !put_push(b))
		put_slow(b);
}

/* The same, mostly of a plain buffer in locked mode. */
static tp_outline void put_any_mode(tierpool_buf *b)
{
	if (tp_unlikely(b->tp_state != TP_BUFSTATE_CAREFUL || b->len > b->cap || tp_guarded ||
			tp_load_relaxed(&tp_trace_on))) {
		put_seldom(b);
		return;
	}
	tp_bufstate_idle(b);
	if (!put_push(b))
		put_slow(b);
}

/* The one try of the fast path found no room, or was aborted. */
static tp_cold void put_again(tierpool_buf *b)
{
	if (!put_push(b))
		put_slow(b);
}

tp_fastpath void tierpool_put_buf(tierpool_buf *b)
{
	/* Without a fast path no buffer has this state. */
	if (tp_unlikely(b->tp_state != TP_BUFSTATE_FAST)) {
		put_any_mode(b);
		return;
	}
	tp_bufstate_idle(b);
	/* After a push that succeeds nothing of b or the pool is touched: they may be gone. */
	if (tp_unlikely(!tp_stack_push_fast(&tp_pool_fast, b->tp_pool, &b->tp_stack_offset, b)))
		put_again(b);
}
