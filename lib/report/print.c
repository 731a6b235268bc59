/* SPDX-License-Identifier: MIT */
/*
 * The statistics of a pool, for people: one screen of 80 columns. Owns how numbers are shortened there.
 */
#include <tierpool/stats.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "pool/pool.h"

/* Lines of tiers: with the lines above them one screen. */
#define PRINT_TIERS 26

/* Bytes of a name that are shown. */
#define PRINT_NAME 40

/* Up to what stands behind the first number of a line. */
#define PRINT_INDENT "                   "

/* A number, a size or a share, as text of at most 7 characters. */
struct print_text {
	char text[24];
};

/* ---- numbers ---- */

/* With one digit behind the point if it is below 10 and not whole. */
static struct print_text print_scaled(uint64_t n, uint64_t unit, const char *name)
{
	struct print_text t;
	uint64_t whole = n / unit, rest = n % unit;

	if (whole < 10 && rest)
		snprintf(t.text, sizeof t.text, "%" PRIu64 ".%" PRIu64 "%s", whole,
			rest * 10 / unit, name);
	else
		snprintf(t.text, sizeof t.text, "%" PRIu64 "%s", whole, name);
	return t;
}

static struct print_text print_number(uint64_t n)
{
	static const char *const names[] = {"", " k", " M", " G", " T", " P", " E"};
	uint64_t unit = 1;
	unsigned i = 0;

	for (; n / unit >= (i ? 1000 : 100000) && i < 6; i++)
		unit *= 1000;
	return print_scaled(n, unit, names[i]);
}

static struct print_text print_bytes(uint64_t n)
{
	static const char *const names[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
	unsigned i = 0;

	for (; n >> 10 * i >= 1000 && i < 6; i++)
		;
	return print_scaled(n, UINT64_C(1) << 10 * i, names[i]);
}

/* The same, but exact if it fits. */
static struct print_text print_size(uint64_t n)
{
	struct print_text t;

	if (n >= 100000 || (n >= 1024 && 2 * n % 1024 == 0))
		return print_bytes(n);
	snprintf(t.text, sizeof t.text, "%" PRIu64 " B", n);
	return t;
}

/* In per cent: 100 and 0 if that is so exactly. */
static struct print_text print_share(uint64_t part, uint64_t whole)
{
	struct print_text t = {"-"};
	size_t tenths;

