/* SPDX-License-Identifier: MIT */
/*
 * Feeds the model of each pool: advise.h. The trace is walked three times: to see how much is borrowed,
 * which says what bounds could be of interest; with a model, which says where the curve rises; and there
 * with another one.
 */
#include "advise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <tierpool.h>

#include "pool.h"
#include "pool/model_options.h"
#include "storage.h"
#include "support/program.h"

/* The first curve goes from this part of the most that could be of use, to that. */
#define CURVE_PART 2000
/* Leased are at most twice what is idle: a stack leases as many as it has (keep.c). */
#define CURVE_MOST 2
/* Shares this near are the same. */
#define CURVE_FLAT 0.0005
/* A larger block grows in place beyond the largest tier: memory/run.c. */
#define SHARED_RUN ((size_t)256 << 10)

struct advised {
	tierpool *pool;                               /* NULL: it has no gets */
	struct tp_model *model;                       /* NULL: the first walk */
	size_t out[TP_TIERS_MAX], peak[TP_TIERS_MAX]; /* buffers that are borrowed */
	double least, most;                           /* bounds of the curve */
	size_t bounds[ADVICE_BOUNDS + 1];
};

struct advise {
	const struct trace *trace;
	struct advised *pools;
	uint8_t *tiers; /* of what is out, by slot */
};

/* ---- the events of a pool ---- */

static unsigned advised_tier(const struct advised *p, size_t n)
{
	return tp_sizeclass_of(&p->pool->sizes, n);
}

static void advised_out(struct advised *p, unsigned tier)
{
	if (tier != TP_TIER_NONE && ++p->out[tier] > p->peak[tier])
		p->peak[tier] = p->out[tier];
}

static void advised_in(struct advised *p, unsigned tier)
{
	if (tier != TP_TIER_NONE)
		p->out[tier]--;
}

static unsigned advised_get(struct advised *p, unsigned tier, struct moment at)
{
	advised_out(p, tier);
	if (p->model)
		tp_model_get(p->model, tier, at.cpu, at.ns);
	return tier;
}

static void advised_put(struct advised *p, unsigned tier, struct moment at)
{
	advised_in(p, tier);
	if (p->model)
		tp_model_put(p->model, tier, at.cpu, at.ns);
}

static unsigned advised_grow(struct advised *p, unsigned from, unsigned to, struct moment at)
{
	bool in_place = to == TP_TIER_NONE && p->pool->sizes.size[from] > SHARED_RUN;

	advised_in(p, from);
	advised_out(p, to);
	if (p->model && !in_place)
		tp_model_grow(p->model, from, to, at.cpu, at.ns);
	return to;
}

/* The size that a buffer of a tier grows to: grow_size in lib/pool/grow.c. */
static size_t advised_growth(const struct advised *p, const struct borrow *b, unsigned from,
	const struct growth *growth, bool last)
{
	const struct tp_sizeclass *sizes = &p->pool->sizes;
	size_t largest = sizes->size[sizes->count - 1], size = 2 * sizes->size[from];

	/* Only of the last one the trace says what came of it, which a site may have learned. */
	if (last && b->cap >= growth->need)
		return b->cap;
	if (size < growth->need)
		size = growth->need;
	return growth->need <= largest && size > largest ? largest : size;
}

static unsigned advise_growth(
	const struct advise *a, struct advised *p, const struct event *event, unsigned from)
{
	const struct borrow *b = &a->trace->borrows[event->borrow];
	const struct growth *growth = &a->trace->growths[event->growth - 1];
	size_t size;

	if (from == TP_TIER_NONE || growth->need <= p->pool->sizes.size[from])
		return from;
	size = advised_growth(p, b, from, growth, event->growth == b->growths_last);
	return advised_grow(p, from, advised_tier(p, size), event->at);
}

static unsigned advise_get(struct advised *p, const struct borrow *b, struct moment at)
{
	unsigned tier = advised_get(p, advised_tier(p, b->n ? b->n : b->lent), at);

	/* A workload that is generated fills each buffer at once. */
	if (!b->growths && b->cap > b->lent && tier != TP_TIER_NONE)
		tier = advised_grow(p, tier, advised_tier(p, b->cap), at);
	return tier;
}

static void advise_walk(const struct advise *a)
{
	for (size_t i = 0; i < a->trace->event_count; i++) {
		const struct event *event = &a->trace->events[i];
		const struct borrow *b = &a->trace->borrows[event->borrow];
		struct advised *p = &a->pools[a->trace->sites[b->site].pool];
		uint8_t *tier = &a->tiers[b->slot];

		if (event->kind == EVENT_GET)
			*tier = (uint8_t)advise_get(p, b, event->at);
		else if (event->kind == EVENT_PUT)
			advised_put(p, *tier, event->at);
		else
			*tier = (uint8_t)advise_growth(a, p, event, *tier);
	}
}

/* ---- bounds ---- */

static double advised_share(const struct advised *p, unsigned k)
{
	return 1 - (double)tp_model_misses(p->model, k) / (double)tp_model_gets(p->model);
}

