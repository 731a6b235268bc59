/* SPDX-License-Identifier: MIT */
/*
 * The figures of pair_latency, and how they are printed: report.h.
 */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/allocators.h"
#include "support/measure.h"
#include "support/program.h"

struct result {
	size_t size;
	unsigned threads;
	bool busy;
	unsigned rounds;
	unsigned kept[CONTENDERS]; /* of their batches */
	bool noisy;                /* for one of them fewer than ROUNDS_LEAST were quiet */
	double median[CONTENDERS], q1[CONTENDERS], q3[CONTENDERS]; /* ns a pair */
	double ratio[CONTENDERS]; /* to the floor around each batch; the median */
	double work;              /* its median, which is taken off all of these; 0: none */
	double probe[PROBES];
};

static struct result results[SETTINGS_MOST][SIZES];

static void contender_result(struct result *r, const struct cell *cell, int i)
{
	static double ns[ROUNDS_MOST], ratios[ROUNDS_MOST];
	double most =
		disturbance_most(cell->ns[FLOOR], cell->disturbed[i], cell->rounds, &r->noisy);
	unsigned n = 0;

	for (unsigned k = 0; k < cell->rounds; k++) {
		if (cell->disturbed[i][k] > most)
			continue;
		ns[n] = cell->ns[i][k] - r->work;
		ratios[n] = ns[n] / (cell->floor[i][k] - r->work);
		n++;
	}
	r->kept[i] = n;
	r->median[i] = quantile(ns, n, 0.5);
	r->q1[i] = quantile(ns, n, 0.25);
	r->q3[i] = quantile(ns, n, 0.75);
	r->ratio[i] = quantile(ratios, n, 0.5);
}

static double probe_median(const struct cell *cell, unsigned i)
{
	static double ns[ROUNDS_MOST];

	memcpy(ns, cell->probe[i], cell->rounds * sizeof *ns);
	return quantile(ns, cell->rounds, 0.5);
}

static void result_make(struct result *r, const struct cell *cell)
{
	r->size = cell->size;
	r->threads = cell->threads;
	r->busy = cell->busy;
	r->rounds = cell->rounds;
	if (!*contenders[WORK].absent) {
		contender_result(r, cell, WORK);
		r->work = r->median[WORK];
	}
	for (unsigned i = 0; i < PROBES; i++)
		r->probe[i] = probe_median(cell, i);
	for (int i = 0; i < WORK; i++) {
		if (!*contenders[i].absent)
			contender_result(r, cell, i);
	}
}

/* ---- the table ---- */

static void row_print(const struct result *r)
{
	unsigned kept = r->rounds;

	printf("%6s", size_text(r->size));
	for (int i = 0; i < WORK; i++) {
		double spread = 100 * (r->q3[i] - r->q1[i]) / r->median[i];

		if (*contenders[i].absent)
			continue;
		printf(" |%6.1f %3.0f%%", r->median[i], spread);
		if (i != FLOOR)
			printf(" %6.2f", r->ratio[i]);
		if (r->kept[i] < kept)
			kept = r->kept[i];
	}
	if (r->work > 0)
		printf(" |%6.1f", r->work);
	printf(" | %u/%u%s\n", kept, r->rounds, r->noisy ? " noisy" : "");
}

/* Which threads: "1 thread", "1 thread, neighbour busy", "2 threads". */
static const char *setting_text(const struct result *r)
{
	if (r->busy)
		return "1 thread, neighbour busy";
	return r->threads > 1 ? "2 threads" : "1 thread";
}

static double probe_all(const struct result *r, unsigned probe)
{
	double ns[SIZES];

	for (int i = 0; i < SIZES; i++)
		ns[i] = r[i].probe[probe];
	return quantile(ns, SIZES, 0.5);
}

static void table_print(const struct result *r)
{
	bool noisy = false;

	printf("\n%s: ns a pair (median%s), interquartile range, times the floor; batches\n",
		setting_text(r), r->work > 0 ? ", net of the work" : "");
	printf("%6s", "bytes");
	for (int i = 0; i < WORK; i++) {
		if (!*contenders[i].absent)
			printf(" |%*s", i == FLOOR ? 11 : 18, contenders[i].name);
	}
	printf("%s | quiet\n", r->work > 0 ? " |  work" : "");
	for (int i = 0; i < SIZES; i++) {
		row_print(&r[i]);
		noisy |= r[i].noisy;
	}
	if (noisy)
		printf("noisy: fewer than %d quiet batches of some contender; the quietest %d "
		       "count.\n",
			ROUNDS_LEAST, ROUNDS_LEAST);
	printf("probe: %.2f ns an add if each waits for the last one, %.2f in four chains\n",
		probe_all(r, ONE_CHAIN), probe_all(r, FOUR_CHAINS));
}

