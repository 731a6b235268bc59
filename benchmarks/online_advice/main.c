/* SPDX-License-Identifier: MIT */
/*
 * online_advice: what the profile's advisor says of running programs, against what is true. Three
 * programs of two threads (workload.h) run with the profile on. Their calls are recorded, and played to
 * the model that replay_trace --advise uses, which sees them all (test_replay_advise shows that it is
 * right). The pool's own statistics say what its own bound has served.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed; 77: there are no two CPUs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool.h>

#include "pool/model_options.h"
#include "profile/snapshot.h"
#include "support/measure.h"
#include "support/program.h"
#include "workload.h"

#define SECONDS_DEFAULT 20
#define RATE_DEFAULT 300e3
#define RETAIN_DEFAULT 2048 /* KiB */
#define HIGH 0.95
#define BOUNDS TP_SNAPSHOT_BOUNDS
#define PERCENT(share) (100 * (share))

static const char usage[] =
	"Usage: online_advice [option]... [steady | bursty | phases]\n"
	"Compares what the profile says of bounds with what is true, for three programs or one.\n"
	"\n"
	"  -s, --seconds S   how long each of them runs, 1 to 3600; by default 20\n"
	"  -r, --rate N      calls a second; by default 300000\n"
	"  -k, --kib N       the bound of the pool; by default 2048\n"
	"  -d, --decay-ms N  of the pool; by default 10000\n"
	"  -h, --help        show this\n";

static double seconds = SECONDS_DEFAULT, rate = RATE_DEFAULT, kib = RETAIN_DEFAULT;
static double decay_ms = 10000;

/* ---- the truth ---- */

/* Shares at these bounds of the last so many gets; bounds[BOUNDS - 1]: of all, too. */
static bool shares_find(tierpool *pool, const struct record *records, size_t count, uint64_t skip,
	const size_t *bounds, double *shares, double *own_all)
{
	struct tp_model_tier tier[TP_TIERS_MAX];
	struct tp_model_options options = tp_model_options_of(pool, tier, bounds, BOUNDS);
	struct tp_model *m = tp_model_create(&options);
	uint64_t skipped[BOUNDS] = {0};

	for (size_t i = 0; m && i < count; i++) {
		const struct record *r = &records[i];

		if (r->call == CALL_GET)
			tp_model_get(m, r->to, r->cpu, r->ns);
		else if (r->call == CALL_GROW)
			tp_model_grow(m, r->from, r->to, r->cpu, r->ns);
		else
			tp_model_put(m, r->from, r->cpu, r->ns);
		if (r->call == CALL_GET && tp_model_gets(m) == skip)
			for (unsigned k = 0; k < BOUNDS; k++)
				skipped[k] = tp_model_misses(m, k);
	}
	for (unsigned k = 0; m && k < BOUNDS; k++)
		shares[k] = 1 - (double)(tp_model_misses(m, k) - skipped[k]) /
					(double)(tp_model_gets(m) - skip);
	if (m)
		*own_all = 1 - (double)tp_model_misses(m, BOUNDS - 1) / (double)tp_model_gets(m);
	tp_model_free(m);
	return m;
}

/* ---- a run ---- */

/* In points: the worst estimate where the share is high, and elsewhere. */
struct verdict {
	double high, low;
	unsigned outside;
};

static void row_print(const struct tp_advised *a, double truth, const char *mark, struct verdict *v)
{
	double error = PERCENT(a->share - truth), far = error < 0 ? -error : error;
	double *worst = truth >= HIGH ? &v->high : &v->low;
	bool outside = truth < a->low || truth > a->high;

	*worst = far > *worst ? far : *worst;
	v->outside += outside;
	printf("  %10.1f %8.2f %8.2f %+7.2f %7.2f to %6.2f%s%s\n", (double)a->retain / 1024,
		PERCENT(truth), PERCENT(a->share), error, PERCENT(a->low), PERCENT(a->high),
		outside ? "  outside" : "", mark);
}

