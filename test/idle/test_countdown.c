/* SPDX-License-Identifier: MIT */
/*
 * Looks and samples: which pops find the countdown of their stack expired, and what that stands for.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <sys/mman.h>

#include "base/random.h"
#include "cpus.h"
#include "idle/countdown.h"
#include "idle_fixture.h"
#include "profile/rate.h"

static struct idle_fixture f; /* one a process, and each test is one */

#define TIER 1

static void start(bool sampled)
{
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	stay_on_this_cpu();
	f.tiers.sampled = sampled;
	idle_keep_new(&f, TIER, 1);
}

/* One pop, whose item goes back. False: it found nothing expired. */
static bool pop(struct tp_expiry *expiry)
{
	unsigned stack_index = f.tiers.stack_index[TIER];
	bool expired;
	void *item = tp_stack_pop(&f.tiers.cpus, stack_index, &expired);

	if (!item || !tp_stack_push(&f.tiers.cpus, stack_index, item))
		cr_assert_fail("the item was not there, or did not go back");
	if (expired)
		*expiry = tp_idle_expiry(&f.tiers, TIER);
	return expired;
}

/* ---- samples ---- */

#define SAMPLES (SANITIZED ? 500u : 2000u)

/* What else decides when a countdown expires. */
struct circumstances {
	unsigned ms; /* decay_ms */
	bool late;   /* each look comes after a second without one: gaps between looks shrink */
	unsigned more_one; /* one arming in so many has more to do; 0: none */
};

/* Pops from one sample to the next. Returns: looks meanwhile. */
static unsigned sample_gaps(struct circumstances how, unsigned *gap)
{
	unsigned looks = 0, armed = 0, since = 0;
	struct tp_expiry expiry;

	start(true);
	f.tiers.decay.ms = how.ms;
	cr_assert(pop(&expiry));
	tp_idle_arm(&f.tiers, TIER, false); /* the first one is drawn here */
	for (unsigned sample = 0; sample < SAMPLES;) {
		cr_assert_lt(since++, 2 * TP_SAMPLE, "no sample for so long");
		if (!pop(&expiry))
			continue;
		looks += expiry.look;
		if (expiry.sampled) {
			gap[sample++] = since;
			since = 0;
		}
		if (how.late)
			f.tiers.decay.looked_ms = 0;
		tp_idle_arm(&f.tiers, TIER, how.more_one && ++armed % how.more_one == 0);
	}
	idle_end(&f);
	return looks;
}

Test(countdown, gaps_between_samples_are_those_of_one_sequence_whatever_the_clock_says)
{
	static const struct circumstances how[] = {
		{UINT_MAX, false, 0}, {UINT_MAX, false, 3}, {1000, true, 0}, {1, true, 2}};
	unsigned gap[SAMPLES], looks[4];

	for (unsigned i = 0; i < 4; i++) {
		uint64_t random = 0;

		looks[i] = sample_gaps(how[i], gap);
		for (unsigned n = 0; n < SAMPLES; n++)
			cr_assert_eq(gap[n], tp_random_gap(&random, TP_SAMPLE), "%u, gap %u", i, n);
	}
	cr_assert_lt(looks[0], SAMPLES, "few looks");
	cr_assert(looks[1] > looks[0] && looks[2] > SAMPLES && looks[3] > SAMPLES, "many looks");
}

Test(countdown, gaps_between_samples_are_256_on_average_and_each_is_as_likely)
{
	unsigned gap[SAMPLES], sum = 0, eighth[8] = {0};

	sample_gaps((struct circumstances){UINT_MAX, false, 0}, gap);
	for (unsigned n = 0; n < SAMPLES; n++) {
		cr_assert(gap[n] >= 1 && gap[n] <= 2 * TP_SAMPLE - 1);
		sum += gap[n];
		eighth[gap[n] / 64]++;
	}
	/* Five standard deviations: 148 each; and sqrt(n/8 * 7/8), less than 12 % from 500 on. */
	cr_assert(sum > (TP_SAMPLE - 34) * SAMPLES && sum < (TP_SAMPLE + 34) * SAMPLES);
	for (unsigned i = 0; i < 8; i++)
		cr_assert(eighth[i] > SAMPLES / 8 * 2 / 5 && eighth[i] < SAMPLES / 8 * 8 / 5,
			"%u of %u", eighth[i], SAMPLES);
}

Test(countdown, one_in_256_gets_that_popped_nothing_is_sampled_too)
{
	unsigned sampled = 0;

	start(true);
	for (unsigned n = 0; n < 1000 * TP_SAMPLE; n++)
		sampled += tp_idle_draw(&f.tiers, 1024).sampled;
	cr_assert(sampled > 850 && sampled < 1150, "%u", sampled);
	idle_end(&f);
}

/* ---- looks ---- */

Test(countdown, a_new_slab_has_a_look_due_and_no_sample)
{
	struct tp_expiry expiry;

	start(true);
	cr_assert(pop(&expiry));
	cr_assert(expiry.look && !expiry.sampled);
	idle_end(&f);
}

