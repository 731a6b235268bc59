/* SPDX-License-Identifier: MIT */
#include "profile/hints.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/price.h"
#include "profile/figures.h"

/*
 * When a sentence is due.
 *
 *   SAMPLES    a 95th percentile of fewer is their maximum
 *   UNUSED     asks for four times what 19 of 20 use: tiers are at most twice the size of each other,
 *              so a smaller one serves for certain
 *   ASKED      below 1 KiB, the default, less is not worth a line
 *   MISSES     a miss takes some 300 ns more than a hit: at 10 % a get takes five times as long.
 *              Buffers that are out do not count: no bound would have had one for them
 *   GROWTHS    a growth takes 80 ns and more, a pair 8: at one in four gets, three times as long
 *   OVERSIZE   a block above the largest tier is always a miss, and a large one
 *   LONG       one buffer is enough: what is out for a minute is not what a pool is for
 *
 * Growths and misses count only as far as they are certain: less two standard errors. One sample may
 * weigh a thousand gets, above all of those that a site had before it learned its sizes.
 */
#define HINT_SAMPLES 20
#define HINT_UNUSED 4
#define HINT_ASKED 1024
#define HINT_MISSES 0.1
#define HINT_GROWTHS 0.25
#define HINT_OVERSIZE 0.01
#define HINT_LONG 0.5 /* of an estimate that is rounded */

/*
 * Prices, in nanoseconds. Of growths and of capacity they are those by which sites learn
 * (lib/DESIGN.md, "Sizes that learn"), as base/price.h has them. Of a
 * miss: what a block takes that comes from a run with room. A large one takes more, but is filled
 * too.
 */
#define PRICE_BYTE (1.0 / TP_PRICES_PER_NS)
#define PRICE_GROWTH (TP_PRICE_GROWTH * PRICE_BYTE)
#define PRICE_COPY (TP_PRICE_COPY * PRICE_BYTE)
#define PRICE_PAIR 8.0
#define PRICE_MISS 300.0

__attribute__((format(printf, 2, 3))) static void hints_add(
	struct tp_hints *hints, const char *format, ...)
{
	va_list arguments;

	if (hints->count == TP_HINTS_MOST)
		return;
	va_start(arguments, format);
	vsnprintf(hints->text[hints->count++], sizeof hints->text[0], format, arguments);
	va_end(arguments);
}

/* "log.c:88": the file without its folders. */
static void hints_place(char *to, size_t size, const struct tp_snapshot_site *site)
{
	const char *slash = strrchr(site->file, '/');
	char file[64];

	tp_figure_line(file, sizeof file, slash ? slash + 1 : site->file);
	if (!*site->file && !*site->label)
		snprintf(to, size, "code without a site");
	else
		snprintf(to, size, "%s:%u", file, site->line);
}

/* What a sum is at least, but for one case in forty. */
static double hints_certain(struct tp_estimate e)
{
	return e.sum - 2 * tp_figure_root(e.variance);
}

/* Most of its buffers came back, so that what is known of those holds for the site. */
static bool hints_is_known(const struct tp_snapshot_site *site)
{
	return site->samples >= HINT_SAMPLES && site->gets.sum > 0 &&
	       site->out.sum <= site->gets.sum / 2;
}

static void hints_on_size(
	struct tp_hints *hints, const struct tp_snapshot_site *site, const char *place)
{
	double asked = site->asked.p50, used = site->used.p95;
	double growths = site->gets.sum > 0 ? site->growths.sum / site->gets.sum : 0;
	bool grows = hints_certain(site->growths) >= HINT_GROWTHS * site->gets.sum;

	if (!hints_is_known(site))
		return;
	if (asked >= HINT_ASKED && asked >= HINT_UNUSED * used)
		hints_add(hints, "%s asks for %s and uses %s: ask for less, or let it learn", place,
			tp_figure_size(asked).text, tp_figure_size(used).text);
	else if (grows && growths >= 1 && asked < used)
		hints_add(hints, "%s grows a buffer %s times: ask for %s", place,
			tp_figure_ratio(growths).text, tp_figure_size(used).text);
	else if (grows && asked < used)
		hints_add(hints, "%s grows on %s of its gets: ask for %s", place,
			tp_figure_percent(growths, 1).text, tp_figure_size(used).text);
}

static void hints_on_misses(
	struct tp_hints *hints, const struct tp_snapshot_site *site, const char *place)
{
	double oversize = site->served[TP_SERVED_OVERSIZE];
	double doubt = site->misses.sum - hints_certain(site->misses);
	double misses = site->served[TP_SERVED_NEW] - site->out.sum - doubt;

	if (site->samples < HINT_SAMPLES || !(site->gets.sum > 0))
		return;
	if (misses >= HINT_MISSES * site->gets.sum)
		hints_add(hints, "%s misses %s of its gets: a larger bound, see the advisor", place,
			tp_figure_percent(site->served[TP_SERVED_NEW], site->gets.sum).text);
	if (oversize >= 0.75 * site->gets.sum)
		hints_add(hints, "%s borrows more than max_size: each put frees the buffer", place);
	else if (oversize >= HINT_OVERSIZE * site->gets.sum)
		hints_add(hints,
			"%s borrows one buffer in %s that is larger than max_size: its put frees "
			"it",
			place, tp_figure_count(site->gets.sum / oversize).text);
}

static void hints_on_time(
	struct tp_hints *hints, const struct tp_snapshot_site *site, const char *place, bool exact)
{
	int64_t count = tp_figure_round(site->out_long);

	if (site->out_long < HINT_LONG)
		return;
	hints_add(hints, "%s holds %s%s %s for more than a minute, one for %s", place,
		exact ? "" : "about ", tp_figure_count(site->out_long).text,
		count == 1 ? "buffer" : "buffers", tp_figure_time((double)site->oldest_ns).text);
}

void tp_hints_find(struct tp_hints *hints, const struct tp_snapshot_site *site, bool exact)
{
	char place[96];

	hints->count = 0;
	hints_place(place, sizeof place, site);
	hints_on_size(hints, site, place);
	hints_on_misses(hints, site, place);
	hints_on_time(hints, site, place, exact);
}

/* ---- cost ---- */

static double hints_cost(const struct tp_snapshot_site *s)
{
	return s->gets.sum * PRICE_PAIR + s->misses.sum * PRICE_MISS +
	       s->growths.sum * PRICE_GROWTH + s->regrown.sum * PRICE_COPY +
	       s->waste.sum * PRICE_BYTE;
}

/* Sites of one cost stay as they came. */
static int hints_compare(const void *a, const void *b)
{
	const struct tp_hints_rank *left = a, *right = b;

	if (left->cost != right->cost)
		return left->cost > right->cost ? -1 : 1;
	return left->site < right->site ? -1 : left->site > right->site;
}

struct tp_hints_rank *tp_hints_order(const struct tp_snapshot *snapshot)
{
	size_t n = snapshot->sites;
	struct tp_hints_rank *rank = calloc(n ? n : 1, sizeof *rank);

	for (size_t i = 0; rank && i < n; i++)
		rank[i] = (struct tp_hints_rank){hints_cost(&snapshot->site[i]), i};
	if (rank)
		qsort(rank, n, sizeof *rank, hints_compare);
	return rank;
}
