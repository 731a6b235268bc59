/* SPDX-License-Identifier: MIT */
#include "pool/calibrate.h"

#include <tierpool/pool.h>

#include "base/atomic.h"

/* Beyond so many puts the counts are halved: times calibrate_every, and at least. */
#define WINDOW 4
#define WINDOW_LEAST (WINDOW * TP_CALIBRATE_EVERY)

/* Belief in the present default, in puts: else it would flutter where two are equally good. */
#define PRIOR (2 * TP_SAMPLE)

/* A default is changed if that saves more than this part of the cost. */
#define WORTH 8

/* Growths after which the steps are judged, twice as many each time. */
#define REFRESH 4

/* The most that calibrate_every is taken for: so no sum overflows. */
#define EVERY_MAX (1u << 20)

/* Sizes above are judged as this one, for the same reason. */
#define SIZE_MOST ((size_t)4 << 30)

/* Capacity is twice as dear if more than this part of calibrate_every was dropped for room. */
#define DROPS_PART 64
#define DEAR_MOST 2
/* Calibrations without a drop after which it is cheaper again. */
#define QUIET 16

/* Above the largest tier a buffer grows to so many times its need at most. */
#define BEYOND_MOST 16

/* A place whose puts are empty is not new for ever. */
#define EMPTY_MOST 1024

void tp_classes_init(
	struct tp_classes *classes, const struct tp_sizeclass *sizes, unsigned calibrate_every)
{
	unsigned tiers = (sizes->count + TP_CLASSES - 1) / TP_CLASSES;

	*classes = (struct tp_classes){.sizes = sizes,
		.tiers = tiers,
		.count = (sizes->count + tiers - 1) / tiers,
		.every = calibrate_every == TIERPOOL_CALIBRATE_OFF
				 ? 0
				 : (uint32_t)tp_min(calibrate_every, EVERY_MAX)};
}

void tp_calibration_init(const struct tp_classes *classes, struct tp_calibration *c, unsigned tier)
{
	*c = (struct tp_calibration){
		.refresh = REFRESH, .tier = (uint8_t)tier, .seen = classes->every ? 0 : TP_LEARN};
	for (unsigned class = 0; class < classes->count; class ++)
		c->step[class] = (uint8_t)tp_min(class + 1, classes->count - 1);
}

/* The largest tier of a class. */
static unsigned calibrate_tier_of(const struct tp_classes *classes, unsigned class)
{
	return (unsigned)tp_min((class + 1) * classes->tiers, classes->sizes->count) - 1;
}

size_t tp_class_size(const struct tp_classes *classes, unsigned class)
{
	return classes->sizes->size[calibrate_tier_of(classes, class)];
}

/* The class of a size; count: no tier holds it. */
static unsigned calibrate_class(const struct tp_classes *classes, size_t size)
{
	unsigned tier = tp_sizeclass_of(classes->sizes, size);

	return tier == TP_TIER_NONE ? classes->count : tp_class_of(classes, tier);
}

bool tp_calibration_is_new(const struct tp_calibration *c)
{
	return tp_load_relaxed(&c->seen) < TP_LEARN;
}

size_t tp_calibration_step(
	const struct tp_classes *classes, const struct tp_calibration *c, size_t cap, size_t need)
{
	unsigned class = calibrate_class(classes, cap);

	if (!classes->every)
		return 0;
	/* What is typical there, but not for one that needs far less. */
	if (calibrate_class(classes, need) == classes->count)
		return tp_min(tp_load_relaxed(&c->beyond),
			BEYOND_MOST * tp_min(need, SIZE_MAX / BEYOND_MOST));
	return class == classes->count ? 0
				       : tp_class_size(classes, tp_load_relaxed(&c->step[class]));
}

/* ---- counting ---- */

static void calibrate_count_beyond(struct tp_calibration *c, size_t used)
{
	uint64_t beyond = tp_load_relaxed(&c->beyond);

	tp_store_relaxed(&c->beyond, beyond ? beyond - beyond / 4 + used / 4 : used);
}

