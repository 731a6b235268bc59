/* SPDX-License-Identifier: MIT */
/*
 * replay_trace from outside: the format of a trace, by one that is written here byte by byte; what
 * it says of a bad one; its options. REPLAY_TRACE is the path of the program. The rules of the peers
 * are in test_replay_peers.c, and what the pool learns in test_replay_verdicts.c.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "replay_file.h"
#include "replay_report.h"

static void start(void)
{
	replay_folder_new(REPLAY_TRACE);
}

TestSuite(replay_trace, .init = start, .fini = folder_end, .timeout = 60);

/* ---- the format, and what becomes of it ---- */

/* Of a trace of two gets: all in sums. idle_peak: below 0 it may be anything. */
static void assert_sums(const char *contender, double growths, double blocks, double copied,
	double idle_peak, double ns)
{
	replay_assert(contender, "growths", growths / 2);
	replay_assert(contender, "growths_if_grown", growths);
	replay_assert(contender, "blocks", blocks / 2);
	replay_assert(contender, "copied", copied / 2);
	if (idle_peak >= 0)
		replay_assert(contender, "idle_peak", idle_peak);
	replay_assert(contender, "ns", ns / 2);
}

static void two_gets(void)
{
	record_sites(0);
	record_get(5, 2, 1000, 0, 1024);
	record_grow(0, 3000, 1000);
	record_put(0, 500, 3000, 4096);
	record_get(-2, 1, 500, 2000, 4096);
	record_put(0, 998000, 100, 4096);
}

/* A pair 6 ns; a new block 200, freed 200; a growth 80 or 20, and a tenth of the bytes copied. */
Test(replay_trace, has_the_figures_of_a_trace_that_were_worked_out_by_hand)
{
	two_gets();
	record_replay();
	/* 1,024 to 4,096 bytes. The second get has the block of the first. */
	assert_sums("tierpool", 1, 2, 1000, -1, 12 + 180 + 400);
	replay_assert("tierpool", "waste", 1 - 3100 / 8192.0);
	replay_assert("tierpool", "in_use_peak", 3000);
	replay_assert("tierpool", "drops", 0);
	/* The same; and the second get has a bucket of 2,048 bytes. */
	assert_sums("buckets", 1, 3, 1000, 7168, 12 + 180 + 600);
	/* From 64 to 1,024 bytes by doubling, as the program had 1,000 before it had to grow. */
	assert_sums("malloc", 5, 7, 1960, 0, 12 + 100 + 196 + 1400 + 1400);
	/* 64, 128, 256, 512, 896, 1408, 3072; the second get has the last one. */
	assert_sums("streak", 6, 7, 2856, 3072, 12 + 120 + 285.6 + 1400 + 1200);
	/* The same after 8, 16 and 32 bytes, out of an empty slice. */
	assert_sums("cut_64k", 10, 10, 2912, 3072, 12 + 200 + 291.2 + 2000 + 1800);
	assert_sums("bytebufferpool", 10, 10, 2912, 3072, 12 + 200 + 291.2 + 2000 + 1800);
	replay_assert("bytebufferpool", "waste", 1 - 3100 / 6144.0);
}

Test(replay_trace, says_what_it_read_and_the_options_in_force)
{
	two_gets();
	record_save();
	replay_says("trace", 0, "8 records: 2 gets at 2 sites of 1 pool, in 0.001 s");
	replay_says("trace", 0,
		"pool p; 3 tiers, 1K to 16K; retain 1M; max_idle none; decay_ms never; "
		"calibrate_every 2048");
	replay_says("--steps 2 --retain 64K --max-idle 3 --decay-ms 5 --calibrate-every 99 trace",
		0,
		"pool p; min_size 1K; max_size 16K; steps 2; retain 64K; max_idle 3; "
		"decay_ms 5; calibrate_every 99");
	replay_says("--retain none --calibrate-every off trace", 0,
		"; retain none; max_idle none; decay_ms never; calibrate_every off");
	replay_says("--first 1 trace", 0, "p a.c:12 f");
	replay_says("trace", 0, "p (calls without a site): -");
	replay_says("--first 1 trace", 0, "0.0000   -   p (calls without a site): -");
}

/* As of threads that race for the default pool: the losers' pools are destroyed at once. */
Test(replay_trace, lists_no_pool_without_a_get)
{
	two_gets();
	record_pool(8, 0, 0, "unused");
	record_save();
	replay_says("trace", 0, "9 records: 2 gets at 2 sites of 1 pool, in");
	cr_assert_eq(system("! grep unused out"), 0);
}