	if (!whole)
		return t;
	tenths = tp_min((size_t)((double)part * 1000 / (double)whole), 999);
	if (part >= whole || !part)
		snprintf(t.text, sizeof t.text, "%d", part ? 100 : 0);
	else if (!tenths)
		snprintf(t.text, sizeof t.text, "<0.1");
	else
		snprintf(t.text, sizeof t.text, "%zu.%zu", tenths / 10, tenths % 10);
	return t;
}

#define NUMBER(n) print_number(n).text
#define BYTES(n) print_bytes(n).text
#define SHARE(part, whole) print_share((part), (whole)).text

/* ---- a pool ---- */

/* On one line, and cut to a length, whatever the program named it. */
static void print_name(FILE *out, const char *name)
{
	size_t length = strlen(name), shown = length;

	if (length > PRINT_NAME)
		for (shown = PRINT_NAME; shown && (name[shown] & 0xc0) == 0x80;)
			shown--; /* not in the middle of a character of UTF-8 */
	for (size_t i = 0; i < shown; i++)
		putc((unsigned char)name[i] < ' ' || name[i] == 0x7f ? '?' : name[i], out);
	if (shown < length)
		fputs("...", out);
}

/* The beginning of a line: what it is about, and how many of them. */
static void print_head(FILE *out, const char *what, uint64_t n)
{
	fprintf(out, "  %-8s %-7s ", what, NUMBER(n));
}

/* By the reasons that there were. */
static void print_drops(FILE *out, const struct tierpool_stats *s)
{
	const struct {
		const char *reason;
		uint64_t count;
	} drops[] = {{"oversize", s->drops_oversize}, {"retain", s->drops_retain},
		{"max_idle", s->drops_idle_count}, {"decay", s->drops_decay},
		{"trim", s->drops_trim}, {"destroy", s->drops_destroy}};
	unsigned printed = 0;

	print_head(out, "freed", s->frees);
	for (unsigned i = 0; i < sizeof drops / sizeof drops[0]; i++)
		if (drops[i].count) {
			/* All six may not fit on a line. */
			fputs(!printed ? "" : printed == 3 ? ",\n" PRINT_INDENT : ", ", out);
			fprintf(out, "%s %s", drops[i].reason, NUMBER(drops[i].count));
			printed++;
		}
	fputs(printed ? "\n" : "-\n", out);
}

static void print_calls(FILE *out, const struct tierpool_stats *s)
{
	print_head(out, "gets", s->gets);
	fprintf(out, "%s %% hit: own CPU %s, depot %s, other %s, larger %s\n",
		SHARE(s->hits, s->gets), SHARE(s->hits_cpu, s->gets), SHARE(s->hits_depot, s->gets),
		SHARE(s->hits_other_cpu, s->gets), SHARE(s->hits_larger, s->gets));
	print_head(out, "new", s->allocs);
	fprintf(out, "blocks: %s for gets, %s for growths\n",
		NUMBER(s->gets - tp_min(s->gets, s->hits)), NUMBER(s->grows - s->grows_pooled));
	print_head(out, "growths", s->grows);
	fprintf(out, "%s %% by exchange with an idle buffer; %s copied\n",
		SHARE(s->grows_pooled, s->grows), BYTES(s->grow_bytes));
	print_drops(out, s);
}

static void print_memory(FILE *out, const struct tierpool_stats *s)
{
	print_head(out, "borrowed", s->borrowed);
	fputs("buffers\n", out);
	print_head(out, "idle", s->idle);
	fprintf(out, "%s, %s %% of %s; leased %s, at most %s\n", BYTES(s->idle_bytes),
		SHARE(s->idle_bytes, s->retain), BYTES(s->retain), BYTES(s->leased_bytes),
		BYTES(s->idle_bytes_peak));
	fprintf(out, "  overhead %s\n", BYTES(s->overhead_bytes));
}

/* above: gets of buffers larger than the largest tier. */
static void print_work(FILE *out, const struct tierpool_stats *s, uint64_t above)
{
	fprintf(out, "  sizes    %s without a site; kept up to %s; %s calibrations\n",
		print_size(s->default_size).text, print_size(s->max_size).text,
		NUMBER(s->calibrations));
	if (above) {
		print_head(out, "above", above);
		fputs("gets above the largest tier, whose buffers are not kept\n", out);
	}
	print_head(out, "ticks", s->ticks);
	fprintf(out, "%s stops of CPUs by membarrier%s\n", NUMBER(s->fences),
		s->fence_lost ? ", refused by now" : "");
}

/* ---- tiers ---- */

static bool print_tier_is_used(const struct tierpool_tier_stats *t)
{
	return t->gets || t->puts || t->allocs || t->grows || t->leased_peak || t->idle;
}

static uint64_t print_tier_drops(const struct tierpool_tier_stats *t)
{
	return t->drops_oversize + t->drops_retain + t->drops_idle_count + t->drops_decay +
	       t->drops_trim + t->drops_destroy;
}

static void print_tier(FILE *out, const struct tierpool_tier_stats *t)
{
	uint64_t hits = t->hits_cpu + t->hits_depot + t->hits_other_cpu + t->hits_larger;

	fprintf(out, "%7s %5s %4s %4s %5s %5s %5s ", print_size(t->block_size).text,
		NUMBER(t->gets), SHARE(hits, t->gets), SHARE(t->hits_cpu, t->gets),
		SHARE(t->hits_depot, t->gets), SHARE(t->hits_other_cpu, t->gets),
		SHARE(t->hits_larger, t->gets));
	fprintf(out, "%5s %5s %5s %6s %5s %7s\n", NUMBER(t->allocs), NUMBER(print_tier_drops(t)),
		NUMBER(t->idle), NUMBER(t->leased), NUMBER(t->leased_peak), BYTES(t->cost));
}

/* Whether it is one of those with the most gets, so that they fit on the screen. */
static bool print_tier_is_shown(
	const struct tierpool_tier_stats *tier, unsigned tiers, unsigned which)
{
	unsigned before = 0;

	for (unsigned i = 0; i < tiers; i++)
		before += print_tier_is_used(&tier[i]) &&
			  (tier[i].gets > tier[which].gets ||
				  (i < which && tier[i].gets == tier[which].gets));
	return print_tier_is_used(&tier[which]) && before < PRINT_TIERS;
}

static void print_tiers(FILE *out, const struct tierpool_tier_stats *tier, unsigned tiers)
{
	unsigned shown = 0, used = 0;

	for (unsigned i = 0; i < tiers; i++) {
		used += print_tier_is_used(&tier[i]);
		if (!print_tier_is_shown(tier, tiers, i))
			continue;
		if (!shown++)
			fputs("   tier  gets hit%  cpu depot other large   new freed  idle leased  "
			      "peak"
			      "    cost\n",
				out);
		print_tier(out, &tier[i]);
	}
	if (used > shown)
		fprintf(out, "and %u more tiers, with fewer gets\n", used - shown);
}

static uint64_t print_gets_of_tiers(const struct tierpool_tier_stats *tier, unsigned tiers)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < tiers; i++)
		sum += tier[i].gets;
	return sum;
}

/* With a reference to the pool. tier: room for all of them. Returns: 0 or -errno. */
static int print_pool(FILE *out, tierpool *pool, struct tierpool_tier_stats *tier, unsigned tiers)
{
	struct tierpool_stats s = {.size = sizeof s};
	/* Tiers first: a get that they have is in the sum as well. */
	int error = tierpool_stats_tiers(pool, tier, tiers, sizeof *tier);
	uint64_t gets = print_gets_of_tiers(tier, tiers);

	if (error >= 0)
		error = tierpool_stats_read(pool, &s);
	if (error < 0)
		return error;
	fputs("pool ", out);
	print_name(out, pool->registered.name);
	fprintf(out, " (%" PRIu64 "), %s, %s\n", pool->registered.id, s.backing, s.percpu);
	print_calls(out, &s);
	print_memory(out, &s);
	print_work(out, &s, s.gets - tp_min(s.gets, gets));
	print_tiers(out, tier, tiers);
	return ferror(out) ? -EIO : 0;
}

int tierpool_stats_print(tierpool *pool, FILE *out)
{
	struct tierpool_tier_stats *tier;
	int error = -ENOMEM, cancel;

	if (!pool || !out)
		return -EINVAL;
	if (!tp_registry_hold(pool, TP_KIND_POOL))
		return -ENOENT;
	/* Else the reference would be lost. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	tier = calloc(pool->sizes.count, sizeof *tier);
	if (tier)
		error = print_pool(out, pool, tier, pool->sizes.count);
	free(tier);
	tp_registry_let_go(&pool->registered);
	pthread_setcancelstate(cancel, NULL);
	return error;
}
