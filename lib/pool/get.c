/* SPDX-License-Identifier: MIT */
/*
 * Get: a pop from the caller's CPU, and what follows if that finds nothing. Ways, in order:
 *
 *     get_from_stack   one try of the restartable sequence; get_any_mode if there is no fast path
 *     get_seldom       the same pop, tried again after an abort; and what an expired countdown
 *                      stands for: a piece of the pool's decay, or a sample
 *     get_slow         the slow call: an idle buffer from elsewhere, or a new block. A pool's first
 *                      get is one, and makes the mapping of its tables
 */
#include <errno.h>
#include <pthread.h>

#include "base/colour.h"
#include "base/debug.h"
#include "base/probe.h"
#include "idle/countdown.h"
#include "idle/idle.h"
#include "pool/advise.h"
#include "pool/fastpath.h"
#include "pool/guard.h"
#include "pool/pool.h"
#include "pool/trace.h"
#include "profile/control.h"
#include "profile/rate.h"
#include "profile/samples.h"

struct tp_fast tp_pool_fast;

static void get_fast_settle(void)
{
	tp_cpu_init();
	tp_guard_start();
	/* Never changes: the state of a borrowed buffer says which way its put goes. */
	tp_trace_start();
	tp_profile_environment();
	tp_pool_fast = (struct tp_fast){
		tp_guarded || tp_debug_any() || tp_trace_on ? 0 : tp_cpu_rseq, tp_cpu_count()};
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
	uint64_t colours = tp_colour((uintptr_t)&tp_pool_fast) |
			   tp_colour((uintptr_t)&pool->fast_id) | tp_cpu_rseq_colour();

	for (size_t i = tp_min(one, other); i <= tp_max(one, other); i++)
		colours |= tp_colour((uintptr_t)&pool->quick_size[i]) |
			   tp_colour((uintptr_t)&pool->quick_offset[i]);
	return colours;
}

/* ---- the slow ways ---- */

/* What the slow ways know of a get. */
struct get_request {
	size_t n; /* 0: the site's default */
	unsigned tier;
	struct tp_site *site;
	const void *frame; /* of the function that the borrower has called */
};

static struct get_request get_request_make(
	tierpool *pool, size_t n, tierpool_site *stub, const void *frame)
{
	struct tp_site *site = tp_site_of_stub(&pool->sites, stub);
	unsigned tier = n ? tp_sizeclass_of(&pool->sizes, n) : tp_calibration_tier(&site->sizes);

	return (struct get_request){n, tier, site, frame};
}

/* Lends in either mode, and if idle buffers are guarded. Returns: the buffer, which may be another one. */
static tierpool_buf *get_lend_any_mode(tierpool_buf *b, uint32_t site_word)
{
	b = tp_guard_lend(b);
	b->len = 0;
	b->tp_site_word = site_word;
	b->tp_high_water = 0;
	tp_bufstate_set(b, tp_pool_fast.rseq ? TP_BUFSTATE_FAST : TP_BUFSTATE_CAREFUL);
	return b;
}

_Static_assert(TP_SERVED_DEPOT + TP_FOUND_ON_OTHER_CPU == TP_SERVED_OTHER_CPU &&
		       TP_SERVED_DEPOT + TP_FOUND_LARGER == TP_SERVED_LARGER,
	"in one order");

/* Has the profile follow a buffer that was lent. */
static tp_cold void get_follow(tierpool *pool, tierpool_buf *b, const struct get_request *request,
	unsigned step, enum tp_served served)
{
	const struct tp_site *site = request->site;
	bool own = site == &pool->sites.own;

	if (tp_samples_get(&(struct tp_sampled_get){.buffer = b,
		    .site = site,
		    .pool = pool->registered.name,
		    .file = own ? "" : site->file,
		    .label = own ? "" : site->label,
		    .pool_id = pool->registered.id,
		    .line = site->line,
		    .step = step,
		    .asked = request->n,
		    .cap = b->cap,
		    .served = request->tier == TP_TIER_NONE ? TP_SERVED_OVERSIZE : served,
		    .frame = request->frame}))
		tp_bufstate_record(b, TP_RECORD_FOLLOWED);
	tp_pool_advise(pool);
}

/* The same; if it is sampled, or the site is new, its put is recorded. */
static tierpool_buf *get_lend_noted(tierpool *pool, tierpool_buf *b,
	const struct get_request *request, struct tp_expiry expiry, enum tp_served served)
{
	struct tp_site *site = request->site;
	bool learns = !request->n && tp_calibration_is_new(&site->sizes);
	unsigned why = (expiry.sampled ? TP_RECORD_SAMPLED : 0u) | (learns ? TP_RECORD_NEW : 0u);

	b = get_lend_any_mode(b, request->n ? 0 : tp_site_word_half(tp_load_relaxed(&site->word)));
	if (why)
		tp_add_lossy(&site->gets, learns ? 1u : (uint64_t)TP_SAMPLE);
	if (!request->n && why)
		tp_bufstate_record(b, why);
	if (tp_unlikely(expiry.step != TP_RATE_OFF))
		get_follow(pool, b, request, expiry.step, served);
	if (tp_pool_is_watched(pool)) {
		tp_bufstate_record(b, TP_RECORD_FOLLOWED);
		tp_pool_advise_get(pool, request->tier);
	}
	return b;
}

