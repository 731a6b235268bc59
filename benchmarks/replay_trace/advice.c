/* SPDX-License-Identifier: MIT */
/*
 * Prints advice: advice.h.
 */
#include "advice.h"

#include <stdio.h>
#include <tierpool.h>

#include "report.h"

/* A bound may stay as it is if it is less than this much above what is enough. */
#define LARGE_BY 1.25

#define PERCENT(share) (100 * (share))

/* In a unit that people read: two digits behind the point, below 10. */
static const char *advice_size(char text[32], size_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double size = (double)bytes;
	unsigned unit = 0;

	for (; size >= 1000 && unit < 4; unit++)
		size /= 1024;
	snprintf(text, 32, "%.*f %s",
		unit == 0 || size >= 100 ? 0
		: size < 10              ? 2
					 : 1,
		size, units[unit]);
	return text;
}

/* ---- the sentence ---- */

static void advice_sentence(FILE *out, const struct advice *a)
{
	double enough = (double)a->enough.retain, now = (double)a->now.retain;
	const char *most = a->enough.retain == a->curve[0].retain ? "at most " : "";
	char size[32];

	if (a->reached)
		fprintf(out, "%s%s would serve %.4g %% of gets without a new block; ", most,
			advice_size(size, a->enough.retain), PERCENT(a->enough.share));
	else
		fprintf(out,
			"no bound serves %.0f %% of gets; %s%s would serve %.4g %%, as many as "
			"any; ",
			PERCENT(ADVICE_TARGET), most, advice_size(size, a->enough.retain),
			PERCENT(a->enough.share));
	if (a->now.retain == TIERPOOL_RETAIN_NONE) {
		fputs("it keeps nothing", out);
		return;
	}
	fprintf(out, "its bound of %s serves %.2f %%", advice_size(size, a->now.retain),
		PERCENT(a->now.share));
	if (now < enough && a->now.share < a->enough.share)
		fputs(", and could be higher", out);
	else if (now > LARGE_BY * enough)
		fputs(", and could be lower", out);
	else
		fputs(", and fits", out);
}

/* ---- text ---- */

static void advice_row(const struct served *served, const char *mark)
{
	char size[32];

	printf("  %12s %10.2f %%%s\n", advice_size(size, served->retain), PERCENT(served->share),
		mark);
}

static void advice_text(const struct trace *t, const struct advice *a)
{
	bool shown = false;

	fputs("\npool ", stdout);
	report_text(t->pools[a->pool].name);
	printf(": %zu gets\n  %12s %12s\n", a->gets, "bound", "served");
	for (unsigned k = 0; k < ADVICE_BOUNDS; k++) {
		if (!shown && a->now.retain <= a->curve[k].retain) {
			advice_row(&a->now, "   its bound");
			shown = true;
		}
		if (a->now.retain != a->curve[k].retain)
			advice_row(&a->curve[k], "");
	}
	if (!shown)
		advice_row(&a->now, "   its bound");
	fputs("pool ", stdout);
	report_text(t->pools[a->pool].name);
	fputs(": ", stdout);
	advice_sentence(stdout, a);
	putchar('\n');
}

/* ---- CSV ---- */

static void advice_csv_row(const char *name, const char *what, const struct served *served)
{
	report_text(name);
	printf(",%s,%zu,%.9g\n", what, served->retain, served->share);
}

static void advice_csv(const struct trace *t, const struct advice *a)
{
	const char *name = t->pools[a->pool].name;

	puts("pool,what,retain,share");
	for (unsigned k = 0; k < ADVICE_BOUNDS; k++)
		advice_csv_row(name, "curve", &a->curve[k]);
	advice_csv_row(name, "now", &a->now);
	advice_csv_row(name, a->reached ? "enough" : "most", &a->enough);
}

/* ---- JSON ---- */

static void advice_json_served(const struct served *served)
{
	printf("{\"retain\": %zu, \"share\": %.9g}", served->retain, served->share);
}

static void advice_json(const struct trace *t, const struct advice *a)
{
	fputs("  {\"pool\": \"", stdout);
	/* Which leaves nothing that a string of JSON may not have, but for a backslash. */
	for (const char *c = t->pools[a->pool].name; *c; c++) {
		char one[2] = {*c, '\0'};

		if (*c == '\\')
			*one = '/';
		report_text(one);
	}
	printf("\", \"gets\": %zu,\n   \"curve\": [", a->gets);
	for (unsigned k = 0; k < ADVICE_BOUNDS; k++) {
		fputs(k ? ",\n    " : "\n    ", stdout);
		advice_json_served(&a->curve[k]);
	}
	fputs("],\n   \"now\": ", stdout);
	advice_json_served(&a->now);
	printf(",\n   \"target\": %.2f, \"enough\": ", ADVICE_TARGET);
	if (a->reached)
		printf("%zu", a->enough.retain);
	else
		fputs("null", stdout);
	fputs(",\n   \"advice\": \"", stdout);
	advice_sentence(stdout, a);
	fputs("\"}", stdout);
}

void advice_print(const struct trace *t, const struct advice *advices, enum advice_format format)
{
	static void (*const print[])(const struct trace *, const struct advice *) = {
		advice_text, advice_csv, advice_json};
	bool first = true;

	if (format == ADVICE_JSON)
		puts("{\"pools\": [");
	for (size_t i = 0; i < t->pool_count; i++) {
		if (!advices[i].gets)
			continue;
		/* gnuplot takes two empty lines for the end of a set. */
		if (format != ADVICE_TEXT && !first)
			puts(format == ADVICE_JSON ? "," : "\n");
		print[format](t, &advices[i]);
		first = false;
	}
	if (format == ADVICE_JSON)
		puts("\n]}");
}
