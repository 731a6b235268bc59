/* SPDX-License-Identifier: MIT */
/*
 * A sentence is due at its threshold and not before it, and says what to change. The site that
 * costs most comes first.
 */
#include "profile/hints.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A site of a thousand gets. */
#define site_of(...) \
	((struct tp_snapshot_site){.pool = "p", .label = "f", .gets = {1000, 0}, __VA_ARGS__})
#define log_site(...) site_of(.file = "src/log.c", .line = 88, __VA_ARGS__)

static struct tp_hints hints;

static void says(const struct tp_snapshot_site *site, const char *sentence)
{
	tp_hints_find(&hints, site, false);
	if (!sentence) {
		cr_assert_eq(hints.count, 0, "%s", hints.text[0]);
		return;
	}
	cr_assert_eq(hints.count, 1);
	cr_assert_str_eq(hints.text[0], sentence);
}

#define SAYS(sentence, ...) says(&log_site(.samples = 100, __VA_ARGS__), sentence)
#define SAYS_OF(sampled, sentence, ...) says(&log_site(.samples = (sampled), __VA_ARGS__), sentence)

Test(hints, nothing_is_said_of_a_site_that_works)
{
	SAYS(NULL, .asked.p50 = 4096, .used.p95 = 2048, .misses = {10, 0},
		.served[TP_SERVED_NEW] = 10, .growths = {200, 0});
}

Test(hints, a_site_that_asks_for_four_times_what_it_uses_should_ask_for_less)
{
	SAYS("log.c:88 asks for 64 KiB and uses 2 KiB: ask for less, or let it learn",
		.asked.p50 = 65536, .used.p95 = 2048);
	SAYS("log.c:88 asks for 4 KiB and uses 1 KiB: ask for less, or let it learn",
		.asked.p50 = 4096, .used.p95 = 1024);
	SAYS(NULL, .asked.p50 = 4096, .used.p95 = 1025);
	SAYS(NULL, .asked.p50 = 1023, .used.p95 = 10);
	SAYS(NULL, .used.p95 = 10);
}

Test(hints, no_size_is_judged_by_few_samples_or_before_buffers_came_back)
{
	SAYS_OF(19, NULL, .asked.p50 = 65536, .used.p95 = 2048);
	SAYS_OF(20, "log.c:88 asks for 64 KiB and uses 2 KiB: ask for less, or let it learn",
		.asked.p50 = 65536, .used.p95 = 2048);
	SAYS(NULL, .asked.p50 = 65536, .out = {501, 0});
}

Test(hints, a_site_that_grows_should_ask_for_what_it_uses)
{
	SAYS("log.c:88 grows on 60% of its gets: ask for 68.4 KiB", .growths = {600, 0},
		.used.p95 = 70000);
	SAYS("log.c:88 grows a buffer 2.5 times: ask for 68.4 KiB", .growths = {2500, 0},
		.used.p95 = 70000);
	SAYS("log.c:88 grows on 25% of its gets: ask for 2 KiB", .growths = {250, 0},
		.used.p95 = 2048, .asked.p50 = 1024);
	SAYS(NULL, .growths = {249, 0}, .used.p95 = 70000);
	SAYS(NULL, .growths = {600, 0}, .used.p95 = 2000, .asked.p50 = 2000);
}

Test(hints, misses_ask_for_a_larger_bound_but_not_those_of_buffers_that_are_out)
{
	SAYS("log.c:88 misses 40% of its gets: a larger bound, see the advisor",
		.served[TP_SERVED_NEW] = 400);
	SAYS("log.c:88 misses 10% of its gets: a larger bound, see the advisor",
		.served[TP_SERVED_NEW] = 100);
	SAYS(NULL, .served[TP_SERVED_NEW] = 99);
	SAYS(NULL, .served[TP_SERVED_NEW] = 400, .out = {350, 0});
	SAYS_OF(19, NULL, .served[TP_SERVED_NEW] = 400);
}

