/* SPDX-License-Identifier: MIT */
/*
 * What replay_trace --advise prints, of traces whose curves are known. REPLAY_TRACE is the path of
 * the program.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "replay_file.h"
#include "replay_report.h"

static void start(void)
{
	replay_folder_new(REPLAY_TRACE);
}

TestSuite(replay_advice, .init = start, .fini = folder_end, .timeout = 60);

/* Four buffers of 1 KiB at once, a hundred times: only the first four gets need new blocks. */
static void record_fours(void)
{
	record_sites(0);
	for (int i = 0; i < 100; i++) {
		for (int j = 0; j < 4; j++)
			record_get(1, 2, 1000, 0, 1024);
		for (int j = 0; j < 4; j++)
			record_put(j ? -1 : 0, 1000, 8, 1024);
		record_get(-1, 2, 1000, 0, 1024);
		record_put(0, 1000, 8, 1024);
	}
	record_save();
}

Test(replay_advice, says_how_the_bound_of_a_pool_could_be)
{
	record_fours();
	replay_says("--advise trace", 0,
		"would serve 99 % of gets without a new block; its bound of 1.00 MiB serves 99.20 "
		"%, and could be lower");
	replay_says("--advise --retain 4K trace", 0, "and could be higher");
	replay_says("--advise --retain none trace", 0, "it keeps nothing");
	replay_says("--advise --retain none trace", 0,
		" KiB would serve 99 % of gets without a new block; it keeps nothing");
	replay_says("--advise --retain 4600 trace", 0,
		"its bound of 4.49 KiB serves 99.20 %, and fits");
}

/* Of 20 gets four miss at any bound. */
Test(replay_advice, says_that_no_bound_is_enough)
{
	replay_says(
		"--advise --workload constant:1000 --gets 20", 0, "no bound serves 99 % of gets");
	replay_says("--advise --workload constant:1000 --gets 20", 0,
		"would serve 95 %, as many as any");
}

/* Two at once, and then for several ticks one: the other is gone by then. */
static void record_decaying(unsigned decay_ms)
{
	record_sites(decay_ms);
	for (int i = 0; i < 100; i++) {
		record_get(0, 2, 0, 0, 1024);
		record_get(1, 2, 0, 0, 1024);
		record_put(0, 0, 8, 1024);
		record_put(-1, 0, 8, 1024);
		for (int j = 0; j < 4; j++) {
			record_get(0, 2, 800000, 0, 1024);
			record_put(0, 0, 8, 1024);
		}
	}
	record_save();
}

Test(replay_advice, has_decay_by_the_time_of_the_trace)
{
	record_decaying(0);
	replay_says("--advise trace", 0, "1.00 MiB      99.67 %   its bound");
	record_decaying(1);
	replay_says("--advise trace", 0, "1.00 MiB      83.17 %   its bound");
	replay_says("--advise --decay-ms 100 trace", 0, "1.00 MiB      99.67 %   its bound");
}

Test(replay_advice, is_also_json)
{
	record_fours();
	cr_assert_eq(system("\"$replay\" --advise --json trace >json"), 0);
	cr_assert_eq(
		system("jq -e '.pools[0] | .pool == \"p\" and .gets == 500 and .now.retain == "
		       "1048576 "
		       "and .now.share == 0.992 and (.curve | length) == 24 and .enough < 5000 and "
		       "(.advice | length) > 20' json >/dev/null"),
		0);
	cr_assert_eq(system("\"$replay\" --advise --json --workload constant:9 --gets 9 | "
			    "jq -e '.pools[0].enough == null' >/dev/null"),
		0);
}

/* Put on another CPU, buffers lie out of reach there; not if each may keep so little that none does. */
Test(replay_advice, is_for_the_cpus_of_the_traced_machine)
{
	record_sites(0);
	for (int i = 0; i < 30; i++) {
		record_get(0, 2, 1000, 0, 1024);
		record_byte('T');
		record_number(0);
		record_number(1); /* cpu */
		record_number(1000);
		record_number(8);
		record_number(1024);
	}
	record_save();
	replay_says("--advise --cpus 2 trace", 0, "1.00 MiB       0.00 %   its bound");
	replay_says("--advise --cpus 1024 trace", 0, "1.00 MiB      96.67 %   its bound");
}

Test(replay_advice, is_asked_for_rightly)
{
	record_fours();
	replay_says("--json trace", 2, "--json and --cpus are for --advise");
	replay_says("--cpus 4 trace", 2, "--json and --cpus are for --advise");
	replay_says("--advise --csv --json trace", 2, "--csv or --json");
	replay_says("--advise --first 3 trace", 2, "--advise takes no --first");
	replay_says("--advise --cpus 9000 trace", 2, "a number from 1 to 8192");
}
