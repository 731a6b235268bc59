/* SPDX-License-Identifier: MIT */
/*
 * What replay_trace says of the pool's calibration: each promise of it, on the workload that is
 * hardest for it. REPLAY_TRACE is the path of the program.
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>

#include "replay_report.h"

#define KIB 1024.0
#define MIB (1024 * KIB)
#define GETS 400000 /* of a workload */

static void start(void)
{
	replay_folder_new(REPLAY_TRACE);
}

TestSuite(replay_verdicts, .init = start, .fini = folder_end, .timeout = 300);

/* format: of a workload, with %d for its parameter, and options. */
static void replay(const char *format, int parameter)
{
	char arguments[128];

	snprintf(arguments, sizeof arguments, format, parameter);
	replay_run(arguments);
}

static double second_half(const char *column)
{
	return replay_figure("tierpool", "second", column);
}

static double all(const char *column)
{
	return replay_figure("tierpool", "all", column);
}

#define ASSERT_AT_MOST(figure, most)                                                               \
	do {                                                                                       \
		double at_most_figure = (figure);                                                  \
		cr_assert_leq(at_most_figure, most, "%s is %g, above %g", #figure, at_most_figure, \
			(double)(most));                                                           \
	} while (0)

/* ---- 200 bytes and 100 KB ---- */

static void assert_default_after_100_gets(const char *what, int parameter)
{
	cr_assert_gt(replay_site(0, "first_default"), 0);
	cr_assert_eq(replay_site(0, "first_default"), replay_site(0, "default"),
		"%s, %d: %g, then %g", what, parameter, replay_site(0, "first_default"),
		replay_site(0, "default"));
}

/* More than one buffer out at once make the pool keep more. */
Test(replay_verdicts, a_mix_takes_no_new_blocks_grows_once_and_keeps_little_more_than_is_in_use)
{
	static const int mixes[] = {1, 4, 6, 20, 50};

	for (unsigned i = 0; i < sizeof mixes / sizeof *mixes; i++) {
		replay("--workload mix:%d --first 100", mixes[i]);
		ASSERT_AT_MOST(second_half("blocks"), 0.0001);
		ASSERT_AT_MOST(second_half("growths_if_grown"), 1.05);
		ASSERT_AT_MOST(second_half("growths"), 1.05 * (mixes[i] + 0.5) / 100);
		ASSERT_AT_MOST(
			second_half("idle_peak"), 1.4 * second_half("in_use_peak") + 256 * KIB);
		assert_default_after_100_gets("a mix", mixes[i]);
		replay("--workload mix:%d --out 64", mixes[i]);
		ASSERT_AT_MOST(
			second_half("idle_peak"), 1.4 * second_half("in_use_peak") + 256 * KIB);
	}
}

Test(replay_verdicts, a_mix_has_no_cliff_from_4_to_6_percent_where_bytebufferpool_has_one)
{
	double four, four_of_peer;

	replay("--workload mix:%d", 4);
	four = all("ns");
	four_of_peer = replay_figure("bytebufferpool", "second", "ns");
	replay("--workload mix:%d", 6);
	ASSERT_AT_MOST(all("ns"), 1.25 * four);
	ASSERT_AT_MOST(100 * replay_figure("bytebufferpool", "second", "ns"), four_of_peer);
}

/* ---- many sizes; sizes that change ---- */

Test(replay_verdicts, lognormal_is_calibrated_after_64_puts)
{
	replay("--workload lognormal --gets %d", 64);
	cr_assert_geq(all("calibrations"), 1);
}

Test(replay_verdicts, lognormal_grows_seldom_and_keeps_its_default)
{
	replay("--workload lognormal --gets %d", GETS);
	ASSERT_AT_MOST(all("growths"), 0.25);
	ASSERT_AT_MOST(replay_site(0, "changes"), 10);
}

/*
 * A default that is at least as large as the messages, or the small one again, from a get on that
 * stands in the words "size@get". Returns: the number of the get; 0: there is none.
 */
static unsigned long phases_get_of(unsigned long after, bool large)
{
	const char *word = replay_site_defaults(0);
	unsigned long size, get;
	int length;

	for (; sscanf(word, "%lu@%lu%n", &size, &get, &length) == 2; word += length)
		if (get > after && (size >= 64000) == large)
			return get;
	return 0;
}

/* Seven messages may take six growths each, from 1 KiB to 64 KiB. */
Test(replay_verdicts, phases_move_the_default_within_16000_up_and_6000_back_and_then_grow_once)
{
	double grown, growths;
	unsigned long up, back;

	replay("--workload phases --gets %d", 300000);
	up = phases_get_of(100000, true);
	cr_assert(up && up <= 116000, "up at %lu", up);
	back = phases_get_of(200000, false);
	cr_assert(back && back <= 206000, "back at %lu", back);
	growths = all("growths") * 300000;
	grown = growths / all("growths_if_grown");
	ASSERT_AT_MOST(growths - grown, 7 * 5 + 0.5);
}

Test(replay_verdicts, sizes_around_a_bound_move_the_default_3_times_at_most)
{
	static const int bounds[] = {1, 2, 3, 4, 6, 10, 20, 50};

	for (unsigned i = 0; i < sizeof bounds / sizeof *bounds; i++) {
		replay("--workload bound:%d", bounds[i]);
		ASSERT_AT_MOST(replay_site(0, "changes"), 3);
	}
}

/* ---- rare large messages ---- */

Test(replay_verdicts, a_giant_in_10000_is_never_kept_and_grows_three_times_at_most)
{
	replay("--workload giant --gets %d", GETS);
	ASSERT_AT_MOST(second_half("growths_if_grown"), 3);
	ASSERT_AT_MOST(all("idle_peak"), 32 * MIB - 1);
	ASSERT_AT_MOST(replay_site(0, "default"), 1024);
}

Test(replay_verdicts, a_large_one_in_1000_grows_once_and_one_block_of_it_is_kept)
{
	replay("--workload large --gets %d", GETS);
	ASSERT_AT_MOST(second_half("growths_if_grown"), 1.1);
	ASSERT_AT_MOST(second_half("idle_peak"), 256 * KIB + 64 * KIB);
}

/* ---- sites ---- */

Test(replay_verdicts, ten_sites_of_ten_sizes_do_not_grow)
{
	replay("--workload sites --gets %d", GETS);
	ASSERT_AT_MOST(all("growths"), 0.001);
}

Test(replay_verdicts, a_new_site_has_its_default_after_100_gets)
{
	static const int lens[] = {50, 200, 1000, 5000, 60000, 300000};

	for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
		replay("--workload constant:%d --first 100 --gets 100000", lens[i]);
		assert_default_after_100_gets("constant", lens[i]);
		/* Calibrated: it is not only the default that a pool begins with. */
		ASSERT_AT_MOST(second_half("growths"), 0);
		ASSERT_AT_MOST(second_half("waste"), 0.5);
	}
}
