/* SPDX-License-Identifier: MIT */
/*
 * The classes by which sizes are counted: which tiers are in each, for pools with few tiers and with
 * many; and that what is learned of them never leaves the table.
 */
#include "pool/calibrate.h"

#include <criterion/criterion.h>

#include <tierpool/pool.h>

#include "random.h"

#define MIB ((size_t)1 << 20)

static size_t size[TP_TIERS_MAX];
static struct tp_sizeclass sizes = {.size = size};
static struct tp_classes classes;

static const size_t uneven[] = {100, 101, 70000};

/* Tables of tiers, and the classes that they are to make. */
static const struct table {
	const size_t *list; /* NULL: by steps; or steps 0: that many tiers, 64 bytes apart */
	size_t max;
	unsigned steps, tiers, count, tiers_each;
} tables[] = {
	{NULL, 16 * MIB, 1, 19, 19, 1},
	{uneven, 0, 0, 1, 1, 1},
	{uneven, 0, 0, 3, 3, 1},
	{NULL, 32 * MIB, 1, 20, 10, 2},
	{NULL, 16 * MIB, 2, 37, 19, 2},
	{NULL, 0, 0, 38, 19, 2},
	{NULL, 0, 0, 39, 13, 3},
	{NULL, 16 * MIB, 4, 73, 19, 4},
	{NULL, 0, 0, TP_TIERS_MAX, 19, 14},
};

#define TABLES (sizeof tables / sizeof *tables)

static void table_make(const struct table *t)
{
	size_t even[TP_TIERS_MAX];

	for (unsigned i = 0; i < TP_TIERS_MAX; i++)
		even[i] = 64 * (i + 1);
	if (t->steps)
		cr_assert_eq(tp_sizeclass_steps(&sizes, 64, t->max, t->steps), 0);
	else
		cr_assert_eq(tp_sizeclass_list(&sizes, t->list ? t->list : even, t->tiers), 0);
	cr_assert_eq(sizes.count, t->tiers);
	tp_classes_init(&classes, &sizes, TP_CALIBRATE_EVERY);
}

Test(calibrate_classes, are_tiers_or_groups_of_neighbours_and_at_most_19)
{
	for (const struct table *t = tables; t < tables + TABLES; t++) {
		table_make(t);
		cr_assert_eq(classes.tiers, t->tiers_each, "%u tiers", t->tiers);
		cr_assert_eq(classes.count, t->count, "%u tiers", t->tiers);
		cr_assert_leq(classes.count, TP_CLASSES);
	}
}

Test(calibrate_classes, a_class_has_the_size_of_its_largest_tier)
{
	for (const struct table *t = tables; t < tables + TABLES; t++) {
		table_make(t);
		for (unsigned class = 0; class + 1 < classes.count; class ++)
			cr_assert_eq(tp_class_size(&classes, class),
				size[class * t->tiers_each + t->tiers_each - 1]);
		cr_assert_eq(tp_class_size(&classes, classes.count - 1), size[t->tiers - 1]);
	}
}

Test(calibrate_classes, a_new_place_begins_with_its_tier)
{
	struct tp_calibration c;

	for (const struct table *t = tables; t < tables + TABLES; t++) {
		table_make(t);
		for (unsigned tier = 0; tier < sizes.count; tier++) {
			tp_calibration_init(&classes, &c, tier);
			cr_assert_eq(tp_calibration_tier(&c), tier);
			cr_assert_eq(tp_class_of(&classes, tier), tier / t->tiers_each);
		}
	}
}

Test(calibrate_classes, at_first_each_class_grows_to_the_next_and_the_largest_has_none)
{
	struct tp_calibration c;

	for (const struct table *t = tables; t < tables + TABLES; t++) {
		table_make(t);
		tp_calibration_init(&classes, &c, 0);
		for (unsigned tier = 0; tier + 1 < sizes.count; tier++) {
			unsigned next =
				(unsigned)tp_min(tier / t->tiers_each + 1, classes.count - 1);

			cr_assert_eq(tp_calibration_step(&classes, &c, size[tier], size[tier] + 1),
				tp_class_size(&classes, next));
		}
		cr_assert_eq(tp_calibration_step(&classes, &c, size[sizes.count - 1],
				     size[sizes.count - 1] + 1),
			0);
	}
}

/* Sizes of every order, each tier and what lies on both sides of it among them. */
static size_t any_size(uint64_t *random)
{
	if (next_random(random) % 2)
		return (size_t)1 << next_random(random) % 62;
	return size[next_random(random) % sizes.count] + next_random(random) % 3 - 1;
}

Test(calibrate_classes, whatever_is_used_the_verdicts_stay_within_the_table)
{
	uint64_t random = 88172645463325252;
	struct tp_calibration c;

	for (const struct table *t = tables; t < tables + TABLES; t++) {
		table_make(t);
		tp_calibration_init(&classes, &c, 0);
		for (unsigned n = 0; n < 5000; n++) {
			size_t cap = any_size(&random);
			struct tp_use use = {any_size(&random), next_random(&random) % 2,
				next_random(&random) % 2};
			enum tp_due due = tp_calibration_count(&classes, &c, use);

			if (due != TP_DUE_NOTHING)
				tp_calibration_judge(
					&classes, &c, due, (uint32_t)next_random(&random));
			cr_assert_lt(tp_calibration_tier(&c), sizes.count);
			for (unsigned class = 0; class < classes.count; class ++)
				cr_assert(c.step[class] < classes.count &&
					  (c.step[class] > class || class == classes.count - 1));
			(void)tp_calibration_step(&classes, &c, cap, cap + 1);
		}
		cr_assert(c.changes > 0 || t->tiers == 1, "%u tiers", t->tiers);
	}
}