Test(replay_trace, prints_what_the_pools_learned_but_not_among_the_values)
{
	static const char mix[] = "--workload mix:6 --gets 20000";

	replay_says(mix, 0, "growths      p50      p95  sites of workload");
	replay_says(mix, 0, "  0.0605      256     128K  workload:1 site 1, grows to 128K");
	cr_assert_eq(system("\"$replay\" --csv --workload mix:6 --gets 20000 >out; "
			    "test -s out && ! grep -q p95 out"),
		0);
}

Test(replay_trace, prints_no_control_characters_of_a_trace)
{
	record_sites(0);
	record_byte('S');
	record_number(7);
	record_number(3);
	record_number(5);
	record_string("x\033[2J.c");
	record_string("f\r");
	record_get(0, 3, 0, 0, 1024);
	record_save();
	replay_says("trace", 0, "x?[2J.c:5 f?");
	cr_assert_eq(system("! grep -q \"$(printf '[\\033\\r]')\" out"), 0);
}

Test(replay_trace, counts_the_second_half_of_the_gets_apart)
{
	record_sites(0);
	record_pair(100);
	record_pair(100);
	record_pair(3000);
	record_pair(100);
	record_replay();
	cr_assert_eq(replay_figure("malloc", "second", "gets"), 2);
	cr_assert_eq(replay_figure("malloc", "second", "growths"), 3.5);
	cr_assert_eq(replay_figure("malloc", "all", "growths"), 2.25);
	cr_assert_eq(replay_figure("malloc", "second", "in_use_peak"), 3000);
	cr_assert_eq(replay_figure("buckets", "second", "blocks"), 1);
}

/* A trace may end with buffers out; a pool may have some of several ids out at once. */
Test(replay_trace, takes_buffers_that_are_never_put)
{
	record_sites(0);
	for (int i = 0; i < 100; i++)
		record_get(i * 1000003, 2, 0, 0, 1024);
	record_grow(0, 5000, 1024);
	record_replay();
	replay_assert("buckets", "blocks", 1.01);
	replay_assert("tierpool", "blocks", 1.01);
	replay_assert("tierpool", "in_use_peak", 1024);
}

static void record_1000_small_ones(uint64_t calibrate_every)
{
	record_head();
	record_pool(7, 0, calibrate_every, "p");
	record_site(7, 1);
	for (int i = 0; i < 1000; i++) {
		record_get(0, 1, 0, 0, 1024);
		record_put(0, 0, 8, 1024);
	}
	record_save();
}

Test(replay_trace, calibrates_as_often_as_was_traced_unless_it_is_told)
{
	record_1000_small_ones(64);
	replay_run("trace");
	cr_assert_gt(replay_figure("tierpool", "all", "calibrations"), 1);
	replay_run("--calibrate-every off trace");
	replay_assert("tierpool", "calibrations", 0);
	record_1000_small_ones(0);
	replay_run("trace");
	replay_assert("tierpool", "calibrations", 0);
	replay_run("--calibrate-every 64 trace");
	cr_assert_gt(replay_figure("tierpool", "all", "calibrations"), 1);
}

/* ---- what is no trace ---- */

static void assert_wrong(const char *message, size_t offset)
{
	char text[256];

	snprintf(text, sizeof text, "trace: byte %zu: %s", offset, message);
	record_save();
	replay_says("trace", 1, text);
}

Test(replay_trace, rejects_a_file_that_is_no_trace)
{
	record_bytes = 0;
	assert_wrong("this is no trace", 0);
	record_head();
	record[7] = 2;
	assert_wrong("this is no trace", 0);
	record_head();
	assert_wrong("there is no get", 0);
	replay_says("nowhere", 2, "nowhere: No such file or directory");
	replay_says(".", 2, ".: Is a directory");
}

/* A site of which something is wrong: its line, or the length of its file's name. */
static void record_site_with(uint64_t line, uint64_t length)
{
	record_byte('S');
	record_number(7);
	record_number(3);
	record_number(line);
	record_number(length);
}

/* What comes next is wrong: while buffer 1 is out. */
static size_t record_begin(void)
{
	record_sites(0);
	record_get(1, 2, 0, 0, 1024);
	return record_bytes;
}

