/* SPDX-License-Identifier: MIT */
/* How likely a get is to be sampled, and the gaps that are drawn by it. */
#include <criterion/criterion.h>
#include <math.h>

#include "cpus.h"
#include "profile/rate.h"

#define DRAWS (SANITIZED ? 100000u : 1000000u)

Test(rate, the_weight_of_a_step_is_two_to_an_eighth_of_it)
{
	for (unsigned step = 0; step < TP_RATE_OFF; step++)
		cr_assert_lt(fabs(tp_rate_weight(step) / exp2(step / 8.0) - 1), 1e-12, "%u", step);
}

Test(rate, a_get_is_sampled_by_the_bytes_that_it_lends)
{
	tp_rate_start(512 << 10);
	for (size_t bytes = 64; bytes <= (size_t)64 << 20; bytes *= 2) {
		double p = -expm1(-(double)bytes / (512 << 10));
		double is = 1 / tp_rate_weight(tp_rate_step(bytes, false));

		/* A step is 9 % wide. */
		cr_assert_lt(fabs(is / p - 1), 0.045, "%zu: %g, not %g", bytes, is, p);
		cr_assert_leq(tp_rate_step(bytes, true), tp_rate_step(bytes, false));
	}
	cr_assert_lt(fabs(tp_rate_weight(tp_rate_step(1024, false)) /
				     tp_rate_weight(tp_rate_step(1024, true)) / TP_RATE_SLOW -
			     1),
		0.1, "slow gets so many times as often");
	tp_rate_stop();
}

Test(rate, with_one_byte_between_samples_each_get_is_one)
{
	tp_rate_start(1);
	cr_assert(tp_rate_is_complete());
	cr_assert_eq(tp_rate_step(1, false), 0);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert(tp_rate_gap(0) == 1 && tp_rate_draw(0));
	tp_rate_stop();
}

Test(rate, without_a_profile_no_get_is)
{
	cr_assert_eq(tp_rate_step(1 << 20, true), TP_RATE_OFF);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_not(tp_rate_draw(TP_RATE_OFF));
	cr_assert_gt(tp_rate_gap(TP_RATE_OFF), TP_RATE_GAP_MOST);
}

/* Mean and deviation are the same in a geometric distribution, nearly; and so are its quantiles. */
Test(rate, gaps_are_geometric)
{
	static const unsigned steps[] = {1, 8, 20, 40, 80};

	for (unsigned s = 0; s < sizeof steps / sizeof *steps; s++) {
		double p = 1 / tp_rate_weight(steps[s]), sum = 0, error, passed[3] = {0};
		static const double part[] = {0.1, 0.5, 2};

		for (unsigned i = 0; i < DRAWS; i++) {
			uint32_t gap = tp_rate_gap(steps[s]);

			cr_assert_geq(gap, 1);
			sum += gap;
			for (unsigned q = 0; q < 3; q++)
				passed[q] += gap > floor(part[q] / p);
		}
		error = 4.5 * sqrt((1 - p) / DRAWS);
		cr_assert_lt(fabs(sum / DRAWS * p - 1), error, "step %u: mean %g, not %g", steps[s],
			sum / DRAWS, 1 / p);
		for (unsigned q = 0; q < 3; q++) {
			double is = pow(1 - p, floor(part[q] / p));

			cr_assert_lt(fabs(passed[q] / DRAWS - is),
				4.5 * sqrt(is * (1 - is) / DRAWS) + 1e-9,
				"step %u: beyond %g: %g, not %g", steps[s], part[q] / p,
				passed[q] / DRAWS, is);
		}
	}
}

Test(rate, a_draw_succeeds_as_often_as_it_should)
{
	for (unsigned step = 0; step < 64; step += 9) {
		double p = 1 / tp_rate_weight(step), drawn = 0;

		for (unsigned i = 0; i < DRAWS; i++)
			drawn += tp_rate_draw(step);
		cr_assert_leq(
			fabs(drawn / DRAWS - p), 4.5 * sqrt(p * (1 - p) / DRAWS), "step %u", step);
	}
}

Test(rate, a_gap_that_is_too_long_says_so)
{
	unsigned long_ones = 0;

	for (unsigned i = 0; i < 10000; i++) {
		uint32_t gap = tp_rate_gap(TP_RATE_OFF - 1);

		cr_assert_leq(gap, TP_RATE_GAP_MOST + 1);
		long_ones += gap == TP_RATE_GAP_MOST + 1;
	}
	cr_assert_gt(long_ones, 9800, "the mean is 2^31.75");
}

/* ---- the automatic rate; the clock is the test's ---- */

/* Gets of which each takes so many ns, until the clock has passed end. Returns: the samples. */
static unsigned play(uint64_t *now_ns, uint64_t end, double get_ns, size_t bytes, double cost_ns)
{
	double now = (double)*now_ns;
	unsigned samples = 0;

	while (now < (double)end) {
		unsigned step = tp_rate_step(bytes, false);

		now += tp_rate_gap(step) * get_ns + cost_ns;
		tp_rate_note(step, bytes, (uint64_t)cost_ns, (uint64_t)now);
		samples++;
	}
	*now_ns = (uint64_t)now;
	return samples;
}

Test(rate, automatic_takes_its_part_of_a_cpu)
{
	static const double get_ns[] = {5, 50, 1000};
	static const size_t bytes[] = {64, 4096, 1 << 20};

	for (unsigned g = 0; g < 3; g++)
		for (unsigned b = 0; b < 3; b++) {
			uint64_t now = 1000000;
			double spent;

			tp_rate_start(0);
			play(&now, 500000000, get_ns[g], bytes[b], 600);
			/* 0.3 %, of a second, after it has settled. What it costs beside is counted as 400 ns. */
			spent = play(&now, now + 1000000000, get_ns[g], bytes[b], 600) * 1000 / 1e9;
			cr_assert(spent < 0.004, "%g ns, %zu bytes: %.4f", get_ns[g], bytes[b],
				spent);
			cr_assert(spent > 0.002, "%g ns, %zu bytes: %.4f", get_ns[g], bytes[b],
				spent);
			tp_rate_stop();
		}
}

Test(rate, automatic_samples_each_get_where_there_are_few)
{
	uint64_t now = 1000000;

	tp_rate_start(0);
	play(&now, 10000000000, 1e6, 4096, 600);
	cr_assert_leq(tp_rate_weight(tp_rate_step(4096, false)), 1.1);
	tp_rate_stop();
}

Test(rate, automatic_follows_what_changes)
{
	uint64_t now = 1000000;
	double fast;

	tp_rate_start(0);
	play(&now, 1000000000, 10, 4096, 600);
	fast = tp_rate_weight(tp_rate_step(4096, false));
	play(&now, now + 5000000000, 1000, 4096, 600);
	cr_assert_lt(tp_rate_weight(tp_rate_step(4096, false)), fast / 50);
	play(&now, now + 1000000000, 10, 4096, 600);
	cr_assert_gt(tp_rate_weight(tp_rate_step(4096, false)), fast / 2);
	tp_rate_stop();
}
