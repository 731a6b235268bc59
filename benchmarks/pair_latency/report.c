/* SPDX-License-Identifier: MIT */
/*
 * The figures of pair_latency, and how they are printed: report.h.
 */
#include "report.h"

#include <errno.h>
#include <stdio.h>

#include "support/measure.h"
#include "support/program.h"

struct result {
	size_t size;
	unsigned threads;
	unsigned rounds;
	unsigned kept[CONTENDERS]; /* of their batches */
	bool noisy;                /* for one of them fewer than ROUNDS_LEAST were quiet */
	double median[CONTENDERS], q1[CONTENDERS], q3[CONTENDERS]; /* ns a pair */
	double ratio[CONTENDERS]; /* to the floor around each batch; the median */
};

static struct result results[THREADS_MOST][SIZES];

static void contender_result(struct result *r, const struct cell *cell, int i)
{
	static double ns[ROUNDS_MOST], ratios[ROUNDS_MOST];
	double most =
		disturbance_most(cell->ns[FLOOR], cell->disturbed[i], cell->rounds, &r->noisy);
	unsigned n = 0;

	for (unsigned k = 0; k < cell->rounds; k++) {
		if (cell->disturbed[i][k] > most)
			continue;
		ns[n] = cell->ns[i][k];
		ratios[n++] = cell->ns[i][k] / cell->floor[i][k];
	}
	r->kept[i] = n;
	r->median[i] = quantile(ns, n, 0.5);
	r->q1[i] = quantile(ns, n, 0.25);
	r->q3[i] = quantile(ns, n, 0.75);
	r->ratio[i] = quantile(ratios, n, 0.5);
}

static void result_make(struct result *r, const struct cell *cell)
{
	r->size = cell->size;
	r->threads = cell->threads;
	r->rounds = cell->rounds;
	for (int i = 0; i < CONTENDERS; i++) {
		if (!*contenders[i].absent)
			contender_result(r, cell, i);
	}
}

/* ---- the table ---- */

static void row_print(const struct result *r)
{
	unsigned kept = r->rounds;

	printf("%6s", size_text(r->size));
	for (int i = 0; i < CONTENDERS; i++) {
		double spread = 100 * (r->q3[i] - r->q1[i]) / r->median[i];

		if (*contenders[i].absent)
			continue;
		printf(" |%6.1f %3.0f%%", r->median[i], spread);
		if (i != FLOOR)
			printf(" %6.2f", r->ratio[i]);
		if (r->kept[i] < kept)
			kept = r->kept[i];
	}
	printf(" | %u/%u%s\n", kept, r->rounds, r->noisy ? " noisy" : "");
}

static void table_print(const struct result *r)
{
	bool noisy = false;

	printf("\n%u thread%s: ns a pair (median), interquartile range, times the floor; batches\n",
		r[0].threads, r[0].threads > 1 ? "s" : "");
	printf("%6s", "bytes");
	for (int i = 0; i < CONTENDERS; i++) {
		if (!*contenders[i].absent)
			printf(" |%*s", i == FLOOR ? 11 : 18, contenders[i].name);
	}
	printf(" | quiet\n");
	for (int i = 0; i < SIZES; i++) {
		row_print(&r[i]);
		noisy |= r[i].noisy;
	}
	if (noisy)
		printf("noisy: fewer than %d quiet batches of some contender; the quietest %d "
		       "count.\n",
			ROUNDS_LEAST, ROUNDS_LEAST);
}

/* ---- the comparisons ---- */

#define COMPARED_TO ((size_t)16 << 10)   /* with the fastest allocator, up to here */
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

static int allocator_fastest(const struct result *r)
{
	int fastest = -1;

	for (int i = GLIBC; i < CONTENDERS; i++) {
		if (!*contenders[i].absent && (fastest < 0 || r->ratio[i] < r->ratio[fastest]))
			fastest = i;
	}
	return fastest;
}

static void comparisons_print(const struct result *of)
{
	struct worst on_floor = {0}, on_fastest = {0}, on_jemalloc = {0};
	double least = of[0].median[TIERPOOL], most = least;

	for (int i = 0; i < SIZES; i++) {
		const struct result *r = &of[i];
		double pool = r->ratio[TIERPOOL];
		int fastest = allocator_fastest(r);

		worst_take(&on_floor, pool, r->size, "floor");
		if (r->size <= COMPARED_TO && fastest >= 0)
			worst_take(&on_fastest, pool / r->ratio[fastest], r->size,
				contenders[fastest].name);
		if (r->size >= COMPARED_FROM && !*contenders[JEMALLOC].absent)
			worst_take(&on_jemalloc, pool / r->ratio[JEMALLOC], r->size, "jemalloc");
		least = r->median[TIERPOOL] < least ? r->median[TIERPOOL] : least;
		most = r->median[TIERPOOL] > most ? r->median[TIERPOOL] : most;
	}
	printf("\n%u thread%s, worst over the sizes:\n", of[0].threads,
		of[0].threads > 1 ? "s" : "");
	worst_print("tierpool / floor", &on_floor);
	worst_print("tierpool / fastest allocator, up to 16 KiB", &on_fastest);
	worst_print("tierpool / jemalloc, from 64 KiB", &on_jemalloc);
	printf("  %-46s %6.2f\n", "tierpool, slowest size / fastest size", most / least);
}

/* Both as times the floor. */
static void scaling_print(const struct result *one, const struct result *two)
{
	struct worst w = {0};
	double ratios[SIZES];

	for (int i = 0; i < SIZES; i++) {
		ratios[i] = two[i].ratio[TIERPOOL] / one[i].ratio[TIERPOOL];
		worst_take(&w, ratios[i], one[i].size, "worst");
	}
	printf("\ntierpool / floor with 2 threads / the same with 1: median %.2f, worst %.2f "
	       "(%s bytes)\n",
		quantile(ratios, SIZES, 0.5), w.ratio, size_text(w.size));
}

/* ---- CSV ---- */

static void csv_rows(FILE *f, const struct result *r)
{
	for (int i = 0; i < CONTENDERS; i++) {
		if (!*contenders[i].absent)
			fprintf(f, "%zu,%u,%s,%.3f,%.3f,%.3f,%.4f,%u\n", r->size, r->threads,
				contenders[i].name, r->median[i], r->q1[i], r->q3[i], r->ratio[i],
				r->kept[i]);
	}
}

int results_write(const char *path, unsigned threads)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fputs("size,threads,contender,median_ns,q1_ns,q3_ns,ratio_to_floor,rounds\n", f);
	for (unsigned t = 0; t < threads; t++) {
		for (unsigned i = 0; i < SIZES; i++)
			csv_rows(f, &results[t][i]);
	}
	return file_close(f);
}

void results_print(struct cell cells[THREADS_MOST][SIZES], unsigned threads)
{
	for (unsigned t = 0; t < threads; t++) {
		for (unsigned i = 0; i < SIZES; i++)
			result_make(&results[t][i], &cells[t][i]);
		table_print(results[t]);
	}
	for (unsigned t = 0; t < threads; t++)
		comparisons_print(results[t]);
	if (threads > 1)
		scaling_print(results[0], results[1]);
}
