/* SPDX-License-Identifier: MIT */
/*
 * Prints a report: report.h.
 */
#include "report.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

#define KIB 1024.0

/* ---- the head ---- */

void report_text(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || strchr("\",\177", *text) ? '?' : *text);
}

static void bytes_print(size_t bytes)
{
	static const char units[] = "KMG";
	unsigned unit = 0;

	for (; bytes && bytes % 1024 == 0 && units[unit]; unit++)
		bytes /= 1024;
	printf("%zu", bytes);
	if (unit)
		putchar(units[unit - 1]);
}

/* Prints an option as the command line takes it. word: what the command line has for this value. */
static void option_print(const char *name, size_t value, bool bytes, const char *word, size_t meant)
{
	printf("; %s ", name);
	if (value == meant)
		fputs(word, stdout);
	else if (!value)
		fputs("by default", stdout);
	else if (bytes)
		bytes_print(value);
	else
		printf("%zu", value);
}

static void tiers_print(const struct traced_pool *p)
{
	if (p->tier_count) {
		printf("; %zu tiers, ", p->tier_count);
		bytes_print(p->tiers[0]);
		fputs(" to ", stdout);
		bytes_print(p->tiers[p->tier_count - 1]);
		return;
	}
	option_print("min_size", p->min_size, true, "by default", 0);
	option_print("max_size", p->max_size, true, "by default", 0);
	option_print("steps", p->steps, false, "by default", 0);
}

static void pool_print(const struct traced_pool *p)
{
	fputs("pool ", stdout);
	report_text(p->name);
	tiers_print(p);
	option_print("retain", p->retain, true, "none", TIERPOOL_RETAIN_NONE);
	option_print("max_idle", p->max_idle, false, "none", 0);
	option_print("decay_ms", p->decay_ms, false, "never", 0);
	option_print("calibrate_every", p->calibrate_every, false, "off", TIERPOOL_CALIBRATE_OFF);
	putchar('\n');
}

static void count_print(const char *before, size_t count, const char *what)
{
	printf("%s%zu %s%s", before, count, what, count == 1 ? "" : "s");
}

void report_title(const char *what, size_t records, const struct trace *t, bool one_site)
{
	uint64_t ns = t->event_count ? t->events[t->event_count - 1].at.ns : 0;
	size_t pools = 0;

	for (size_t i = 0; i < t->pool_count; i++)
		pools += t->pools[i].gets > 0;

	printf("replay_trace: %s; tierpool %s\n", what, tierpool_version());
	if (records)
		printf("%zu records: ", records);
	count_print("", t->borrow_count, "get");
	count_print(" at ", t->site_count, "site");
	count_print(one_site ? ", taken for one, of " : " of ", pools, "pool");
	printf(", in %.3f s\n", (double)ns / 1e9);
	for (size_t i = 0; i < t->pool_count; i++)
		if (t->pools[i].gets)
			pool_print(&t->pools[i]);
}

/* ---- contenders ---- */

static double per(double sum, uint64_t count)
{
	return count ? sum / (double)count : 0;
}

static double waste(const struct figures *f)
{
	return f->cap_sum > 0 ? 1 - f->len_sum / f->cap_sum : 0;
}

static void contenders_head_print(const char *which, const struct figures *f)
{
	printf("\n%s: %" PRIu64 " gets, at most %.1f KiB in use\n", which, f->gets,
		(double)f->in_use_peak / KIB);
	printf("  %-14s %11s %17s %10s %12s %7s %13s %10s %8s %10s\n", "", "growths/get",
		"growths/grown get", "blocks/get", "copied B/get", "waste %", "idle peak KiB",
		"ns/get", "drops", "calibrated");
}

static void contender_print(const char *name, const struct figures *f)
{
	printf("  %-14s %11.4f %17.2f %10.5f %12.1f %7.1f %13.1f %10.1f %8" PRIu64 " %10" PRIu64
	       "\n",
		name, per((double)f->growths, f->gets), per((double)f->growths, f->grown),
		per((double)f->blocks, f->gets), per((double)f->copied, f->gets), 100 * waste(f),
		(double)f->idle_peak / KIB, per(f->ns, f->gets), f->drops, f->calibrations);
}