/* A put of a new place: due at each power of two, so at the end of the learning too. */
static enum tp_due calibrate_count_new(struct tp_calibration *c, size_t used)
{
	uint32_t seen;

	if (!used) {
		if (tp_add_relaxed(&c->since, 1u) + 1 < EMPTY_MOST)
			return TP_DUE_NOTHING;
		tp_store_relaxed(&c->seen, (uint32_t)TP_LEARN);
		return TP_DUE_ALL;
	}
	seen = tp_add_relaxed(&c->seen, 1u) + 1;
	return seen & (seen - 1) ? TP_DUE_NOTHING : TP_DUE_ALL;
}

enum tp_due tp_calibration_count(
	const struct tp_classes *classes, struct tp_calibration *c, struct tp_use use)
{
	unsigned class = calibrate_class(classes, use.used);
	bool is_new = tp_calibration_is_new(c);

	/* Borrowed while the place was new, and put later. */
	if (!is_new && !use.grown && !use.sampled)
		return TP_DUE_NOTHING;
	if (use.used)
		tp_add_relaxed(&c->count[class], use.grown && !is_new ? 1u : (uint32_t)TP_SAMPLE);
	if (class == classes->count)
		calibrate_count_beyond(c, use.used);
	if (is_new)
		return calibrate_count_new(c, use.used);
	if (!use.used)
		return TP_DUE_NOTHING;
	if (use.sampled)
		tp_add_relaxed(&c->since, (uint32_t)TP_SAMPLE);
	if (use.grown)
		tp_add_relaxed(&c->grown, 1u);
	if (tp_load_relaxed(&c->since) >= classes->every)
		return TP_DUE_ALL;
	return tp_load_relaxed(&c->grown) >= tp_load_relaxed(&c->refresh) ? TP_DUE_STEPS
									  : TP_DUE_NOTHING;
}

/* ---- judging ---- */

/* What was counted, and what follows from it; of one call. */
struct calibrate_view {
	uint32_t count[TP_CLASSES + 1];
	uint64_t size[TP_CLASSES]; /* of the classes */
	uint64_t rest[TP_CLASSES]; /* what the puts that outgrow a class cost from there on */
	uint64_t puts;
	unsigned classes;
	unsigned top; /* the largest class that any put needs */
	unsigned dear;
};

/* The best class for those that outgrow this one, which are above; from the top down. */
static unsigned calibrate_judge_step(const struct calibrate_view *v, unsigned class, uint64_t above)
{
	unsigned best = class + 1;

	for (unsigned step = best + 1; step <= v->top; step++)
		if (above * v->size[step] + v->rest[step] < above * v->size[best] + v->rest[best])
			best = step;
	return best;
}

/*
 * From the largest class down: what it costs to outgrow a class, if each growth goes to the best
 * class above. Sets the steps. No buffer that fits is outgrown: above the top nothing is to judge.
 */
static void calibrate_judge_steps(struct calibrate_view *v, struct tp_calibration *c)
{
	uint64_t above = v->count[v->classes]; /* puts that outgrow a class */

	for (unsigned class = v->top; class < v->classes; class ++)
		v->rest[class] = 0;
	for (unsigned class = v->top; class -- > 0;) {
		unsigned step;

		above += v->count[class + 1];
		step = calibrate_judge_step(v, class, above);
		v->rest[class] =
			above * ((TP_PRICE_GROWTH + TP_PRICE_COPY * v->size[class]) >> v->dear) +
			above * v->size[step] + v->rest[step];
		tp_store_relaxed(&c->step[class], (uint8_t)step);
	}
	v->puts = above + v->count[0];
}

static uint64_t calibrate_cost(const struct calibrate_view *v, unsigned class)
{
	return v->puts * v->size[class] + v->rest[class];
}

