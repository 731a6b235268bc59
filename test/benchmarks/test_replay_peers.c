/* SPDX-License-Identifier: MIT */
/*
 * The rules of the peers in replay_trace, by figures that were worked out by hand: of a pair 6 ns; of
 * a new block 200, and 200 when it is freed, from 1 MiB on 4,000 and 5,500; of a page of one of 64 KiB
 * and more 250. REPLAY_TRACE is the path of the program.
 */
#include <criterion/criterion.h>
#include <stdint.h>

#include "replay_file.h"
#include "replay_report.h"

#define MS 1000000u /* ns */

static void start(void)
{
	replay_folder_new(REPLAY_TRACE);
}

TestSuite(replay_peers, .init = start, .fini = folder_end, .timeout = 60);

/* A slice grows from 40,960 bytes to 57,344, and then to 73,728. */
Test(replay_peers, cut_drops_what_is_larger_than_64_kib)
{
	record_sites(0);
	record_pair(57344);
	record_pair(57344);
	record_replay();
	replay_assert("cut_64k", "drops", 0);
	record_pair(57345);
	record_pair(57345);
	record_replay();
	replay_assert("cut_64k", "drops", 2);
}

/* 5,000 bytes: 64, 128, 256, 512, 896, 1408, 2048, 3072, 4096, 5376. */
Test(replay_peers, streak_drops_at_the_fifth_bad_use_in_a_row)
{
	record_sites(0);
	record_pair(5000);
	for (int i = 0; i < 4; i++)
		record_pair(100);
	record_pair(5000);
	for (int i = 0; i < 4; i++)
		record_pair(100);
	record_replay();
	replay_assert("streak", "drops", 0);
	replay_assert("streak", "blocks", 10 / 10.0);
	record_pair(100);
	record_pair(100); /* a block of 128 bytes, which does not grow */
	record_replay();
	replay_assert("streak", "drops", 1);
	replay_assert("streak", "blocks", 11 / 12.0);
	replay_assert("streak", "growths", 9 / 12.0);
}

Test(replay_peers, bytebufferpool_calibrates_after_42000_calls_of_one_step)
{
	replay_run("--workload constant:200 --gets 42000");
	replay_assert("bytebufferpool", "calibrations", 0);
	replay_run("--workload constant:200 --gets 42001");
	replay_assert("bytebufferpool", "calibrations", 1);
	/* Step 256 has more than 95 %: it is the default, and the most that is kept. */
	record_sites(0);
	record_pair(100000);
	for (int i = 0; i < 42001; i++)
		record_pair(200);
	record_replay();
	replay_assert("bytebufferpool", "drops", 1);
	replay_assert("bytebufferpool", "idle_peak", 131072);
	record_pair(200);
	record_replay();
	cr_assert_eq(replay_figure("bytebufferpool", "second", "growths"), 0);
	cr_assert_float_eq(replay_figure("bytebufferpool", "second", "blocks"), 1 / 21002.0, 1e-9);
}

Test(replay_peers, buckets_keep_up_to_16_mib)
{
	record_sites(0);
	record_pair(16 << 20);
	record_pair((16 << 20) + 1);
	record_replay();
	replay_assert("buckets", "drops", 1);
	/* 1 KiB to 16 MiB, and 32 MiB, which come one by one. */
	replay_assert("buckets", "blocks", 16 / 2.0);
	replay_assert("buckets", "idle_peak", (32 << 20) - 1024);
}

Test(replay_peers, drops_what_was_idle_through_two_ticks)
{
	static const char *const pools[] = {
		"tierpool", "bytebufferpool", "cut_64k", "streak", "buckets"};

	for (int ticks = 1; ticks <= 3; ticks++) {
		record_sites(1);
		record_pair(8);
		record_get(0, 2, (unsigned)ticks * MS + 1, 0, 1024);
		record_put(0, 0, 8, 1024);
		record_replay();
		for (unsigned i = 0; i < sizeof pools / sizeof *pools; i++) {
			replay_assert(pools[i], "blocks", ticks < 2 ? 0.5 : 1);
			replay_assert(pools[i], "drops", ticks < 2 ? 0 : 1);
		}
		replay_run("--decay-ms never trace");
		replay_assert("tierpool", "drops", 0);
	}
}

/* Two blocks of 64 KiB or more: each of their pages is written for the first time once. */
Test(replay_peers, counts_a_page_fault_for_each_page_of_a_new_large_block)
{
	record_sites(0);
	record_get(0, 2, 0, 100000, 100000);
	record_put(0, 0, 5000, 100000);
	record_get(0, 2, 0, 100000, 100000);
	record_put(0, 0, 8193, 100000);
	record_replay();
	replay_assert("buckets", "ns", (12 + 200 + 3 * 250) / 2.0);
	replay_assert("malloc", "ns", (12 + 2 * 400 + (2 + 3) * 250) / 2.0);
}

/* Nothing is written to them. Of four blocks, 2 MiB each, the pool and malloc keep none. */
Test(replay_peers, counts_more_for_blocks_of_1_mib_and_more)
{
	record_sites(0);
	for (int i = 0; i < 4; i++) {
		record_get(0, 2, 0, 2 << 20, 2 << 20);
		record_put(0, 0, 0, 2 << 20);
	}
	record_replay();
	replay_assert("malloc", "ns", 6 + 4000 + 5500);
	replay_assert("tierpool", "ns", 6 + 4000 + 5500);
	replay_assert("buckets", "ns", 6 + 4000 / 4.0);
}
