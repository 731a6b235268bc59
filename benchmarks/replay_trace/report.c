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

static void size_print(const char *name, size_t size)
{
	if (size)
		printf("; %s %zu", name, size);
	else
		printf("; %s by default", name);
}

static void pool_print(const struct traced_pool *p)
{
	printf("pool %s", p->name);
	if (p->tier_count) {
		printf("; %zu tiers, %zu to %zu", p->tier_count, p->tiers[0],
			p->tiers[p->tier_count - 1]);
	} else {
		size_print("min_size", p->min_size);
		size_print("max_size", p->max_size);
		size_print("steps", p->steps);
	}
	size_print("retain", p->retain);
	if (p->max_idle)
		printf("; max_idle %zu", p->max_idle);
	if (p->decay_ms)
		printf("; decay %u ms", p->decay_ms);
	else
		printf("; no decay");
	size_print("calibrate_every", p->calibrate_every);
	putchar('\n');
}

static void count_print(const char *before, size_t count, const char *what)
{
	printf("%s%zu %s%s", before, count, what, count == 1 ? "" : "s");
}

void report_title(const char *what, size_t records, const struct trace *t, bool one_site)
{
	uint64_t ns = t->event_count ? t->events[t->event_count - 1].ns : 0;

	printf("replay_trace: %s; tierpool %s\n", what, tierpool_version());
	if (records)
		printf("%zu records: ", records);
	count_print("", t->borrow_count, "get");
	count_print(" at ", t->site_count, "site");
	count_print(one_site ? ", taken for one, of " : " of ", t->pool_count, "pool");
	printf(", in %.3f s\n", (double)ns / 1e9);
	for (size_t i = 0; i < t->pool_count; i++)
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
	printf("  %-14s %9s %9s %9s %10s %6s %10s %10s %8s %7s\n", "", "growths", "the same,",
		"blocks", "copied", "waste", "idle peak", "time", "drops", "cali-");
	printf("  %-14s %9s %9s %9s %10s %6s %10s %10s %8s %7s\n", "", "a get", "if grown", "a get",
		"B a get", "%", "KiB", "ns a get", "", "brated");
}

static void contender_print(const char *name, const struct figures *f)
{
	printf("  %-14s %9.4f %9.2f %9.5f %10.1f %6.1f %10.1f %10.1f %8" PRIu64 " %7" PRIu64 "\n",
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

/* What a terminal or a table could take for something else is '?'. */
static void text_print(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || strchr("\",\177", *text) ? '?' : *text);
}

static void site_name_print(const struct trace *t, const struct traced_site *site)
{
	text_print(t->pools[site->pool].name);
	if (site->number == SITE_OWN) {
		printf(" (no site)");
		return;
	}
	putchar(' ');
	text_print(site->file);
	printf(":%u ", site->line);
	text_print(site->label);
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

	printf("  %10" PRIu64 " %8.4f   ", s->gets, per((double)s->growths, s->gets));
	if (seen->first)
		printf("%zu, %" PRIu64 "   ", s->first_default, s->first_growths);
	site_name_print(t, &t->sites[site]);
	printf(": ");
	site_defaults_print(s);
	putchar('\n');
}

static void sites_print(const struct trace *t, const struct sites_seen *seen)
{
	puts("\nWhat the pools say at the end; gets and growths are estimates");
	lines_print(seen->printed);
	printf("\nWhat was seen of sites: all gets, growths a get, and the first %d sizes that "
	       "gets\n"
	       "without one were lent, each with the get from which on it was\n",
		DEFAULTS_MOST);
	if (seen->first)
		printf("  %10s %8s   after %" PRIu64 " gets: default, and growths until then\n",
			"gets", "growths", seen->first);
	else
		printf("  %10s %8s\n", "gets", "growths");
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
