/* SPDX-License-Identifier: MIT */
/*
 * The rule alone: what a put counts, when that is judged, and what is learned of some mixes. That it
 * is what costs least: test_calibrate_cost.c. Pools of other tiers: test_calibrate_classes.c.
 */
#include "pool/calibrate.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
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

/* The tiers of a pool with all defaults, of which each is a class. */
static void start(void)
{
	cr_assert_eq(tp_sizeclass_steps(&sizes, 64, 16 * MIB, 1), 0);
	start_with(TP_CALIBRATE_EVERY, KIB);
}

TestSuite(calibrate, .init = start);

static enum tp_due count(size_t used, bool grown, bool sampled)
{
	return tp_calibration_count(&classes, &c, (struct tp_use){used, grown, sampled});
}

static bool judge(enum tp_due due)
{
	return tp_calibration_judge(&classes, &c, due, c.drops).done;
}

/* A put, and what follows. */
static void put(size_t used, bool grown, bool sampled)
{
	enum tp_due due = count(used, grown, sampled);

	if (due != TP_DUE_NOTHING)
		cr_assert(judge(due));
}

/* The last puts of a new place. */
static void learn(size_t used)
{
	while (tp_calibration_is_new(&c))
		put(used, used > tp_class_size(&classes, c.tier), false);
}

static size_t default_size(void)
{
	return size[tp_calibration_tier(&c)];
}

static uint64_t counted(void)
{
	uint64_t sum = 0;

	for (unsigned class = 0; class <= classes.count; class ++)
		sum += c.count[class];
	return sum;
}

/* ---- what is counted, and when it is judged ---- */

Test(calibrate, a_new_place_is_judged_at_each_power_of_two_of_its_first_64_puts)
{
	for (unsigned n = 1; n <= TP_LEARN; n++) {
		cr_assert(tp_calibration_is_new(&c));
		cr_assert_eq(count(200, n % 2, n % 3), n & (n - 1) ? TP_DUE_NOTHING : TP_DUE_ALL,
			"put %u", n);
	}
	cr_assert_not(tp_calibration_is_new(&c));
	cr_assert_eq(count(200, false, false), TP_DUE_NOTHING);
}

Test(calibrate, a_put_that_grew_counts_once_and_a_sampled_or_fresh_one_256_times)
{
	static const struct {
		bool grown, sampled;
		unsigned weight;
	} cases[] = {{false, true, TP_SAMPLE}, {true, false, 1}, {true, true, 1}};

	count(200, true, false);
	count(200, false, false);
	cr_assert_eq(c.count[2], 2 * TP_SAMPLE, "fresh");
	learn(200);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t before = c.count[4], since = c.since, grown = c.grown;

		count(1000, cases[i].grown, cases[i].sampled);
		cr_assert_eq(c.count[4] - before, cases[i].weight);
		cr_assert_eq(c.since - since, cases[i].sampled ? TP_SAMPLE : 0);
		cr_assert_eq(c.grown - grown, cases[i].grown);
	}
}

Test(calibrate, an_empty_put_counts_nothing_and_1024_of_them_end_the_learning)
{
	for (unsigned n = 1; n <= 1024; n++) {
		cr_assert(tp_calibration_is_new(&c));
		cr_assert_eq(count(0, n % 2, true), n < 1024 ? TP_DUE_NOTHING : TP_DUE_ALL);
	}
	cr_assert_not(tp_calibration_is_new(&c));
	cr_assert_eq(count(0, false, true), TP_DUE_NOTHING);
	cr_assert_eq(counted(), 0);
	cr_assert_eq(default_size(), KIB);
}

Test(calibrate, steps_are_judged_after_4_growths_then_after_twice_as_many_each_time)
{
	learn(200);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned every = 4; every <= 64; every *= 2)
			for (unsigned n = 1; n <= every; n++) {
				enum tp_due due = count(1000, true, false);

				cr_assert_eq(due, n == every ? TP_DUE_STEPS : TP_DUE_NOTHING);
				if (due == TP_DUE_STEPS)
					judge(due);
			}
		judge(TP_DUE_ALL); /* begins anew */
	}
}