Test(replay_trace, names_the_byte_at_which_a_record_is_impossible)
{
	size_t at = record_begin();

	record_put(1, 0, 0, 64);
	assert_wrong("a put of a buffer that is not out", at);
	record_begin();
	record_grow(1, 100, 0);
	assert_wrong("a growth of a buffer that is not out", at);
	record_begin();
	record_get(0, 2, 0, 0, 1024);
	assert_wrong("a get of a buffer that is out", at);
	record_begin();
	record_get(1, 3, 0, 0, 1024);
	assert_wrong("a get at an unknown site", at);
	record_begin();
	record_site(8, 1);
	assert_wrong("a site of an unknown pool", at);
	record_begin();
	record_site(7, 1);
	assert_wrong("a site that is there already", at);
	record_begin();
	record_byte('X');
	assert_wrong("no kind of record", at);
}

Test(replay_trace, names_the_byte_at_which_a_number_is_impossible)
{
	size_t at = record_begin();

	record_get(1, 2, 0, 65, 64);
	assert_wrong("a get of less than it asked for", at);
	record_begin();
	record_put(0, 0, 65, 64);
	assert_wrong("a put of more than its capacity", at);
	record_begin();
	record_grow(0, 100, 101);
	assert_wrong("a growth to less than was there", at);
	record_begin();
	record_put(0, 0, (size_t)1 << 60, (size_t)1 << 61);
	assert_wrong("an impossible length", at);
	record_begin();
	record_site_with(0, 5000);
	assert_wrong("a string of more than 4,096 bytes", at);
	record_begin();
	record_site_with(UINT64_MAX, 0);
	assert_wrong("a number of more than 32 bits", at);
	record_begin();
	record_byte('R');
	for (int i = 0; i < 10; i++)
		record_byte(0xff);
	assert_wrong("a number of more than 64 bits", at);
}

/* A pool of these numbers instead of what stands from here on. */
static void pool_wrong(const char *message, size_t at, const uint64_t *numbers, size_t count)
{
	record_bytes = at;
	record_byte('P');
	for (size_t i = 0; i < count; i++)
		record_number(numbers[i]);
	record_string("p");
	assert_wrong(message, at);
}