static size_t get_bytes(const tierpool *pool, const struct get_request *request)
{
	return request->n ? request->n : pool->sizes.size[request->tier];
}

static tierpool_buf *get_slow(tierpool *pool, const struct get_request *request)
{
	enum tp_served served = TP_SERVED_NEW;
	tierpool_buf *b = NULL;
	enum tp_found found;

	if (tp_unlikely(!tp_tiers_map(&pool->tiers)))
		goto no_memory;
	/* Before all else: what comes to this CPU later is not aged for a tick that was due before. */
	tp_pool_maintain(pool);
	if (request->tier != TP_TIER_NONE) {
		tp_maximum_ask(&pool->maximum, request->tier);
		b = tp_idle_take(&pool->tiers, request->tier, &found);
	}
	if (b) {
		tp_pool_count(pool, request->tier, TP_HITS_DEPOT + found);
		served = TP_SERVED_DEPOT + found;
	} else {
		tp_probe(get_miss, tp_probe_text(pool->registered.name), get_bytes(pool, request),
			tp_probe_text(request->site->file), request->site->line,
			tp_tiers_bytes(&pool->tiers), tp_budget_bound(&pool->tiers.retain));
		b = tp_pool_alloc_hard(pool, request->tier, request->n);
		if (!b)
			goto no_memory;
		tp_pool_count(pool, request->tier, TP_MISSES);
	}
	return get_lend_noted(pool, b, request, tp_idle_draw(&pool->tiers, b->cap), served);

no_memory:
	errno = ENOMEM;
	return NULL;
}

tp_cold struct tp_expiry tp_pool_expired(tierpool *pool, unsigned tier)
{
	struct tp_expiry expiry = tp_idle_expiry(&pool->tiers, tier);
	bool more = false;

	if (expiry.look) {
		tp_pool_maintain(pool);
		more = tp_idle_is_due(&pool->tiers) || tp_load_relaxed(&pool->blocks.passing);
	}
	tp_idle_arm(&pool->tiers, tier, more);
	return expiry;
}

void tp_pool_expire(struct tp_registered *entry)
{
	tp_idle_expire(&tp_pool_of(entry)->tiers);
}

static tierpool_buf *get_seldom_untraced(
	tierpool *pool, tierpool_buf *b, size_t n, tierpool_site *stub, const void *frame)
{
	struct get_request request = get_request_make(pool, n, stub, frame);
	struct tp_expiry expiry = {.step = TP_RATE_OFF};
	bool expired = b;

	/* Again: it may have been aborted, or have looked into the empty stack of a new site. */
	if (!b)
		b = tp_stack_pop(&pool->tiers.cpus,
			tp_tiers_stack_offset(&pool->tiers, request.tier) / sizeof(uint64_t),
			&expired);
	if (!b)
		return get_slow(pool, &request);
	if (expired)
		expiry = tp_pool_expired(pool, b->tp_tier);
	/* Claimed, so that the stub is with the pool that uses it most. */
	if (expiry.sampled)
		tp_site_renew(&pool->sites, request.site, stub, true);
	return get_lend_noted(pool, b, &request, expiry, TP_SERVED_CPU);
}

static inline void get_trace(tierpool *pool, const tierpool_buf *b, size_t n, tierpool_site *stub)
{
	if (tp_unlikely(tp_load_relaxed(&tp_trace_on)) && b)
		tp_trace_get(pool, b, tp_site_of_stub(&pool->sites, stub), n);
}

/*
 * A get whose pop has left the countdown expired, and took b; or took nothing, and b is NULL. Its
 * callers leave to it by a jump. So it is called by the borrower: its frame begins a stack.
 */
static tp_cold tierpool_buf *get_seldom(
	tierpool *pool, tierpool_buf *b, size_t n, tierpool_site *stub)
{
	b = get_seldom_untraced(pool, b, n, stub, __builtin_frame_address(0));
	get_trace(pool, b, n, stub);
	return b;
}

/* Where the stack of a size lies. */
static inline size_t get_sized_offset(const tierpool *pool, size_t n)
{
	size_t size_index = tp_size_index(n);

	if (tp_likely(pool->quick_size[size_index] >= n))
		return pool->quick_offset[size_index];
	return tp_tiers_stack_offset(&pool->tiers, tp_sizeclass_search(&pool->sizes, n));
}

