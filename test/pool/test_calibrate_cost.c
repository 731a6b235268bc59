/* SPDX-License-Identifier: MIT */
/*
 * The sizes that the rule chooses cost least. What they cost is summed here once more, put by put,
 * for each chain of sizes that a buffer could grow along: without the recursion of the rule.
 */
#include "pool/calibrate.h"

#include <criterion/criterion.h>
#include <string.h>

#include "random.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static size_t size[TP_TIERS_MAX];
static struct tp_sizeclass sizes = {.size = size};
static struct tp_classes classes;
static struct tp_calibration c;

static void start_with(unsigned calibrate_every, size_t begin)
{
	tp_classes_init(&classes, &sizes, calibrate_every);
	tp_calibration_init(&classes, &c, tp_sizeclass_of(&sizes, begin));
}

static enum tp_due count(size_t used, bool grown, bool sampled)
{
	return tp_calibration_count(&classes, &c, (struct tp_use){used, grown, sampled});
}

/* ---- the model ---- */

__extension__ typedef unsigned __int128 cost_t;

#define COST_NEVER (~(cost_t)0)

/* Up to so many classes all chains are tried. */
#define MODEL_CLASSES 9

/* What the rule is to minimise, of counts as they were before it judged. */
static struct model {
	uint64_t count[MODEL_CLASSES + 1], size[MODEL_CLASSES];
	unsigned last, dear;
} m;

static void model_take(void)
{
	m.last = classes.count - 1;
	m.dear = c.dear;
	for (unsigned class = 0; class <= classes.count; class ++) {
		m.count[class] = c.count[class];
		if (class <= m.last)
			m.size[class] = tp_min(tp_class_size(&classes, class), 4096 * MIB);
	}
	if (c.seen >= TP_LEARN)
		m.count[c.tier] += 2 * TP_SAMPLE; /* the prior */
}

/* One put of a class, in a buffer that begins with the lowest class of a chain and grows along it. */
static cost_t model_put(unsigned class, unsigned chain)
{
	unsigned at = (unsigned)__builtin_ctz(chain);
	cost_t cost = m.size[at];

	while (at < class && at < m.last) {
		cost += (12800 + 16 * m.size[at]) >> m.dear;
		at = (unsigned)__builtin_ctz(chain >> (at + 1)) + at + 1;
		cost += m.size[at];
	}
	return cost;
}

static cost_t cost_least(cost_t a, cost_t b)
{
	return a < b ? a : b;
}

static cost_t model_cost(unsigned chain)
{
	cost_t cost = 0;

	for (unsigned class = 0; class <= m.last + 1; class ++)
		cost += m.count[class] ? m.count[class] * model_put(class, chain) : 0;
	return cost;
}

/* The least cost if buffers begin with a class: over all chains from there to the largest one. */
static cost_t model_least(unsigned first)
{
	cost_t least = COST_NEVER;

	for (unsigned chain = 0; chain < 1u << (m.last + 1); chain++)
		if (chain >> m.last && (chain & (0u - chain)) == 1u << first)
			least = cost_least(least, model_cost(chain));
	return least;
}

/* The chain that the steps make. */
static unsigned steps_chain(unsigned first)
{
	unsigned chain = 1u << first;

	while (first < m.last) {
		cr_assert(c.step[first] > first && c.step[first] <= m.last);
		first = c.step[first];
		chain |= 1u << first;
	}
	return chain;
}

static uint64_t model_above(unsigned class)
{
	uint64_t above = 0;

	while (class ++ <= m.last)
		above += m.count[class];
	return above;
}

/* Judges, and asks the model whether that was right. */
static void judge_by_model(void)
{
	struct tp_calibration old = c;
	unsigned was = c.tier;
	bool is_new = tp_calibration_is_new(&c);
	cost_t before, least = COST_NEVER;

	model_take();
	cr_assert(tp_calibration_judge(&classes, &c, TP_DUE_ALL, c.drops).done);
	for (unsigned first = 0; first <= m.last; first++) {
		cr_assert(model_cost(steps_chain(first)) == model_least(first), "from %u", first);
		least = cost_least(least, model_least(first));
		cr_assert(model_above(first) || c.step[first] == old.step[first],
			"of what nothing outgrew the step stays");
	}
	before = model_least(was);
	if (c.tier != was)
		cr_assert(model_least(c.tier) == least && least < before &&
			  (is_new || least < before - before / 8));
	else
		cr_assert(is_new ? least == before : least >= before - before / 8);
}

/* ---- what it says ---- */

static void nine_classes(void)
{
	cr_assert_eq(tp_sizeclass_steps(&sizes, 64, 16 * KIB, 1), 0);
	start_with(TP_CALIBRATE_EVERY, KIB);
	cr_assert_eq(classes.count, MODEL_CLASSES);
}

Test(calibrate_cost, steps_and_default_have_the_least_cost_of_all_that_there_are)
{
	uint64_t random = 88172645463325252;
	unsigned changes = 0;

	nine_classes();
	for (unsigned table = 0; table < 300; table++) {
		for (unsigned class = 0; class <= classes.count; class ++)
			c.count[class] = next_random(&random) % 3
						 ? (uint32_t)(next_random(&random) %
							      (1u << next_random(&random) % 14))
						 : 0;
		c.dear = (uint8_t)(next_random(&random) % 3);
		c.quiet = 0;
		c.seen = table % 2 ? TP_LEARN : TP_LEARN - 1;
		judge_by_model();
		changes = (unsigned)c.changes;
	}
	cr_assert(changes > 50 && changes < 250, "%u changes", changes);
}

Test(calibrate_cost, for_sizes_that_are_lognormal_too)
{
	uint64_t random = 1;

	nine_classes();
	for (unsigned n = 0; n < 20000; n++) {
		unsigned normal = 0; /* mean 66, deviation 6.1, by the central limit */
		size_t used;
		bool grown;

		for (unsigned i = 0; i < 12; i++)
			normal += (unsigned)(next_random(&random) % 12);
		used = (size_t)1 << tp_min(tp_max(normal / 3, 17u) - 11, 15u);
		grown = used > tp_class_size(&classes, c.tier);
		if (count(used, grown, next_random(&random) % TP_SAMPLE == 0) == TP_DUE_ALL)
			judge_by_model();
	}
	cr_assert_leq(c.changes, 10);
}

Test(calibrate_cost, sizes_of_terabytes_overflow_no_sum)
{
	static const size_t huge[] = {64, MIB, 4096 * MIB - 1, (size_t)1 << 40, PTRDIFF_MAX / 4};

	cr_assert_eq(tp_sizeclass_list(&sizes, huge, 5), 0);
	start_with(1u << 20, MIB);
	c.seen = TP_LEARN;
	for (unsigned first = 0; first < 5; first++)
		for (unsigned class = 0; class <= classes.count; class ++) {
			memset(c.count, 0, sizeof c.count);
			c.count[class] = 5u << 20; /* the most that a window holds */
			c.count[first] += 1u << 19;
			c.tier = (uint8_t)first;
			judge_by_model();
		}
	count(PTRDIFF_MAX, true, false);
	count(SIZE_MAX / 2, true, false);
	cr_assert_geq(tp_calibration_step(&classes, &c, 1, PTRDIFF_MAX / 2), SIZE_MAX / 2 - 8);
}
