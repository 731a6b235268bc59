/* SPDX-License-Identifier: MIT */
/*
 * What the profile estimates is what happened, within the error that it says itself; and that error is
 * right: over many runs, how far the estimates are off, in their own standard errors, has the mean 0 and
 * the variance 1.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <tierpool/profile.h>

#include "pool_checks.h"
#include "profile/rate.h"
#include "profile/snapshot.h"

#define SITES 4

static tierpool_site site[SITES] = {TIERPOOL_SITE_INIT("a"), TIERPOOL_SITE_INIT("b"),
	TIERPOOL_SITE_INIT("c"), TIERPOOL_SITE_INIT("d")};

static tierpool *pool;

static void get(tierpool_site *at, size_t n)
{
	tierpool_buf *b = tierpool_get_at(pool, n, at);

	cr_assert_not_null(b);
	tierpool_put(b);
}

/* ---- how far estimates are off ---- */

struct deviations {
	unsigned n, far; /* far: by more than four standard errors */
	double sum, squares;
};

static void deviations_add(struct deviations *d, struct tp_estimate estimate, double truth)
{
	double off = estimate.sum - truth;

	if (truth == 0)
		cr_assert_eq(estimate.sum, 0);
	if (estimate.variance <= 0)
		return;
	d->n++;
	d->far += off * off > 16 * estimate.variance;
	d->squares += off * off / estimate.variance;
	d->sum += off / sqrt(estimate.variance);
}

/*
 * One in 16,000 is four errors off if there are many samples; of few that weigh much somewhat more are: one
 * in 50 may be, and one more. The mean may be off by five of its errors. spread: how far the mean of the
 * squares may be from 1, beside its own error, where a run has so few samples that what they say of their
 * error varies.
 */
static void deviations_check(const char *what, const struct deviations *d, double spread)
{
	double n = d->n, mean = d->sum / n, squares = d->squares / n;
	double error = 5 / sqrt(n);

	cr_assert_geq(d->n, 20, "%s: %u", what, d->n);
	cr_assert(d->far <= 1 + d->n / 50, "%s: %u of %u are four errors off", what, d->far, d->n);
	cr_assert(mean * mean < error * error, "%s: off by %.2f errors on average, of %u", what,
		mean, d->n);
	cr_assert(squares < 1 + spread + 1.5 * error && squares > 1 - spread - 1.5 * error,
		"%s: %.2f times the variance that is said, of %u", what, squares, d->n);
}

/* What a label's site has; all 0 if it has no sample. */
static struct tp_snapshot_site found(const struct tp_snapshot *snapshot, const char *label)
{
	struct tp_snapshot_site all = {0};

	for (size_t i = 0; i < snapshot->sites; i++)
		if (!strcmp(snapshot->site[i].label, label))
			all = snapshot->site[i];
	return all;
}

static struct tp_snapshot *profile_of(size_t sample_bytes, void (*run)(void))
{
	struct tp_snapshot *snapshot;

	cr_assert_eq(tierpool_profile_start(sample_bytes), 0);
	run();
	tierpool_profile_stop();
	snapshot = tp_snapshot_take();
	cr_assert_not_null(snapshot);
	cr_assert_eq(snapshot->dropped, 0);
	return snapshot;
}

#define RUNS (SANITIZED ? 20 : 60)

/* ---- four sites in turn, of one word ---- */

#define TURNS 40000
#define TURNS_EACH 10000 /* of a site */

static void four_in_turn(void)
{
	for (unsigned i = 0; i < TURNS; i++)
		get(&site[i % 4], 1000);
}

Test(estimates, four_sites_in_turn, .timeout = 120)
{
	struct deviations gets = {0}, bytes = {0};

	pool = pool_new();
	stay_on_this_cpu();
	for (unsigned run = 0; run < RUNS; run++) {
		struct tp_snapshot *snapshot = profile_of(100000, four_in_turn);

		for (unsigned i = 0; i < 4; i++) {
			struct tp_snapshot_site s = found(snapshot, site[i].tp_label);

			deviations_add(&gets, s.gets, TURNS_EACH);
			deviations_add(&bytes, s.bytes, 1024.0 * TURNS_EACH);
		}
		tp_snapshot_free(snapshot);
	}
	deviations_check("gets", &gets, 0.1);
	deviations_check("bytes", &bytes, 0.1);
	tierpool_destroy(pool);
}

/* ---- few pops of a word ---- */

static void few_of_one_word(void)
{
	for (unsigned i = 0; i < 3000; i++)
		get(&site[i % 2], 1000);
}

Test(estimates, three_thousand_pops_of_one_word, .timeout = 120)
{
	struct deviations gets = {0};

	pool = pool_new();
	stay_on_this_cpu();
	for (unsigned run = 0; run < 5 * RUNS; run++) {
		struct tp_snapshot *snapshot = profile_of(50000, few_of_one_word);

		for (unsigned i = 0; i < 2; i++)
			deviations_add(&gets, found(snapshot, site[i].tp_label).gets, 1500);
		tp_snapshot_free(snapshot);
	}
	deviations_check("gets", &gets, 0.3);
	tierpool_destroy(pool);
}

/* ---- the first gets of new sites, which come the slow way ---- */

#define NEW 1000
#define FIRST 40

static tierpool_site new_site[NEW];

static void first_gets(void)
{
	for (unsigned i = 0; i < NEW * FIRST; i++)
		get(&new_site[i % NEW], 0);
}