static void contender_csv(const char *name, const char *part, const struct figures *f)
{
	printf("%s,%s,%" PRIu64 ",%.9g,%.9g,%.9g,%.9g,%.9g,%zu,%zu,%.9g,%" PRIu64 ",%" PRIu64 "\n",
		name, part, f->gets, per((double)f->growths, f->gets),
		per((double)f->growths, f->grown), per((double)f->blocks, f->gets),
		per((double)f->copied, f->gets), waste(f), f->idle_peak, f->in_use_peak,
		per(f->ns, f->gets), f->drops, f->calibrations);
}

static void contenders_csv(const struct result *results, size_t count)
{
	puts("contender,part,gets,growths,growths_if_grown,blocks,copied,waste,idle_peak,"
	     "in_use_peak,ns,drops,calibrations");
	for (size_t i = 0; i < count; i++) {
		struct figures all = figures_add(&results[i].halves[0], &results[i].halves[1]);

		contender_csv(results[i].name, "all", &all);
		contender_csv(results[i].name, "second", &results[i].halves[1]);
	}
}

static void contenders_print(const struct result *results, size_t count)
{
	struct figures all = figures_add(&results[0].halves[0], &results[0].halves[1]);

	contenders_head_print("All", &all);
	for (size_t i = 0; i < count; i++) {
		all = figures_add(&results[i].halves[0], &results[i].halves[1]);
		contender_print(results[i].name, &all);
	}
	contenders_head_print("The second half", &results[0].halves[1]);
	for (size_t i = 0; i < count; i++)
		contender_print(results[i].name, &results[i].halves[1]);
}

/* ---- sites of the pool ---- */

static void site_name_print(const struct trace *t, const struct traced_site *site)
{
	report_text(t->pools[site->pool].name);
	if (site->number == SITE_OWN) {
		printf(" (calls without a site)");
		return;
	}
	putchar(' ');
	report_text(site->file);
	printf(":%u ", site->line);
	report_text(site->label);
}

static void site_defaults_print(const struct site_figures *s)
{
	for (size_t i = 0; i < site_defaults_kept(s); i++)
		printf("%s%zu@%" PRIu64, i ? " " : "", s->defaults[i].size, s->defaults[i].get);
}

static void sites_csv(const struct trace *t, const struct site_figures *sites)
{
	puts("\nsite,gets,default,changes,growths,first_default,first_growths,defaults");
	for (size_t i = 0; i < t->site_count; i++) {
		const struct site_figures *s = &sites[i];

		site_name_print(t, &t->sites[i]);
		printf(",%" PRIu64 ",%zu,%" PRIu64 ",%.9g,%zu,%" PRIu64 ",", s->gets,
			s->default_size, s->changes, per((double)s->growths, s->gets),
			s->first_default, s->first_growths);
		site_defaults_print(s);
		putchar('\n');
	}
}

/* Names of a bad trace could have what a terminal takes for a command. */
static void lines_print(const char *text)
{
	for (; *text; text++)
		putchar(*text != '\n' && iscntrl((unsigned char)*text) ? '?' : *text);
}

static void site_print(const struct trace *t, size_t site, const struct sites_seen *seen)
{
	const struct site_figures *s = &seen->figures[site];

	printf("  %10" PRIu64 " %11.4f   ", s->gets, per((double)s->growths, s->gets));
	if (seen->first && s->first_default)
		printf("%zu, %" PRIu64 "   ", s->first_default, s->first_growths);
	else if (seen->first)
		printf("-   ");
	site_name_print(t, &t->sites[site]);
	printf(s->lent ? ": " : ": -");
	site_defaults_print(s);
	putchar('\n');
}

static void sites_print(const struct trace *t, const struct sites_seen *seen)
{
	puts("\nWhat the pools say at the end; gets and growths are estimates");
	lines_print(seen->printed);
	printf("\nWhat was seen of sites: the first %d sizes that gets without a size were lent,\n"
	       "each with the get from which on it was; -: there was no such get\n",
		DEFAULTS_MOST);
	if (seen->first)
		printf("  %10s %11s   after %" PRIu64 " gets: default, and growths until then\n",
			"gets", "growths/get", seen->first);
	else
		printf("  %10s %11s\n", "gets", "growths/get");
	for (size_t i = 0; i < t->site_count; i++)
		site_print(t, i, seen);
}

void report_print(const struct trace *t, const struct result *results, size_t count,
	const struct sites_seen *seen, bool csv)
{
	if (csv) {
		contenders_csv(results, count);
		sites_csv(t, seen->figures);
		return;
	}
	contenders_print(results, count);
	sites_print(t, seen);
}