#define POOL_WRONG(message, at, ...)                             \
	pool_wrong(message, at, (const uint64_t[]){__VA_ARGS__}, \
		sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* Its numbers: id, retain, max_idle, decay, alignment, calibrate_every, tiers. */
Test(replay_trace, rejects_pools_that_cannot_be)
{
	size_t at = record_begin();

	POOL_WRONG("tiers that do not ascend", at, 8, 0, 0, 0, 64, 0, 2, 1024, 1024);
	POOL_WRONG("tiers that do not ascend", at, 8, 0, 0, 0, 64, 0, 1, 0);
	POOL_WRONG("more than 254 tiers", at, 8, 0, 0, 0, 64, 0, 255);
	POOL_WRONG("an impossible alignment", at, 8, 0, 0, 0, 65, 0, 0);
	POOL_WRONG("an impossible alignment", at, 8, 0, 0, 0, 1 << 17, 0, 0);
	POOL_WRONG("a number of more than 32 bits", at, 8, 0, 0, (uint64_t)1 << 32, 64, 0, 0);
	POOL_WRONG("a number of more than 32 bits", at, 8, 0, 0, 0, 64, (uint64_t)1 << 32, 0);
	POOL_WRONG("a pool that is there already", at, 7, 0, 0, 0, 64, 0, 0);
}

/* Cut at each byte: at the end of a record nothing is missing; elsewhere the rest is used. */
Test(replay_trace, uses_what_is_whole_of_a_trace_that_was_cut_short)
{
	size_t end, last;

	record_sites(0);
	record_pair(100);
	last = record_bytes;
	record_get(1, 2, 0, 0, 1024);
	end = record_bytes;
	for (record_bytes = last + 1; record_bytes < end; record_bytes++) {
		char text[64];

		snprintf(text, sizeof text, "trace: byte %zu: the last record is cut short", last);
		record_save();
		replay_says("trace", 0, text);
		replay_says("trace", 0, "5 records: 1 get at");
	}
	record_save();
	replay_says("trace", 0, "6 records: 2 gets at");
}

/* The time of a damaged trace may jump: there are no more ticks than have an effect. */
Test(replay_trace, does_not_tick_for_ever)
{
	record_sites(1);
	record_pair(8);
	record_get(0, 2, UINT64_MAX, 0, 1024);
	record_put(0, UINT64_MAX, 8, 1024);
	record_replay();
	replay_assert("tierpool", "drops", 1);
}

/* ---- options and workloads ---- */

Test(replay_trace, replays_with_other_options_of_the_pool)
{
	replay_run("--workload constant:1000 --gets 1000 --retain none");
	replay_assert("tierpool", "drops", 1000);
	replay_run("--workload constant:5000 --gets 1000 --max-size 4K");
	replay_assert("tierpool", "drops", 1000);
	replay_run("--workload constant:1000 --gets 1000 --out 50 --max-idle 1");
	cr_assert_gt(replay_figure("tierpool", "all", "drops"), 900);
	replay_run("--workload constant:1000 --gets 1000 --min-size 2K --calibrate-every off");
	cr_assert_eq(replay_site(0, "default"), 2048);
	cr_assert_eq(replay_site(0, "changes"), 0);
	cr_assert_str_eq(replay_site_defaults(0), "2048@1");
}

Test(replay_trace, gives_the_same_for_the_same_seed)
{
	static const char twice[] =
		"for i in 1 2; do \"$replay\" --workload lognormal --gets 50000 --out 16 --first "
		"100"
		" --seed 7 >$i || exit; done; cmp 1 2 &&"
		" ! \"$replay\" --workload lognormal --gets 50000 --out 16 --seed 8 | cmp -s 1 -";

	cr_assert_eq(system(twice), 0);
}

Test(replay_trace, generates_each_workload)
{
	static const struct {
		const char *arguments;
		double gets, in_use_peak, sites;
	} workloads[] = {
		{"constant:77", 400000, 77, 1},
		{"mix:50 --gets 100", 100, 100000, 1},
		{"mix:0 --gets 100", 100, 200, 1},
		{"bound:50 --gets 100", 100, 1030, 1},
		{"phases", 300000, 64000, 1},
		{"giant --gets 10000", 10000, 32 << 20, 1},
		{"large --gets 1000", 1000, 256000, 1},
		{"sites --gets 1000", 1000, 200000, 10},
		{"constant:100 --gets 100000 --out 8", 100000, 800, 1},
	};

	for (unsigned i = 0; i < sizeof workloads / sizeof *workloads; i++) {
		char text[64];

		snprintf(text, sizeof text, "--workload %s", workloads[i].arguments);
		replay_run(text);
		replay_assert("malloc", "gets", workloads[i].gets);
		replay_assert("malloc", "in_use_peak", workloads[i].in_use_peak);
		cr_assert_gt(replay_site((unsigned)workloads[i].sites - 1, "gets"), 0);
	}
}

Test(replay_trace, rejects_options_that_make_no_sense)
{
	static const char *const bad[] = {"", "trace trace", "trace --workload mix:4",
		"--workload mix", "--workload mix:101", "--workload mix:4x", "--workload none",
		"--workload lognormal:1", "--workload mix:-1", "--workload mix:nan",
		"--workload constant:1e30", "--workload phases --gets 0", "--steps 3 trace",
		"--retain 0 trace", "--retain 1T trace", "--retain -1 trace",
		"--retain 99999999999999999999 trace", "--decay-ms 0 trace", "--max-idle 0 trace",
		"--calibrate-every 0 trace", "--calibrate-every 1048577 trace",
		"--min-size 2K --max-size 1K trace", "--gets 9 trace", "--frobnicate trace",
		"--first trace"};

	record_sites(0);
	record_pair(1);
	record_save();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		replay_says(bad[i], 2, "Try replay_trace --help.");
	replay_says("--workload mix", 2, "--workload mix: it needs mix:P, with P from 0 to 100");
	replay_says("--workload bound:101", 2, "it needs bound:P, with P from 0 to 100");
	replay_says("--workload giant:1", 2, "giant takes no number");
	replay_says("--workload none", 2, "there is no such workload");
	replay_says("--decay-ms 0 trace", 2, "'0' is not a number from 1 to 4294967294, or never");
	replay_says(
		"--retain x trace", 2, "'x' is not a number from 1 to 18446744073709551615, or");
	replay_says("--steps 3 trace", 2, "'3' is not 1, 2 or 4");
	replay_says("--help", 0, "Usage: replay_trace [option]... FILE");
	cr_assert_eq(system("\"$replay\" trace 2>err >/dev/full; test $? = 2"), 0);
}