Test(estimates, the_first_gets_of_a_site, .timeout = 120)
{
	struct deviations all = {0};

	for (unsigned run = 0; run < RUNS; run++) {
		struct tp_estimate sum = {0, 0};
		struct tp_snapshot *snapshot;

		for (unsigned i = 0; i < NEW; i++)
			new_site[i] = (tierpool_site)TIERPOOL_SITE_INIT("new");
		for (unsigned i = 0; i < NEW; i++)
			new_site[i].tp_line = i;
		pool = pool_new(.name = "new");
		stay_on_this_cpu();
		snapshot = profile_of(100000, first_gets);
		for (size_t i = 0; i < snapshot->sites; i++) {
			sum.sum += snapshot->site[i].gets.sum;
			sum.variance += snapshot->site[i].gets.variance;
		}
		deviations_add(&all, sum, NEW * FIRST);
		tp_snapshot_free(snapshot);
		tierpool_destroy(pool);
	}
	deviations_check("first gets", &all, 0.2);
}

/* ---- a slow call that expires the countdown, a few gets of one site, many of another ---- */

static void after_slow_calls(void)
{
	for (unsigned request = 0; request < 150; request++) {
		tierpool_tick(pool);
		get(&site[2], (size_t)20 << 20);
		for (unsigned i = 0; i < 40; i++)
			get(&site[0], 1000);
		for (unsigned i = 0; i < 400; i++)
			get(&site[1], 1000);
	}
}

Test(estimates, gets_after_slow_calls, .timeout = 120)
{
	struct deviations gets = {0};

	pool = pool_new();
	stay_on_this_cpu();
	for (unsigned run = 0; run < RUNS; run++) {
		struct tp_snapshot *snapshot = profile_of(50000, after_slow_calls);

		deviations_add(&gets, found(snapshot, "a").gets, 150 * 40);
		deviations_add(&gets, found(snapshot, "b").gets, 150 * 400);
		cr_assert_eq(found(snapshot, "c").gets.sum, 150, "p is 1 where it can be");
		tp_snapshot_free(snapshot);
	}
	deviations_check("gets", &gets, 0.2);
	tierpool_destroy(pool);
}

/* ---- three tiers, with misses ---- */

static void three_tiers(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		tierpool_buf *b[2] = {NULL, NULL};
		size_t size = i % 100 == 0 ? (size_t)1 << 20 : i % 10 == 0 ? 65536 : 1000;
		tierpool_site *at = &site[i % 100 == 0 ? 2 : i % 10 == 0 ? 1 : 0];

		for (unsigned n = 0; n < 2; n++)
			b[n] = tierpool_get_at(pool, size, at);
		tierpool_put(b[1]);
		tierpool_put(b[0]);
		if (i % 200 == 0)
			tierpool_trim(pool, 0);
	}
}

Test(estimates, three_tiers_with_misses, .timeout = 120)
{
	struct deviations gets = {0}, misses = {0}, bytes = {0};

	pool = pool_new();
	stay_on_this_cpu();
	for (unsigned run = 0; run < RUNS; run++) {
		struct tierpool_stats before = stats_of(pool), after;
		struct tp_estimate missed = {0, 0};
		struct tp_snapshot *snapshot = profile_of(200000, three_tiers);

		after = stats_of(pool);
		for (unsigned i = 0; i < 3; i++) {
			static const unsigned count[] = {18000, 1800, 200};
			static const double size[] = {1 << 10, 1 << 16, 1 << 20};
			struct tp_snapshot_site s = found(snapshot, site[i].tp_label);

			deviations_add(&gets, s.gets, 2 * count[i]);
			deviations_add(&bytes, s.bytes, 2 * count[i] * size[i]);
			missed.sum += s.misses.sum;
			missed.variance += s.misses.variance;
		}
		deviations_add(&misses, missed,
			(double)(after.gets - after.hits - before.gets + before.hits));
		tp_snapshot_free(snapshot);
	}
	deviations_check("gets", &gets, 0.3);
	deviations_check("bytes", &bytes, 0.3);
	deviations_check("misses", &misses, 0.4);
	tierpool_destroy(pool);
}

/* ---- a rate that changes, as the automatic one does ---- */

static void rate_changes(void)
{
	static const size_t between[] = {20000, 60000, 30000, 100000};

	for (unsigned i = 0; i < TURNS; i++) {
		if (i % 500 == 0) {
			tp_rate_stop();
			tp_rate_start(between[i / 500 % 4]);
		}
		get(&site[i % 4], i % 4 ? 1000 : 30000);
	}
}

Test(estimates, while_the_rate_changes, .timeout = 120)
{
	struct deviations gets = {0};

	pool = pool_new();
	stay_on_this_cpu();
	for (unsigned run = 0; run < RUNS; run++) {
		struct tp_snapshot *snapshot = profile_of(20000, rate_changes);

		for (unsigned i = 0; i < 4; i++)
			deviations_add(&gets, found(snapshot, site[i].tp_label).gets, TURNS_EACH);
		tp_snapshot_free(snapshot);
	}
	deviations_check("gets", &gets, 0.2);
	tierpool_destroy(pool);
}

/* ---- each get ---- */

Test(estimates, of_each_get_are_exact)
{
	struct tp_snapshot *snapshot;

	pool = pool_new();
	snapshot = profile_of(1, four_in_turn);
	cr_assert(snapshot->complete);
	cr_assert_eq(snapshot->samples, TURNS);
	for (unsigned i = 0; i < 4; i++) {
		struct tp_snapshot_site s = found(snapshot, site[i].tp_label);

		cr_assert_eq(s.gets.sum, TURNS_EACH);
		cr_assert_eq(s.gets.variance, 0);
		cr_assert_eq(s.bytes.sum, 1024.0 * TURNS_EACH);
		cr_assert_eq(s.out.sum, 0);
	}
	tp_snapshot_free(snapshot);
	tierpool_destroy(pool);
}