Test(countdown, without_a_slab_a_look_is_due_and_arming_does_nothing)
{
	struct tp_expiry expiry;

	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	stay_on_this_cpu();
	f.tiers.sampled = true;
	cr_assert_null(f.tiers.cpus.cpu[idle_own_cpu(&f)].slab);
	tp_idle_arm(&f.tiers, TIER, true);
	expiry = tp_idle_expiry(&f.tiers, TIER);
	cr_assert(expiry.look && !expiry.sampled);
	idle_end(&f);
}

Test(countdown, if_more_is_to_be_done_the_next_get_looks)
{
	struct tp_expiry expiry;

	start(true);
	for (unsigned n = 0; n < 1000; n++) {
		cr_assert(pop(&expiry), "get %u", n);
		cr_assert(expiry.look);
		tp_idle_arm(&f.tiers, TIER, true);
	}
	cr_assert(pop(&expiry));
	tp_idle_arm(&f.tiers, TIER, false);
	for (unsigned n = 0; !pop(&expiry); n++)
		cr_assert_leq(n, 2 * TP_SAMPLE);
	idle_end(&f);
}

Test(countdown, what_is_not_sampled_has_looks_only)
{
	struct tp_expiry expiry;
	unsigned looks = 0;

	start(false);
	for (unsigned n = 0; n < 50 * TP_DECAY_GAP; n++) {
		cr_assert_not(tp_idle_draw(&f.tiers, 1024).sampled);
		if (!pop(&expiry))
			continue;
		cr_assert(expiry.look && !expiry.sampled);
		looks++;
		tp_idle_arm(&f.tiers, TIER, false);
	}
	cr_assert(looks > 25 && looks < 100, "%u", looks);
	idle_end(&f);
}

Test(countdown, each_tier_has_a_countdown_of_its_own)
{
	struct tp_expiry expiry;

	start(true);
	cr_assert(pop(&expiry));
	tp_idle_arm(&f.tiers, TIER, false);
	expiry = tp_idle_expiry(&f.tiers, 0);
	cr_assert(expiry.look && !expiry.sampled, "as in a new slab");
	tp_idle_arm(&f.tiers, 0, true);
	cr_assert_not(pop(&expiry), "the first gap of the seed is more than 1");
	idle_end(&f);
}

/* ---- the profile ---- */

/* Pops until the countdown has expired. Returns: what that stands for. */
static struct tp_expiry pop_until_expired(void)
{
	struct tp_expiry expiry;

	while (!pop(&expiry))
		;
	return expiry;
}

static uint64_t *countdowns(void)
{
	return &f.tiers.cpus.cpu[idle_own_cpu(&f)].slab[f.tiers.countdowns + TIER];
}

static unsigned profile_gap(void)
{
	return *countdowns() >> 32 & 0xffffff;
}

Test(countdown, a_gap_that_is_longer_than_fits_is_waited_for_and_not_drawn_anew)
{
	unsigned left;

	start(true);
	tp_rate_start((size_t)1 << 42); /* some 2^31 gets: one gap in 128 fits */
	pop_until_expired();
	tp_idle_arm(&f.tiers, TIER, false);
	left = profile_gap();
	cr_assert_gt(left, TP_RATE_GAP_MOST / 2);
	for (unsigned n = 0; n < 100; n++) {
		pop_until_expired();
		tp_idle_arm(&f.tiers, TIER, false);
		cr_assert_lt(profile_gap(), left, "expiry %u", n);
		left = profile_gap();
	}
	/* As if all but one were over. */
	*countdowns() = (*countdowns() & ~(UINT64_C(0xffffff) << 32)) | UINT64_C(1) << 32;
	cr_assert_eq(pop_until_expired().step, TP_RATE_OFF, "its end is no sample");
	tp_rate_stop();
	idle_end(&f);
}

Test(countdown, a_gap_of_before_the_profile_is_not_armed_after_its_start)
{
	struct tp_expiry expiry;

	start(true);
	cr_assert(pop(&expiry));
	/* Here the thread has chosen a gap, and another one starts the profile. */
	tp_rate_start(1);
	tp_idle_expire(&f.tiers);
	cr_assert_not(tp_stack_arm(&f.tiers.cpus, TIER, 1000));
	for (unsigned n = 0; n < 1000; n++) {
		cr_assert(pop(&expiry), "get %u", n);
		cr_assert_eq(expiry.step, 0);
		tp_idle_arm(&f.tiers, TIER, false);
	}
	cr_assert_eq(tp_stack_count(&f.tiers.cpus, TIER).pops, 1001);
	tp_rate_stop();
	idle_end(&f);
}

Test(countdown, nothing_is_written_where_no_countdown_is_as_in_a_slab_that_was_given_back)
{
	void *slab;

	start(true);
	slab = f.tiers.cpus.cpu[idle_own_cpu(&f)].slab;
	cr_assert_eq(mprotect(slab, f.tiers.slab_bytes, PROT_READ), 0);
	tp_idle_expire(&f.tiers);
	cr_assert_eq(mprotect(slab, f.tiers.slab_bytes, PROT_READ | PROT_WRITE), 0);
	idle_end(&f);
}
