/* SPDX-License-Identifier: MIT */
/*
 * The profile for people: a line a site, the dearest first, and under it a sentence where one is
 * due.
 *
 *   cost       of all time that the pools and their memory cost, the part of this site (hints.h)
 *   gets, +-   how many, and two standard errors of that: 19 of 20 such intervals have the truth
 *   miss       gets that took a new block
 *   used       the largest len of a buffer that was put: of half of them at most this, of 19 of
 *              20, of all
 *   wasted     capacity that was lent and not used, of all that was put
 *   regrown    bytes that growth copied
 *   held       from get to put: half of them at most this, 99 of 100
 *   out        buffers that are borrowed now; oldest: since when the first of them is
 */
#include "profile/write.h"

#include <errno.h>
#include <stdlib.h>

#include <tierpool/version.h>

#include "profile/figures.h"
#include "profile/hints.h"

/* Else gets are missing in the sums, whatever was recorded. */
static bool text_is_exact(const struct tp_snapshot *s)
{
	return s->complete && !s->dropped;
}

static void text_write_head(FILE *out, const struct tp_snapshot *s)
{
	struct tp_figure time = tp_figure_time((double)s->ns);
	struct tp_figure samples = tp_figure_count((double)s->samples);

	if (s->complete)
		fprintf(out, "tierpool %s, profile of %s: each of %s gets recorded\n",
			TIERPOOL_VERSION, time.text, samples.text);
	else
		fprintf(out, "tierpool %s, profile of %s: %s gets sampled\n", TIERPOOL_VERSION,
			time.text, samples.text);
	if (s->dropped)
		fprintf(out, "%s more are missing: there was no memory for them\n",
			tp_figure_count((double)s->dropped).text);
	if (text_is_exact(s))
		fputs("Sums are exact, out too.\n", out);
	else
		fputs("Sums are estimates, out too (TIERPOOL_DEBUG=leaks: exact); "
		      "+- is two standard errors.\n",
			out);
	fputs("Bytes: K is 1,024. Counts: k is 1,000. cost: of the time that all sites cost.\n\n",
		out);
	fprintf(out, "%25s  %5s %5s %5s  %6s %7s  %6s\n", "", "used", "", "", "", "", "held");
	fprintf(out, "%5s %6s %6s %5s  %5s %5s %5s  %6s %7s  %6s %6s  %5s %6s  site\n", "cost",
		"gets", "+-", "miss", "p50", "p95", "max", "wasted", "regrown", "p50", "p99", "out",
		"oldest");
}

static void text_write_site(FILE *out, const struct tp_snapshot *snapshot,
	const struct tp_snapshot_site *s, double cost)
{
	bool put = s->gets.sum > s->out.sum; /* some were, so there are distributions */
	struct tp_figure none = {"-"};
	char place[1024];

	fprintf(out, "%5s %6s %6s %5s", tp_figure_percent(cost, 1).text,
		tp_figure_count(s->gets.sum).text,
		text_is_exact(snapshot)
			? "exact"
			: tp_figure_count(2 * tp_figure_root(s->gets.variance)).text,
		tp_figure_percent(s->misses.sum, s->gets.sum).text);
	fprintf(out, "  %5s %5s %5s", (put ? tp_figure_bytes(s->used.p50) : none).text,
		(put ? tp_figure_bytes(s->used.p95) : none).text,
		(put ? tp_figure_bytes(s->used.max) : none).text);
	fprintf(out, "  %6s %7s", tp_figure_bytes(s->waste.sum).text,
		tp_figure_bytes(s->regrown.sum).text);
	fprintf(out, "  %6s %6s", (put ? tp_figure_time(s->held.p50) : none).text,
		(put ? tp_figure_time(s->held.p99) : none).text);
	fprintf(out, "  %5s %6s  ", tp_figure_count(s->out.sum).text,
		(s->oldest_ns ? tp_figure_time((double)s->oldest_ns) : none).text);
	tp_profile_place(place, sizeof place, s, true);
	tp_profile_write_line(out, place);
	fputs(" of ", out);
	tp_profile_write_line(out, s->pool);
	fputc('\n', out);
}

static void text_write_hints(
	FILE *out, const struct tp_snapshot *snapshot, const struct tp_snapshot_site *site)
{
	struct tp_hints hints;

	tp_hints_find(&hints, site, text_is_exact(snapshot));
	for (unsigned i = 0; i < hints.count; i++)
		fprintf(out, "      %s\n", hints.text[i]);
}

/* Why samples take longer than they need to. */
static void text_write_foot(FILE *out, const struct tp_snapshot *snapshot)
{
	size_t unwinds = 0;

	for (size_t i = 0; i < snapshot->sites; i++)
		unwinds += snapshot->site[i].unwinds;
	if (unwinds)
		fprintf(out,
			"\nStacks of %zu of %zu sites come from the unwinder, which takes a "
			"hundred times "
			"as long:\ncompile with -fno-omit-frame-pointer.\n",
			unwinds, snapshot->sites);
}

int tp_profile_write_text(FILE *out, const struct tp_snapshot *snapshot)
{
	struct tp_hints_rank *rank = tp_hints_order(snapshot);
	double sum = 0;

	if (!rank)
		return -ENOMEM;
	text_write_head(out, snapshot);
	for (size_t i = 0; i < snapshot->sites; i++)
		sum += rank[i].cost;
	for (size_t i = 0; i < snapshot->sites; i++) {
		const struct tp_snapshot_site *site = &snapshot->site[rank[i].site];

		text_write_site(out, snapshot, site, sum > 0 ? rank[i].cost / sum : 0);
		text_write_hints(out, snapshot, site);
	}
	text_write_foot(out, snapshot);
	tp_profile_write_advice(out, snapshot);
	free(rank);
	return ferror(out) ? -EIO : 0;
}