static void calibrate_judge_default(
	const struct tp_classes *classes, const struct calibrate_view *v, struct tp_calibration *c)
{
	unsigned now = tp_class_of(classes, c->tier), best = 0;
	uint64_t cost = calibrate_cost(v, now);

	for (unsigned class = 1; class <= v->top; class ++)
		if (calibrate_cost(v, class) < calibrate_cost(v, best))
			best = class;
	if (best == now ||
		(!tp_calibration_is_new(c) && calibrate_cost(v, best) >= cost - cost / WORTH))
		return;
	tp_store_relaxed(&c->tier, (uint8_t)calibrate_tier_of(classes, best));
	tp_store_relaxed(&c->changes, c->changes + 1);
}

static void calibrate_judge_price(struct tp_calibration *c, uint32_t every, uint64_t drops)
{
	uint64_t new_drops = drops - c->drops;

	c->drops = drops;
	/* The first time, they are all that there ever were. */
	if (tp_calibration_is_new(c))
		return;
	if (new_drops > every / DROPS_PART) {
		c->quiet = 0;
		c->dear = (uint8_t)tp_min(c->dear + 1u, DEAR_MOST);
	} else if (!new_drops && c->dear && ++c->quiet == QUIET) {
		c->quiet = 0;
		c->dear--;
	}
}

static void calibrate_view_make(
	const struct tp_classes *classes, const struct tp_calibration *c, struct calibrate_view *v)
{
	*v = (struct calibrate_view){.classes = classes->count, .dear = c->dear};
	for (unsigned class = 0; class <= v->classes; class ++) {
		v->count[class] = tp_load_relaxed(&c->count[class]);
		if (class == tp_class_of(classes, c->tier) && !tp_calibration_is_new(c))
			v->count[class] += PRIOR;
		if (v->count[class])
			v->top = (unsigned)tp_min(class, v->classes - 1);
	}
	for (unsigned class = 0; class < v->classes; class ++)
		v->size[class] = tp_min(tp_class_size(classes, class), SIZE_MOST);
}

/* The past counts less and less; but more than the prior, however small calibrate_every is. */
static void calibrate_forget(const struct tp_classes *classes, struct tp_calibration *c)
{
	uint64_t sum = 0, window = tp_max(WINDOW * classes->every, WINDOW_LEAST);

	for (unsigned class = 0; class <= classes->count; class ++)
		sum += tp_load_relaxed(&c->count[class]);
	for (unsigned class = 0; class <= classes->count && sum >= window; class ++)
		tp_sub_relaxed(&c->count[class], (tp_load_relaxed(&c->count[class]) + 1) / 2);
}

struct tp_judged tp_calibration_judge(
	const struct tp_classes *classes, struct tp_calibration *c, enum tp_due due, uint64_t drops)
{
	struct calibrate_view view;
	struct tp_judged judged = {0};

	if (tp_exchange_acquire(&c->judging, 1u))
		return judged;
	judged = (struct tp_judged){true, c->tier, c->tier};
	if (due == TP_DUE_ALL)
		calibrate_judge_price(c, classes->every, drops);
	calibrate_view_make(classes, c, &view);
	calibrate_judge_steps(&view, c);
	tp_store_relaxed(&c->grown, 0u);
	if (due == TP_DUE_STEPS) {
		tp_store_relaxed(
			&c->refresh, (uint32_t)tp_min(2 * (uint64_t)c->refresh, UINT32_MAX));
	} else {
		calibrate_judge_default(classes, &view, c);
		calibrate_forget(classes, c);
		tp_store_relaxed(&c->since, 0u);
		tp_store_relaxed(&c->refresh, (uint32_t)REFRESH);
	}
	judged.now = c->tier;
	tp_store_release(&c->judging, 0u);
	return judged;
}

void tp_calibration_forked(struct tp_calibration *c)
{
	tp_store_relaxed(&c->judging, 0u);
}
