/* SPDX-License-Identifier: MIT */
/*
 * The profile for people, word by word. When a sentence is due: test_hints.c.
 */
#include "profile_fixture.h"

#include <stdlib.h>
#include <string.h>

#include <tierpool/version.h>

static struct tp_snapshot_site sites[] = {
	{.pool = "web",
		.file = "src/parse.c",
		.line = 40,
		.label = "parse_header",
		.samples = 812,
		.gets = {91000, 1e6},
		.misses = {36400, 4e6},
		.served = {[TP_SERVED_CPU] = 54600, [TP_SERVED_NEW] = 36400},
		.growths = {9000, 1e5},
		.regrown = {9e6, 1e12},
		.waste = {1e7, 1},
		.used = {200, 300, 400, 512},
		.held = {2000, 5000, 8e10, 9e10},
		.out = {33, 3},
		.out_long = 31,
		.oldest_ns = 7200000000000},
	{.pool = "web",
		.file = "src/log.c",
		.line = 88,
		.label = "log_line",
		.samples = 4123,
		.gets = {1.234e6, 4e8},
		.misses = {12345, 1e6},
		.waste = {7.8e10, 1e18},
		.asked = {65536, 65536, 65536, 65536},
		.used = {1800, 2048, 2100, 40000},
		.held = {430, 4100, 910000, 2e9},
		.out = {3, 6},
		.oldest_ns = 3200000},
	{.pool = "de\nfault",
		.file = "",
		.label = "",
		.samples = 2,
		.gets = {2, 2},
		.out = {2, 2},
		.oldest_ns = 1000000000},
};

#define COLUMNS                                                                               \
	"                            used                                held\n"              \
	" cost   gets     +-  miss    p50   p95   max  wasted regrown     p50    p99    out " \
	"oldest  "                                                                            \
	"site\n"
#define UNITS "Bytes: K is 1,024. Counts: k is 1,000. cost: of the time that all sites cost.\n\n"

static char *text;

static const char *written(const struct tp_snapshot *snapshot)
{
	free(text);
	text = profile_written(tp_profile_write_text, snapshot, NULL);
	return text;
}

#define snapshot_of(...) \
	(&(struct tp_snapshot){.site = sites, .sites = sizeof sites / sizeof *sites, __VA_ARGS__})

Test(profile_text, sites_stand_by_what_they_cost_with_a_sentence_where_one_is_due)
{
	cr_assert_str_eq(written(snapshot_of(.samples = 4937, .ns = 61200000000)),
		"tierpool " TIERPOOL_VERSION ", profile of 61.2s: 4937 gets sampled\n"
		"Sums are estimates, out too (TIERPOOL_DEBUG=leaks: exact); +- is two standard "
		"errors.\n" UNITS COLUMNS
		"97.4%  1.23M  40000    1%  1.76K    2K 39.1K   72.6G       0   430ns  910us      "
		"3  3.2ms  src/log.c:88 log_line of web\n"
		"      log.c:88 asks for 64 KiB and uses 2 KiB: ask for less, or let it learn\n"
		"2.59%  91000   2000   40%    200   300   512   9.54M   8.58M     2us    80s     "
		"33     2h  src/parse.c:40 parse_header of web\n"
		"      parse.c:40 misses 40% of its gets: a larger bound, see the advisor\n"
		"      parse.c:40 holds about 31 buffers for more than a minute, one for 2h\n"
		"   0%      2      3    0%      -     -     -       0       0       -      -      "
		"2     1s  (calls without a site) of de?fault\n");
}

Test(profile_text, if_each_get_was_recorded_it_says_exact)
{
	written(snapshot_of(.samples = 1325002, .ns = 1000000000, .complete = true));
	cr_assert_not_null(strstr(text, ", profile of 1s: each of 1.33M gets recorded\n"
					"Sums are exact, out too.\n"));
	cr_assert_not_null(strstr(text, "  1.23M  exact  "));
	cr_assert_not_null(strstr(text, "parse.c:40 holds 31 buffers"));
	cr_assert_null(strstr(text, "estimate"));
}

Test(profile_text, if_samples_are_missing_nothing_is_exact)
{
	written(snapshot_of(.complete = true, .dropped = 3));
	cr_assert_not_null(strstr(text, "3 more are missing: there was no memory for them\n"));
	cr_assert_not_null(strstr(text, "Sums are estimates"));
	cr_assert_null(strstr(text, " exact "));
	cr_assert_not_null(strstr(text, "holds about 31"));
}

Test(profile_text, it_says_how_many_sites_have_dear_stacks)
{
	struct tp_snapshot_site two[] = {sites[0], sites[1]};
	struct tp_snapshot_stack none[] = {{.site = 0}};

	two[1].unwinds = true;
	written(&SNAPSHOT(two, none));
	cr_assert_not_null(strstr(text, "\nStacks of 1 of 2 sites come from the unwinder"));
	two[1].unwinds = false;
	cr_assert_null(strstr(written(&SNAPSHOT(two, none)), "unwinder"));
}

Test(profile_text, without_samples_there_is_a_head)
{
	cr_assert_str_eq(written(&(struct tp_snapshot){.ns = 1000}),
		"tierpool " TIERPOOL_VERSION ", profile of 1us: 0 gets sampled\n"
		"Sums are estimates, out too (TIERPOOL_DEBUG=leaks: exact); +- is two standard "
		"errors.\n" UNITS COLUMNS);
}

/* ---- what the advisor says ---- */