Test(calibrate, all_is_judged_when_samples_stand_for_calibrate_every_puts)
{
	static const struct {
		unsigned every, samples;
	} cases[] = {{1, 1}, {256, 1}, {257, 2}, {2048, 8}, {1u << 20, 4096}, {UINT_MAX - 1, 4096}};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		start_with(cases[i].every, KIB);
		learn(200);
		for (unsigned n = 1; n < 2 * cases[i].samples; n++) {
			enum tp_due due = count(200, false, true);

			cr_assert_eq(due == TP_DUE_ALL, n == cases[i].samples, "every %u",
				cases[i].every);
			if (due == TP_DUE_ALL)
				judge(due);
		}
	}
}

Test(calibrate, with_calibration_off_no_place_is_ever_new)
{
	start_with(TIERPOOL_CALIBRATE_OFF, KIB);
	cr_assert_eq(classes.every, 0);
	cr_assert_not(tp_calibration_is_new(&c));
	cr_assert_eq(default_size(), KIB);
}

Test(calibrate, counts_are_halved_once_they_stand_for_four_times_calibrate_every)
{
	learn(200);
	memset(c.count, 0, sizeof c.count);
	c.count[2] = 4 * TP_CALIBRATE_EVERY - 101;
	c.count[classes.count] = 100;
	judge(TP_DUE_ALL);
	cr_assert_eq(counted(), 4 * TP_CALIBRATE_EVERY - 1);
	c.count[3] = 1;
	judge(TP_DUE_STEPS);
	cr_assert_eq(counted(), 4 * TP_CALIBRATE_EVERY, "steps alone forget nothing");
	judge(TP_DUE_ALL);
	cr_assert_eq(c.count[2], 2 * TP_CALIBRATE_EVERY - 51);
	cr_assert_eq(c.count[3], 0);
	cr_assert_eq(c.count[classes.count], 50);
}

Test(calibrate, beyond_the_largest_tier_it_grows_to_a_mean_of_what_was_used_there)
{
	cr_assert_eq(tp_calibration_step(&classes, &c, 16 * MIB, 17 * MIB), 0, "no advice");
	count(40 * MIB, true, false);
	cr_assert_eq(tp_calibration_step(&classes, &c, 1, 17 * MIB), 40 * MIB);
	count(20 * MIB, true, false);
	cr_assert_eq(tp_calibration_step(&classes, &c, 99 * MIB, 100 * MIB), 35 * MIB);
	cr_assert_eq(tp_calibration_step(&classes, &c, 32 * KIB, 33 * KIB), 64 * KIB);
}

/* ---- what follows ---- */

Test(calibrate, a_mix_of_200_bytes_and_100_KB_grows_from_the_one_to_the_other_in_one_step)
{
	for (unsigned percent = 1; percent <= 10; percent++) {
		start();
		for (unsigned n = 0; n < 20000; n++)
			put(n % 100 < percent ? 100000 : 200, n % 100 < percent, n % 97 == 0);
		cr_assert_eq(default_size(), 256);
		cr_assert_eq(tp_calibration_step(&classes, &c, 256, 257), 128 * KIB);
	}
}

/* Puts of 1,000 and 1,030 bytes, as a place sees them. Returns: changes of its default. */
static uint64_t changes_at_boundary(unsigned percent, unsigned puts)
{
	uint64_t random = percent;

	start();
	for (unsigned n = 0; n < puts; n++) {
		size_t used = next_random(&random) % 100 < percent ? 1030 : 1000;
		bool sampled = next_random(&random) % TP_SAMPLE == 0;
		bool grown = used > default_size();

		if (sampled || grown || tp_calibration_is_new(&c))
			put(used, grown, sampled);
	}
	return c.changes;
}

Test(calibrate, sizes_on_both_sides_of_a_tier_do_not_make_the_default_flutter)
{
	static const unsigned percent[] = {1, 2, 3, 4, 6, 10, 20, 50};

	for (unsigned i = 0; i < 8; i++) {
		unsigned changes = (unsigned)changes_at_boundary(percent[i], 100000);

		cr_assert_leq(changes, 3, "%u changes at %u %%", changes, percent[i]);
	}
}