/* All that was borrowed at once of any tier, idle together, needs no more than this. */
static void advised_range(struct advised *p)
{
	const struct tp_tiers *tiers = &p->pool->tiers;

	for (unsigned tier = tiers->count; tier--;)
		if (p->peak[tier]) {
			p->least = (double)tiers->tier[tier].cost;
			p->most += CURVE_MOST * (double)p->peak[tier] * p->least;
		}
	/* All gets were larger than the tiers. */
	if (p->most <= 0)
		p->most = p->least = (double)tiers->tier[0].cost;
	p->least = fmax(p->least, p->most / CURVE_PART);
}

/* Where the curve rises, from half of what can be served: the next one is drawn there. */
static void advised_narrow(struct advised *p)
{
	double most = advised_share(p, ADVICE_BOUNDS - 1);
	unsigned last = 0;

	while (advised_share(p, last) < most - CURVE_FLAT)
		last++;
	for (unsigned k = 0; k < last && advised_share(p, k) < most / 2; k++)
		p->least = (double)p->bounds[k];
	p->most = (double)p->bounds[last + 1 < ADVICE_BOUNDS ? last + 1 : last];
}

/* Ascending by a factor; then the pool's own. */
static void advised_bounds_set(struct advised *p)
{
	double factor = p->most / p->least;

	for (unsigned k = 0; k < ADVICE_BOUNDS; k++)
		p->bounds[k] = (size_t)(p->least * pow(factor, (double)k / (ADVICE_BOUNDS - 1)));
	p->bounds[ADVICE_BOUNDS] = p->pool->tiers.retain.limit;
}

static unsigned advise_cpus(const struct trace *t)
{
	unsigned cpus = tp_cpu_count();

	for (size_t i = 0; i < t->event_count; i++)
		if (t->events[i].at.cpu >= cpus && t->events[i].at.cpu < TP_MODEL_CPUS_MAX)
			cpus = t->events[i].at.cpu + 1;
	return cpus;
}

static void advised_model(struct advised *p, unsigned cpus)
{
	struct tp_model_tier tier[TP_TIERS_MAX];
	struct tp_model_options options;

	advised_bounds_set(p);
	options = tp_model_options_of(p->pool, tier, p->bounds, ADVICE_BOUNDS + 1);
	options.cpus = cpus;
	tp_model_free(p->model);
	p->model = tp_model_create(&options);
	if (p->model)
		return;
	fputs("replay_trace: out of memory\n", stderr);
	exit(FAILED);
}

/* ---- what came of them ---- */

/* The first bound of the curve that serves this share; the last one: none does. */
static unsigned advice_first(const struct advice *advice, double share)
{
	unsigned k = 0;

	while (k < ADVICE_BOUNDS - 1 && advice->curve[k].share < share)
		k++;
	return k;
}

static struct served advice_enough(const struct advice *advice)
{
	const struct served *curve = advice->curve;
	unsigned k = advice_first(advice, ADVICE_TARGET);
	double part, more;

	if (curve[k].share < ADVICE_TARGET)
		k = advice_first(advice, curve[k].share - CURVE_FLAT);
	if (curve[k].share < ADVICE_TARGET || k == 0)
		return curve[k];
	part = (ADVICE_TARGET - curve[k - 1].share) / (curve[k].share - curve[k - 1].share);
	more = part * (double)(curve[k].retain - curve[k - 1].retain);
	return (struct served){curve[k - 1].retain + (size_t)more, ADVICE_TARGET};
}

static struct advice advised_advice(const struct advised *p, size_t pool, size_t gets)
{
	struct advice advice = {.pool = pool, .gets = gets};

	for (unsigned k = 0; k < ADVICE_BOUNDS; k++)
		advice.curve[k] = (struct served){p->bounds[k], advised_share(p, k)};
	advice.now = (struct served){p->bounds[ADVICE_BOUNDS], advised_share(p, ADVICE_BOUNDS)};
	advice.enough = advice_enough(&advice);
	advice.reached = advice.enough.share >= ADVICE_TARGET;
	return advice;
}

static void advise_begin(struct advise *a, const struct trace *t)
{
	*a = (struct advise){.trace = t};
	a->pools = array_new(t->pool_count, sizeof *a->pools);
	a->tiers = array_new(t->slot_count, 1);
	for (size_t i = 0; i < t->pool_count; i++) {
		unsigned decay_ms = t->pools[i].decay_ms;

		if (t->pools[i].gets)
			a->pools[i].pool =
				pool_make(&t->pools[i], decay_ms ? decay_ms : TIERPOOL_DECAY_NEVER);
	}
}

static void advise_end(struct advise *a)
{
	for (size_t i = 0; i < a->trace->pool_count; i++) {
		tp_model_free(a->pools[i].model);
		tierpool_destroy(a->pools[i].pool);
	}
	free(a->pools);
	free(a->tiers);
}

struct advice *advise_all(const struct trace *t, unsigned cpus)
{
	static void (*const choose[])(struct advised *) = {advised_range, advised_narrow};
	struct advice *advices = array_new(t->pool_count, sizeof *advices);
	struct advise a;

	if (!cpus)
		cpus = advise_cpus(t);
	advise_begin(&a, t);
	advise_walk(&a);
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < t->pool_count; i++)
			if (a.pools[i].pool) {
				choose[round](&a.pools[i]);
				advised_model(&a.pools[i], cpus);
			}
		advise_walk(&a);
	}
	for (size_t i = 0; i < t->pool_count; i++)
		if (a.pools[i].pool)
			advices[i] = advised_advice(&a.pools[i], i, t->pools[i].gets);
	advise_end(&a);
	return advices;
}