/* ---- the comparisons ---- */

#define COMPARED_TO ((size_t)256 << 10)  /* with the fastest allocator, up to here */
#define COMPARED_FROM ((size_t)64 << 10) /* with jemalloc, from here on */

/* The worst of some ratios, and whose it is. */
struct worst {
	double ratio;
	size_t size;
	const char *with;
};

static void worst_take(struct worst *w, double ratio, size_t size, const char *with)
{
	if (ratio > w->ratio)
		*w = (struct worst){ratio, size, with};
}

static void worst_print(const char *what, const struct worst *w)
{
	if (w->with)
		printf("  %-46s %6.2f  %s, %s bytes\n", what, w->ratio, w->with,
			size_text(w->size));
}

/*
 * What contenders are compared by: times the floor, which evens out how fast the CPU was. What is
 * left of the floor net of the work may be next to nothing: then it is ns.
 */
static const double *compared(const struct result *r)
{
	return r->work > 0 ? r->median : r->ratio;
}

static void comparisons_print(const struct result *of)
{
	struct worst on_floor = {0}, on_fastest = {0}, on_jemalloc = {0};
	double least = of[0].median[TIERPOOL], most = least;

	for (int i = 0; i < SIZES; i++) {
		const struct result *r = &of[i];
		const double *by = compared(r);
		double pool = by[TIERPOOL];
		int best = allocators_best(by + GLIBC);

		worst_take(&on_floor, r->ratio[TIERPOOL], r->size, "floor");
		if (r->size <= COMPARED_TO && best >= 0)
			worst_take(&on_fastest, pool / by[GLIBC + best], r->size,
				contenders[GLIBC + best].name);
		if (r->size >= COMPARED_FROM && !*contenders[JEMALLOC].absent)
			worst_take(&on_jemalloc, pool / by[JEMALLOC], r->size, "jemalloc");
		least = r->median[TIERPOOL] < least ? r->median[TIERPOOL] : least;
		most = r->median[TIERPOOL] > most ? r->median[TIERPOOL] : most;
	}
	printf("\n%s, worst over the sizes:\n", setting_text(of));
	worst_print("tierpool / floor", &on_floor);
	worst_print("tierpool / fastest allocator, up to 256 KiB", &on_fastest);
	worst_print("tierpool / jemalloc, from 64 KiB", &on_jemalloc);
	printf("  %-46s %6.2f\n", "tierpool, slowest size / fastest size", most / least);
}

static void scaling_print(const struct result *one, const struct result *two)
{
	struct worst w = {0};
	double ratios[SIZES];

	for (int i = 0; i < SIZES; i++) {
		ratios[i] = compared(&two[i])[TIERPOOL] / compared(&one[i])[TIERPOOL];
		worst_take(&w, ratios[i], one[i].size, "worst");
	}
	printf("\ntierpool%s with %s / the same with 1 thread: median %.2f, worst %.2f (%s "
	       "bytes)\n",
		two->work > 0 ? "" : " / floor", setting_text(two), quantile(ratios, SIZES, 0.5),
		w.ratio, size_text(w.size));
}

/* ---- CSV ---- */

static void csv_rows(FILE *f, const struct result *r)
{
	for (int i = 0; i < WORK; i++) {
		if (!*contenders[i].absent)
			fprintf(f, "%zu,%u,%s,%.3f,%.3f,%.3f,%.4f,%u,%.3f,%d\n", r->size,
				r->threads, contenders[i].name, r->median[i], r->q1[i], r->q3[i],
				r->ratio[i], r->kept[i], r->work, r->busy);
	}
}

int results_write(const char *path, unsigned settings)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fputs("size,threads,contender,median_ns,q1_ns,q3_ns,ratio_to_floor,rounds,"
	      "work_ns,neighbour_busy\n",
		f);
	for (unsigned s = 0; s < settings; s++) {
		for (unsigned i = 0; i < SIZES; i++)
			csv_rows(f, &results[s][i]);
	}
	return file_close(f);
}

void results_print(struct cell cells[SETTINGS_MOST][SIZES], unsigned settings)
{
	for (unsigned s = 0; s < settings; s++) {
		for (unsigned i = 0; i < SIZES; i++)
			result_make(&results[s][i], &cells[s][i]);
		table_print(results[s]);
	}
	for (unsigned s = 0; s < settings; s++)
		comparisons_print(results[s]);
	if (settings > 1)
		scaling_print(results[0], results[1]);
}