Test(calibrate, many_drops_make_capacity_dearer_and_16_calm_calibrations_cheaper_again)
{
	/* Across the border of 32 bits. */
	uint64_t drops = c.drops = UINT32_MAX - 120;

	learn(200);
	tp_calibration_judge(&classes, &c, TP_DUE_ALL, drops += TP_CALIBRATE_EVERY / 64);
	cr_assert_eq(c.dear, 0, "not more than that");
	for (unsigned dear = 1; dear <= 3; dear++) {
		memset(c.count, 0, sizeof c.count);
		c.count[2] = 9000;
		c.count[4] = 1000;
		tp_calibration_judge(&classes, &c, TP_DUE_STEPS, drops += 99);
		drops -= 99; /* which does not look at them */
		tp_calibration_judge(&classes, &c, TP_DUE_ALL, drops += 33);
		cr_assert_eq(c.dear, tp_min(dear, 2u));
	}
	cr_assert_eq(default_size(), 256);
	tp_calibration_judge(&classes, &c, TP_DUE_ALL, drops += 32);
	for (unsigned calm = 1; calm <= 2 * 16; calm++) {
		cr_assert_eq(c.dear, 2 - (calm - 1) / 16);
		tp_calibration_judge(&classes, &c, TP_DUE_ALL, drops);
	}
	cr_assert_eq(c.dear, 0);
	memset(c.count, 0, sizeof c.count);
	c.count[2] = 9000;
	c.count[4] = 1000;
	judge(TP_DUE_ALL);
	cr_assert_eq(default_size(), KIB, "the same mix, where capacity is cheap");
}

Test(calibrate, any_number_of_drops_is_many)
{
	uint64_t drops = 0;

	learn(200);
	tp_calibration_judge(&classes, &c, TP_DUE_ALL, drops);
	for (unsigned bits = 31; bits < 64; bits++) {
		c.dear = 0;
		tp_calibration_judge(&classes, &c, TP_DUE_ALL, drops += UINT64_C(1) << bits);
		cr_assert_eq(c.dear, 1, "2^%u", bits);
	}
}

/* ---- threads ---- */

Test(calibrate, of_two_threads_that_judge_at_once_the_second_does_nothing)
{
	struct tp_calibration before;

	learn(200);
	count(5000, true, true);
	c.judging = 1; /* as the first one leaves it meanwhile */
	before = c;
	cr_assert_not(judge(TP_DUE_ALL));
	cr_assert_not(judge(TP_DUE_STEPS));
	/* All but the padding behind it. */
	cr_assert_eq(memcmp(&before, &c, offsetof(struct tp_calibration, step) + TP_CLASSES), 0);
	tp_calibration_forked(&c);
	cr_assert(judge(TP_DUE_ALL), "the first one is not in the child of a fork");
	cr_assert(judge(TP_DUE_ALL), "it is not left taken");
}

#define PUTS 20000u

static void *put_many(void *argument)
{
	uint32_t *judged = argument;

	for (unsigned n = 0; n < PUTS; n++) {
		enum tp_due due = count(200, n % 2, n % 64 == 0);

		if (due == TP_DUE_NOTHING && n % 8 == 0)
			due = TP_DUE_STEPS;
		if (due != TP_DUE_NOTHING &&
			tp_calibration_judge(&classes, &c, due, tp_load_relaxed(&c.drops)).done)
			(*judged)++;
	}
	return NULL;
}

Test(calibrate, threads_that_count_and_judge_lose_no_put)
{
	pthread_t thread[3];
	uint32_t judged[3] = {0}; /* one alone may find the lock taken each time */

	start_with(1u << 20, KIB);
	learn(200);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, put_many, &judged[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	cr_assert_gt(judged[0] + judged[1] + judged[2], 0);
	cr_assert_eq(
		c.count[2], TP_LEARN * TP_SAMPLE + 3 * (PUTS / 2 + (PUTS + 63) / 64 * TP_SAMPLE));
	cr_assert_eq(c.since, 3 * ((PUTS + 63) / 64) * TP_SAMPLE);
	cr_assert_eq(c.judging, 0);
	cr_assert_eq(default_size(), 256);
}