/* By value: a call that were given the place of expired could not be left by a jump. */
struct get_popped {
	tierpool_buf *b;
	bool expired;
};

static inline struct get_popped get_pop(const tierpool *pool, size_t stack_offset)
{
	bool expired; /* if nothing was there it means nothing */
	tierpool_buf *b = tp_stack_pop(
		&pool->tiers.cpus, (unsigned)(stack_offset / sizeof(uint64_t)), &expired);

	return b ? (struct get_popped){b, expired} : (struct get_popped){NULL, false};
}

/* Without a fast path. */
static tp_outline tierpool_buf *get_any_mode(tierpool *pool, size_t n, tierpool_site *stub)
{
	uint32_t half = tp_site_half(&pool->sites, stub);
	struct get_popped popped = {NULL, false};
	tierpool_buf *b;

	if (tp_likely(half))
		popped = get_pop(pool, n ? get_sized_offset(pool, n) : tp_site_word_offset(half));
	if (tp_unlikely(!popped.b || popped.expired))
		return get_seldom(pool, popped.b, n, stub);
	b = get_lend_any_mode(popped.b, n ? 0 : half);
	get_trace(pool, b, n, stub);
	return b;
}

/* ---- the fast path ---- */

/*
 * Every way out of the fast path ends in a call that needs nothing of what was found so far. So the
 * fast path saves no register.
 */
static inline tierpool_buf *get_from_stack(
	tierpool *pool, size_t stack_offset, uint32_t site_word, size_t n, tierpool_site *stub)
{
	bool slow;
	tierpool_buf *b = tp_stack_pop_fast(&tp_pool_fast, pool, stack_offset, &slow);

	if (tp_unlikely(slow))
		return get_seldom(pool, b, n, stub);
	b->len = 0;
	tp_bufstate_lend(b, site_word);
	return b;
}

/* If a doubling has several tiers; or no tier is large enough: its word is always 0. */
static tp_outline tierpool_buf *get_searched(tierpool *pool, size_t n, tierpool_site *stub)
{
	return get_from_stack(pool,
		tp_tiers_stack_offset(&pool->tiers, tp_sizeclass_search(&pool->sizes, n)), 0, n,
		stub);
}

/* n 0: its stack is the one that is always empty. */
static inline tierpool_buf *get_sized_fast(tierpool *pool, size_t n, tierpool_site *stub)
{
	size_t size_index = tp_size_index(n);

	if (tp_unlikely(pool->quick_size[size_index] < n))
		return get_searched(pool, n, stub);
	return get_from_stack(pool, pool->quick_offset[size_index], 0, n, stub);
}

static inline tierpool_buf *get_calibrated_fast(tierpool *pool, uint32_t half, tierpool_site *stub)
{
	return get_from_stack(pool, tp_site_word_offset(half), half, 0, stub);
}

static tp_cold tierpool_buf *get_refused(void)
{
	errno = EINVAL;
	return NULL;
}

/* A get whose stub does not have the word of this pool. */
static tp_outline tierpool_buf *get_aside(tierpool *pool, size_t n, tierpool_site *stub)
{
	uint32_t half;

	if (tp_unlikely(!pool))
		return get_refused();
	if (tp_unlikely(!tp_pool_fast.rseq))
		return get_any_mode(pool, n, stub);
	half = tp_site_recall(&pool->sites, stub);
	if (tp_unlikely(!half))
		return get_seldom(pool, NULL, n, stub);
	return n ? get_sized_fast(pool, n, stub) : get_calibrated_fast(pool, half, stub);
}

static inline bool get_is_known(const tierpool *pool, uint64_t word)
{
	return tp_likely(pool && tp_site_word_pool(word) == pool->fast_id);
}

tp_fastpath tierpool_buf *tierpool_get_calibrated(tierpool *pool, tierpool_site *stub)
{
	uint64_t word = tp_site_stub_word(stub);

	if (get_is_known(pool, word))
		return get_calibrated_fast(pool, tp_site_word_half(word), stub);
	return get_aside(pool, 0, stub);
}

tp_fastpath tierpool_buf *tierpool_get_at_site(tierpool *pool, size_t n, tierpool_site *stub)
{
	if (get_is_known(pool, tp_site_stub_word(stub)))
		return get_sized_fast(pool, n, stub);
	return get_aside(pool, n, stub);
}

tierpool_buf *(tierpool_get)(tierpool *pool)
{
	return pool ? tierpool_get_calibrated(pool, &pool->sites.own_stub) : get_refused();
}

tierpool_buf *(tierpool_get_sized)(tierpool *pool, size_t n)
{
	if (!pool)
		return get_refused();
	return n ? tierpool_get_at_site(pool, n, &pool->sites.own_stub)
		 : tierpool_get_calibrated(pool, &pool->sites.own_stub);
}
