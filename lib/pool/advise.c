/* SPDX-License-Identifier: MIT */
#include "pool/advise.h"

#include "base/clock.h"
#include "base/keep_errno.h"
#include "idle/countdown.h"
#include "pool/counts.h"
#include "pool/model_options.h"
#include "profile/advice.h"
#include "profile/rate.h"

/* What is out: each number as of some moment of the poll. */
static void advise_look(const tierpool *pool, struct tp_poll *poll)
{
	const struct tp_tiers *tiers = &pool->tiers;
	int64_t hits = 0;

	for (unsigned tier = 0; tier < tiers->count; tier++) {
		uint64_t made, gone;

		poll->out[tier] = 0;
		if (!tp_counts_read(tiers, tier, TP_ALLOCS))
			continue; /* no CPU has had a block of it */
		gone = tp_tiers_count(tiers, tier) + tp_counts_drops_of(tiers, tier) +
		       tp_counts_read(tiers, tier, TP_GROWN_AWAY);
		made = tp_counts_read(tiers, tier, TP_ALLOCS);
		poll->out[tier] = made > gone ? (size_t)(made - gone) : 0;
		hits += tp_counts_moves(tiers, tier).hits_cpu;
	}
	/* Less than before at most, if a countdown is being armed. */
	poll->gets = tp_counts_slow_gets(tiers) + (hits > 0 ? (uint64_t)hits : 0);
	poll->retain = tp_budget_bound(&tiers->retain);
	poll->ns = tp_clock_ns();
}

/* In the lock. */
static struct tp_advice *advise_begin(tierpool *pool)
{
	struct tp_model_tier tier[TP_TIERS_MAX];
	struct tp_model_options options = tp_model_options_of(pool, tier, NULL, 0);

	if (!pool->advice)
		tp_store_release(&pool->advice,
			tp_advice_begin(pool->registered.name, pool->registered.id, &options));
	return pool->advice;
}

/* Has each get come the slow way, and then begins the window. */
static void advise_arm(tierpool *pool, struct tp_poll *poll)
{
	tp_store_relaxed(&pool->tiers.watched, true);
	tp_idle_expire(&pool->tiers);
	tp_advice_lock();
	advise_look(pool, poll);
	tp_advice_window_begin(pool->advice, poll);
	tp_advice_unlock();
}

static tp_cold void advise_poll(tierpool *pool)
{
	uint64_t begun_ns;
	struct tp_poll poll;
	struct tp_advice *advice;
	bool arm = false;

	if (!tp_advice_try_lock())
		return;
	begun_ns = tp_clock_ns();
	advice = advise_begin(pool);
	if (advice && tp_advice_is_due(advice, begun_ns)) {
		advise_look(pool, &poll);
		arm = tp_advice_poll(advice, &poll);
		tp_advice_pause(advice, begun_ns, tp_clock_ns());
	}
	tp_advice_unlock();
	if (arm)
		advise_arm(pool, &poll);
}

void tp_pool_advise(tierpool *pool)
{
	TP_KEEP_ERRNO;
	const struct tp_advice *advice = tp_load_acquire(&pool->advice);

	if (!advice || tp_advice_is_due(advice, tp_clock_ns()))
		advise_poll(pool);
}

/* ---- windows ---- */

/* After an event, in the lock. */
static void advise_event(tierpool *pool, bool wanted, unsigned cpu)
{
	struct tp_poll poll;
	bool goes_on = true;

	if (wanted) {
		advise_look(pool, &poll);
		goes_on = tp_advice_window_poll(pool->advice, &poll, cpu);
	} else if (pool->advice->state == TP_ADVICE_WATCHING) {
		goes_on = false; /* it was given up, as another profile began */
	}
	if (!goes_on)
		tp_store_relaxed(&pool->tiers.watched, false);
}

void tp_pool_advise_get(tierpool *pool, unsigned tier)
{
	unsigned cpu = tp_cpu_current(pool->tiers.cpus.count);

	tp_advice_lock();
	advise_event(pool, tp_advice_get(pool->advice, tier, cpu, tp_clock_ns()), cpu);
	tp_advice_unlock();
}

void tp_pool_advise_put(tierpool *pool, unsigned tier)
{
	unsigned cpu = tp_cpu_current(pool->tiers.cpus.count);

	tp_advice_lock();
	advise_event(pool, tp_advice_put(pool->advice, tier, cpu, tp_clock_ns()), cpu);
	tp_advice_unlock();
}

void tp_pool_advise_grow(tierpool *pool, unsigned from, unsigned to)
{
	unsigned cpu = tp_cpu_current(pool->tiers.cpus.count);

	tp_advice_lock();
	advise_event(pool, tp_advice_grow(pool->advice, from, to, cpu, tp_clock_ns()), cpu);
	tp_advice_unlock();
}

void tp_pool_advise_end(tierpool *pool)
{
	if (!pool->advice)
		return;
	tp_advice_lock();
	tp_advice_end(pool->advice);
	tp_advice_unlock();
}