static bool advice_print(tierpool *pool, const struct tp_snapshot_advice *a,
	const struct record *records, size_t count, const struct tierpool_stats *stats)
{
	size_t bounds[BOUNDS];
	double shares[BOUNDS], own_all;
	struct verdict v = {0};

	for (unsigned k = 0; k + 1 < BOUNDS; k++)
		bounds[k] = a->curve[k].retain;
	bounds[BOUNDS - 1] = a->now.retain;
	if (!shares_find(pool, records, count, stats->gets - a->gets, bounds, shares, &own_all))
		return false;
	printf("  %10s %8s %8s %7s %17s\n", "bound, KiB", "true, %", "said, %", "error",
		"interval");
	for (unsigned k = 0; k + 1 < BOUNDS; k++)
		row_print(&a->curve[k], shares[k], "", &v);
	row_print(&a->now, shares[BOUNDS - 1], "  its bound", &v);
	printf("  from 95 %% on %.2f points off at most, else %.2f; outside the interval: %u of "
	       "%d\n"
	       "  its bound, of all gets: %.2f %% by the statistics, %.2f %% by the model\n",
		v.high, v.low, v.outside, BOUNDS,
		PERCENT((double)stats->hits / (double)stats->gets), PERCENT(own_all));
	return true;
}

static bool run(const char *name, const unsigned cpu[2])
{
	struct tierpool_options options = {.size = sizeof options,
		.name = name,
		.retain = (size_t)kib << 10,
		.decay_ms = (unsigned)decay_ms};
	struct tierpool_stats stats = {.size = sizeof stats};
	struct tp_snapshot *snapshot = NULL;
	struct record *records = NULL;
	size_t count;
	tierpool *pool;
	bool done = false;

	if (tierpool_create(&pool, &options))
		return false;
	if (!tierpool_profile_start(0))
		records = workload_run(
			&(struct workload_options){name, pool, seconds, rate, {cpu[0], cpu[1]}},
			&count);
	tierpool_profile_stop();
	if (records && !tierpool_stats_read(pool, &stats))
		snapshot = tp_snapshot_take();
	for (size_t i = 0; snapshot && i < snapshot->advices; i++) {
		const struct tp_snapshot_advice *a = &snapshot->advice[i];

		if (strcmp(a->pool, name))
			continue;
		printf("\n%s: %.0f calls a second, %llu gets, %llu of them estimated, %u windows\n",
			name, (double)count / seconds, (unsigned long long)stats.gets,
			(unsigned long long)a->gets, a->windows);
		done = advice_print(pool, a, records, count, &stats);
	}
	fflush(stdout);
	tp_snapshot_free(snapshot);
	free(records);
	tierpool_destroy(pool);
	return done;
}

int main(int argc, char **argv)
{
	const struct choice choices[] = {{"seconds", .number = &seconds, 1, 3600},
		{"rate", .number = &rate, 1, 1e7}, {"kib", .number = &kib, 1, 1 << 20},
		{"decay-ms", .number = &decay_ms, 1, 1e6}};
	const char *only = NULL;
	int status = options_read("online_advice", usage, choices, 4, &only, argc, argv);
	unsigned cpu[2], runs = 0;

	if (status)
		return status < 0 ? 0 : status;
	if (cpus_choose(cpu, false) < 2) {
		puts("online_advice: there are no two CPUs");
		return SKIPPED;
	}
	for (unsigned i = 0; i < WORKLOADS; i++) {
		if (only && strcmp(only, workload_names[i]))
			continue;
		if (!run(workload_names[i], cpu)) {
			fprintf(stderr, "online_advice: %s: something failed\n", workload_names[i]);
			return FAILED;
		}
		runs++;
	}
	if (!runs)
		fputs(usage, stderr);
	return runs ? 0 : FAILED;
}
