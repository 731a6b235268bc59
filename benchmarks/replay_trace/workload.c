/* SPDX-License-Identifier: MIT */
/*
 * The workloads: workload.h.
 */
#include "workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage.h"

#define GETS 400000
#define PHASES_GETS 300000
#define GET_NS 200
#define DECAY_MS 10
#define LOGNORMAL_MEDIAN 2048
#define LOGNORMAL_SIGMA 1.5
#define LOGNORMAL_MOST 40000000
#define SITES 10

static const size_t site_lens[SITES] = {
	100, 300, 700, 1500, 3000, 6000, 12000, 30000, 60000, 200000};

struct generator {
	uint64_t random;
	double parameter;
	size_t gets;
};

/* ---- chance: splitmix64 ---- */

static uint64_t random_next(struct generator *g)
{
	uint64_t z = g->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Above 0, below 1. */
static double random_part(struct generator *g)
{
	return ((double)(random_next(g) >> 11) + 0.5) / (double)((uint64_t)1 << 53);
}

/* With a mean of 0 and a deviation of 1: the Box-Muller transform. */
static double random_normal(struct generator *g)
{
	double radius = sqrt(-2 * log(random_part(g)));

	return radius * cos(2 * M_PI * random_part(g));
}

static bool random_percent(struct generator *g)
{
	return 100 * random_part(g) < g->parameter;
}

/* ---- the length of get i, and its site ---- */

typedef size_t len_of(struct generator *g, size_t i, size_t *site);

static size_t len_constant(struct generator *g, size_t i, size_t *site)
{
	(void)i;
	(void)site;
	return (size_t)g->parameter;
}

static size_t len_mix(struct generator *g, size_t i, size_t *site)
{
	(void)i;
	(void)site;
	return random_percent(g) ? 100000 : 200;
}

static size_t len_lognormal(struct generator *g, size_t i, size_t *site)
{
	double len = LOGNORMAL_MEDIAN * exp(LOGNORMAL_SIGMA * random_normal(g));

	(void)i;
	(void)site;
	return (size_t)(len < 1 ? 1 : len > LOGNORMAL_MOST ? LOGNORMAL_MOST : len);
}

static size_t len_phases(struct generator *g, size_t i, size_t *site)
{
	(void)site;
	return i >= g->gets / 3 && i < g->gets / 3 * 2 ? 64000 : 1000;
}

static size_t len_bound(struct generator *g, size_t i, size_t *site)
{
	(void)i;
	(void)site;
	return random_percent(g) ? 1030 : 1000;
}

static size_t len_giant(struct generator *g, size_t i, size_t *site)
{
	(void)g;
	(void)site;
	return i % 10000 == 9999 ? (size_t)32 << 20 : 1000;
}

static size_t len_large(struct generator *g, size_t i, size_t *site)
{
	(void)g;
	(void)site;
	return i % 1000 == 999 ? 256000 : 1000;
}

static size_t len_sites(struct generator *g, size_t i, size_t *site)
{
	(void)i;
	*site = random_next(g) % SITES;
	return site_lens[*site];
}

static const struct workload {
	const char *name;
	len_of *len;
	size_t gets, sites;
	double most; /* of the parameter; 0: it has none */
} workloads[] = {
	{"constant", len_constant, GETS, 1, (double)LENGTH_MOST},
	{"mix", len_mix, GETS, 1, 100},
	{"lognormal", len_lognormal, GETS, 1, 0},
	{"phases", len_phases, PHASES_GETS, 1, 0},
	{"bound", len_bound, GETS, 1, 100},
	{"giant", len_giant, GETS, 1, 0},
	{"large", len_large, GETS, 1, 0},
	{"sites", len_sites, GETS, SITES, 0},
};

/* ---- the trace ---- */

static const struct workload *workload_find(const char *what)
{
	size_t name = strcspn(what, ":");

	for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
		if (strlen(workloads[i].name) == name && !memcmp(what, workloads[i].name, name))
			return &workloads[i];
	return NULL;
}

static bool parameter_read(const char *text, double most, double *parameter)
{
	char *end;

	*parameter = strtod(text, &end);
	return end != text && !*end && *parameter >= 0 && *parameter <= most;
}

/* Returns: the workload, with its parameter; NULL after a message. */
static const struct workload *workload_read(const char *what, double *parameter)
{
	const struct workload *w = workload_find(what);
	const char *colon = strchr(what, ':');

	if (w && (w->most > 0 ? colon && parameter_read(colon + 1, w->most, parameter) : !colon))
		return w;
	fprintf(stderr, "replay_trace: --workload %s: ", what);
	if (!w)
		fputs("there is no such workload", stderr);
	else if (w->most > 0)
		fprintf(stderr, "it needs %s:P, with P from 0 to %.0f", w->name, w->most);
	else
		fprintf(stderr, "%s takes no number", w->name);
	fputs("\nTry replay_trace --help.\n", stderr);
	return NULL;
}

static char *text_new(const char *text)
{
	size_t bytes = strlen(text) + 1;

	return memcpy(array_new(bytes, 1), text, bytes);
}

static void sites_generate(struct trace *t, size_t count)
{
	struct traced_pool pool = {.name = text_new("workload"), .decay_ms = DECAY_MS};
	char label[32];

	trace_pool(t, &pool);
	for (size_t i = 0; i < count; i++) {
		struct traced_site site = {.number = SITE_OWN + 1 + i, .line = (unsigned)i + 1};

		snprintf(label, sizeof label, "site %zu", i + 1);
		site.file = text_new("workload");
		site.label = text_new(label);
		trace_site(t, &site);
	}
}

/* Gets of a batch of them, then their puts in the same order. */
static size_t batch_generate(
	struct trace *t, const struct workload *w, struct generator *g, size_t first, size_t count)
{
	size_t *lens = array_new(count, sizeof *lens);

	for (size_t i = 0; i < count; i++) {
		size_t site = 0;

		lens[i] = w->len(g, first + i, &site);
		trace_get(t, (struct moment){(first + i) * GET_NS, 0}, site, 0, 0);
	}
	for (size_t i = 0; i < count; i++)
		trace_put(
			t, (struct moment){(first + count - 1) * GET_NS, 0}, first + i, lens[i], 0);
	free(lens);
	return first + count;
}

bool workload_generate(struct trace *t, const char *what, const struct workload_size *size)
{
	struct generator g = {.random = size->seed};
	const struct workload *w = workload_read(what, &g.parameter);

	if (!w)
		return false;
	g.gets = size->gets ? size->gets : w->gets;
	sites_generate(t, w->sites);
	for (size_t done = 0; done < g.gets;) {
		size_t count = size->out > 1 ? 1 + random_next(&g) % size->out : 1;

		done = batch_generate(
			t, w, &g, done, count < g.gets - done ? count : g.gets - done);
	}
	return true;
}