#define ADVICE_HEAD                                                                      \
	"\nHow many gets other bounds on idle bytes (retain) would serve without a new " \
	"block: estimates, with\nthe interval in which the truth nearly always is.\n\npool "

/* Of 16 bounds from 64 KiB on, each double; the rest serves what the last one of these does. */
static struct tp_snapshot_advice advice_of(const double *shares, unsigned n)
{
	struct tp_snapshot_advice a = {.pool = "web", .gets = 1000, .windows = 9, .least = 1024};

	for (unsigned k = 0; k + 1 < TP_SNAPSHOT_BOUNDS; k++) {
		double share = shares[k < n ? k : n - 1];

		a.curve[k] = (struct tp_advised){
			(size_t)65536 << k, share, share - 0.01, share < 0.99 ? share + 0.01 : 1};
	}
	return a;
}

/* From the advice on. */
static const char *advised(struct tp_snapshot_advice *a)
{
	const char *from =
		strstr(written(&(struct tp_snapshot){.ns = 1000, .advice = a, .advices = 1}),
			"\nHow many");

	cr_assert_not_null(from);
	return from;
}

static const double rising[] = {0.5, 0.7, 0.98, 1};

Test(profile_text, of_a_pool_it_says_which_bound_is_enough_and_the_curve)
{
	struct tp_snapshot_advice a = advice_of(rising, 4);

	a.enough_known = true;
	a.enough = 393216;
	a.now = (struct tp_advised){64 << 20, 1, 0.99, 1};
	cr_assert_str_eq(advised(&a),
		ADVICE_HEAD "web: 384 KiB would serve 99% of gets without a new block (98% to "
			    "99.5%); its bound "
			    "of 64 MiB serves 100% (99% to 100%), and could be lower\n"
			    "   bound  served  interval\n"
			    "     64K     50%     49% to    51%\n"
			    "    128K     70%     69% to    71%\n"
			    "    256K     98%     97% to    99%\n"
			    "    512K    100%     99% to   100%\n"
			    "     64M    100%     99% to   100%  its bound\n");
}

Test(profile_text, its_bound_stands_among_the_others)
{
	struct tp_snapshot_advice a = advice_of(rising, 4);

	a.enough_known = true;
	a.enough = 393216;
	a.now = (struct tp_advised){131072, 0.7, 0.69, 0.71};
	cr_assert_not_null(strstr(advised(&a), "serves 70% (69% to 71%), and could be higher\n"));
	cr_assert_not_null(strstr(text, "     64K     50%     49% to    51%\n"
					"    128K     70%     69% to    71%  its bound\n"
					"    256K     98%"));
	a.now = (struct tp_advised){400000, 0.99, 0.98, 1};
	cr_assert_not_null(strstr(advised(&a), "391 KiB serves 99% (98% to 100%), and fits\n"));
	a.now = (struct tp_advised){1, 0, 0, 0.01};
	cr_assert_not_null(strstr(advised(&a), "(98% to 99.5%); it keeps nothing\n"));
	cr_assert_not_null(strstr(text, "       1      0%      0% to     1%  its bound\n     64K"));
	a.now = (struct tp_advised){(size_t)1 << 40, 1, 0.99, 1};
	cr_assert_not_null(strstr(advised(&a), "    512K    100%     99% to   100%\n"
					       "      1T    100%     99% to   100%  its bound\n"));
}

Test(profile_text, if_no_bound_is_enough_it_says_which_does_as_much_as_any)
{
	const double low[] = {0.5, 0.9};
	struct tp_snapshot_advice a = advice_of(low, 2);

	a.enough = 131072;
	a.now = (struct tp_advised){131072, 0.9, 0.89, 0.91};
	cr_assert_not_null(
		strstr(advised(&a), "no bound serves 99% of gets; 128 KiB would serve 90% (89% to "
				    "91%), as many as any; "
				    "its bound of 128 KiB serves 90% (89% to 91%), and fits\n"));
	a.enough = 65536;
	cr_assert_not_null(strstr(advised(&a), "at most 64 KiB would serve"));
}

Test(profile_text, what_too_few_windows_say_is_not_known)
{
	struct tp_snapshot_advice two[2] = {advice_of(rising, 4), advice_of(rising, 4)};

	two[0].windows = 2;
	two[0].pool = "two\nlines";
	two[1].enough_known = true;
	two[1].enough = 65536;
	written(&(struct tp_snapshot){.advice = two, .advices = 2});
	cr_assert_not_null(strstr(text, "\npool two?lines: not known yet: 2 of 3 windows "
					"seen\n\npool web: at most 64 KiB"));
}

Test(profile_text, columns_stand_under_their_heads_whatever_the_numbers)
{
	struct tp_snapshot_site wide[] = {{.pool = "p",
		.file = "a.c",
		.label = "",
		.gets = {1.234e14, 1e27},
		.misses = {1.111e13, 1},
		.waste = {9.876e14, 1},
		.regrown = {9.876e14, 1},
		.used = {1e15, 1e15, 1e15, 1e15},
		.held = {9.99e16, 9.99e16, 9.99e16, 9.99e16},
		.out = {98765, 1},
		.oldest_ns = 99999999999999999}};
	struct tp_snapshot_stack none[] = {{.site = 0}};
	const char *head, *line;

	head = strstr(written(&SNAPSHOT(wide, none)), " cost ");
	line = strchr(head, '\n') + 1;
	cr_assert_eq(strstr(line, "a.c:0") - line, strstr(head, "site") - head, "%s", text);
}

Test(profile_text, errors_are_reported)
{
	profile_reports_errors(tp_profile_write_text, snapshot_of(.samples = 1));
}