/* As when one sample of a hundred, of great weight, has grown or missed. */
Test(hints, nothing_is_said_of_growths_and_misses_that_may_be_chance)
{
	SAYS(NULL, .growths = {600, 600 * 600}, .used.p95 = 70000);
	SAYS(NULL, .growths = {2500, 1200 * 1200}, .used.p95 = 70000);
	SAYS("log.c:88 grows on 60% of its gets: ask for 68.4 KiB", .growths = {600, 175 * 175},
		.used.p95 = 70000);
	SAYS(NULL, .served[TP_SERVED_NEW] = 400, .misses = {400, 160 * 160});
	SAYS("log.c:88 misses 40% of its gets: a larger bound, see the advisor",
		.served[TP_SERVED_NEW] = 400, .misses = {400, 150 * 150});
}

Test(hints, a_site_above_max_size_is_told_how_often)
{
	SAYS("log.c:88 borrows one buffer in 25 that is larger than max_size: its put frees it",
		.served[TP_SERVED_OVERSIZE] = 40);
	SAYS("log.c:88 borrows more than max_size: each put frees the buffer",
		.served[TP_SERVED_OVERSIZE] = 1000);
	SAYS(NULL, .served[TP_SERVED_OVERSIZE] = 9);
}

Test(hints, one_buffer_that_is_out_for_a_minute_is_enough)
{
	struct tp_snapshot_site site = log_site(.out_long = 31, .oldest_ns = 7200000000000);

	SAYS("log.c:88 holds about 31 buffers for more than a minute, one for 2h", .out_long = 31,
		.oldest_ns = 7200000000000);
	SAYS_OF(1, "log.c:88 holds about 1 buffer for more than a minute, one for 90s",
		.out_long = 1, .oldest_ns = 90000000000);
	SAYS(NULL, .out_long = 0.4, .oldest_ns = 90000000000);
	tp_hints_find(&hints, &site, true);
	cr_assert_str_eq(hints.text[0],
		"log.c:88 holds 31 buffers for more than a minute, one for 2h", "exact");
}

Test(hints, several_sentences_are_due_at_once)
{
	struct tp_snapshot_site site = log_site(.samples = 100, .asked.p50 = 65536, .used.p95 = 10,
		.served = {[TP_SERVED_NEW] = 400, [TP_SERVED_OVERSIZE] = 40}, .out_long = 3);

	tp_hints_find(&hints, &site, false);
	cr_assert_eq(hints.count, TP_HINTS_MOST);
}

Test(hints, a_hostile_or_long_name_stays_one_line)
{
	char path[5000];
	struct tp_snapshot_site site = site_of(.line = 88, .out_long = 1);

	memset(path, 'x', sizeof path);
	path[sizeof path - 1] = '\0';
	site.file = path;
	tp_hints_find(&hints, &site, false);
	cr_assert_not_null(strstr(hints.text[0], "x:88 holds about 1 buffer"));
	site.file = "a\nb\x1b.c";
	tp_hints_find(&hints, &site, false);
	cr_assert_not_null(strstr(hints.text[0], "a?b?.c:88 holds"));
	site.file = site.label = "";
	tp_hints_find(&hints, &site, false);
	cr_assert_not_null(strstr(hints.text[0], "code without a site holds"));
}

/* ---- order ---- */

Test(hints, sites_come_by_what_they_cost_not_by_their_gets)
{
	struct tp_snapshot_site site[] = {
		site_of(.line = 0),                          /* 8 us */
		site_of(.line = 1, .misses = {100, 0}),      /* 38 us */
		site_of(.line = 2, .growths = {300, 0}),     /* 32 us */
		site_of(.line = 3, .regrown = {1000000, 0}), /* 108 us */
		site_of(.line = 4, .waste = {1600000, 0}),   /* 18 us */
		site_of(.line = 5),                          /* 8 us */
	};
	struct tp_snapshot snapshot = {.site = site, .sites = 6};
	struct tp_hints_rank *rank = tp_hints_order(&snapshot);
	const size_t expected[] = {3, 1, 2, 4, 0, 5};

	cr_assert_not_null(rank);
	for (unsigned i = 0; i < 6; i++)
		cr_assert_eq(rank[i].site, expected[i], "%u", i);
	cr_assert_float_eq(rank[0].cost, 108000, 1);
	free(rank);
}
