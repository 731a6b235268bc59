/* SPDX-License-Identifier: MIT */
/*
 * cache_latency: what a get, one store and the put of a cached object cost, on one CPU and on two
 * at once: by tierpool_cache, by Go's sync.Pool, whose semantics it has, and by the floor
 * (support/floor.h).
 *
 * Go's side is a program of its own, cache_latency_go, which runs a batch on request and sleeps in
 * between, on the same CPUs; so both sides take turns within each round. Around every batch lies
 * one of the floor. If one of these took longer than on a quiet machine, the round does not count.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed; 77: there is no Go
 * program next to this one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rounds.h"
#include "support/measure.h"
#include "support/program.h"

#define SECONDS_DEFAULT 20
#define WANTED 0.65 /* times sync.Pool, at most */

static const char *const names[CONTENDERS] = {"floor", "tierpool", "sync.Pool"};

static struct cell cells[THREADS_MOST];

/* Of the rounds that count. */
struct result {
	unsigned threads;
	unsigned rounds, kept;
	double ns[CONTENDERS][3];         /* a pair: the quartiles */
	double on_floor[CONTENDERS];      /* ratios within a round, medians */
	double on_go, on_go_q1, on_go_q3; /* tierpool's: the quartiles */
};

/* A round of one thread, one of two, and so on, so that both are spread over the time. 0; -errno. */
static int cells_measure(struct bench *b, double seconds)
{
	double end = now_ns() + seconds * 1e9;

	do {
		for (unsigned t = 0; t < b->team.threads; t++) {
			int error;

			cells[t].threads = t + 1;
			error = round_run(b, &cells[t]);
			if (error)
				return error;
		}
	} while (cells[0].rounds < ROUNDS_LEAST ||
		 (now_ns() < end && cells[0].rounds < ROUNDS_MOST));
	return 0;
}

/* ---- the report ---- */

/*
 * Fills column with the ratios of one contender to another, or to 1 if to is below 0, in the rounds
 * that count. Returns: how many those are.
 */
static unsigned ratios_fill(const struct cell *cell, int of, int to, double most, double *column)
{
	unsigned n = 0;

	for (unsigned k = 0; k < cell->rounds; k++) {
		if (cell->disturbed[k] <= most)
			column[n++] = cell->ns[of][k] / (to < 0 ? 1 : cell->ns[to][k]);
	}
	return n;
}

static void result_make(struct result *r, const struct cell *cell)
{
	static double column[ROUNDS_MOST];
	bool noisy = false;
	double most = disturbance_most(cell->ns[FLOOR], cell->disturbed, cell->rounds, &noisy);

	r->threads = cell->threads;
	r->rounds = cell->rounds;
	for (int i = 0; i < CONTENDERS; i++) {
		r->kept = ratios_fill(cell, i, -1, most, column);
		for (int k = 0; k < 3; k++)
			r->ns[i][k] = quantile(column, r->kept, 0.25 * (k + 1));
		ratios_fill(cell, i, FLOOR, most, column);
		r->on_floor[i] = quantile(column, r->kept, 0.5);
	}
	ratios_fill(cell, CACHE, GO, most, column);
	r->on_go_q1 = quantile(column, r->kept, 0.25);
	r->on_go = quantile(column, r->kept, 0.5);
	r->on_go_q3 = quantile(column, r->kept, 0.75);
}

static void result_print(const struct result *r)
{
	printf("\n%u thread%s: ns a pair, median (and quartiles); times the floor; %u of %u rounds "
	       "were quiet\n",
		r->threads, r->threads > 1 ? "s" : "", r->kept, r->rounds);
	for (int i = 0; i < CONTENDERS; i++)
		printf("  %-10s %6.2f  (%.2f to %.2f)  %5.2f\n", names[i], r->ns[i][1], r->ns[i][0],
			r->ns[i][2], r->on_floor[i]);
	printf("  tierpool / sync.Pool %.3f (%.3f to %.3f); at most %.2f wanted\n", r->on_go,
		r->on_go_q1, r->on_go_q3, WANTED);
}

/* Returns: 0; -errno. */
static int csv_write(const char *path, const struct result *results, unsigned n)
{
	FILE *csv = fopen(path, "w");

	if (!csv)
		return -errno;
	fputs("threads,contender,q1_ns,median_ns,q3_ns,ratio_to_floor,ratio_to_sync_pool,rounds\n",
		csv);
	for (const struct result *r = results; r < results + n; r++) {
		for (int i = 0; i < CONTENDERS; i++) {
			fprintf(csv, "%u,%s,%.3f,%.3f,%.3f,%.4f,", r->threads, names[i],
				r->ns[i][0], r->ns[i][1], r->ns[i][2], r->on_floor[i]);
			if (i == CACHE)
				fprintf(csv, "%.4f", r->on_go);
			fprintf(csv, ",%u\n", r->kept);
		}
	}
	return file_close(csv);
}

/* As the default pool has it; it is settled for the whole process. */
static const char *percpu_mode(void)
{
	struct tierpool_stats stats = {.size = sizeof stats};

	return tierpool_stats_read(tierpool_default(), &stats) ? "?" : stats.percpu;
}

static const char usage[] =
	"Usage: cache_latency [option]...\n"
	"Compares get, one store and put of tierpool_cache with Go's sync.Pool.\n"
	"\n"
	"  -s, --seconds S  how long to measure, 1 to 3600; by default 20\n"
	"  -c, --csv FILE   write the figures to FILE as well\n"
	"  -h, --help       show this\n";

/* Returns: 0; -errno. */
static int bench_run(const char *partner, double seconds, const char *csv)
{
	static struct bench b;
	static struct result results[THREADS_MOST];
	int error;

	error = bench_begin(&b, partner);
	if (error)
		return error;
	printf("cache_latency: %g s; tierpool %s, percpu %s; compiler %s; %s\n", seconds,
		tierpool_version(), percpu_mode(), __VERSION__, b.partner[0].version);
	team_print(&b.team);
	fflush(stdout);
	error = cells_measure(&b, seconds);
	if (error)
		return error;
	bench_end(&b);
	for (unsigned t = 0; t < b.team.threads; t++) {
		result_make(&results[t], &cells[t]);
		result_print(&results[t]);
	}
	if (csv)
		error = csv_write(csv, results, b.team.threads);
	if (!error && fflush(stdout))
		error = -errno;
	return error;
}

int main(int argc, char **argv)
{
	double seconds = SECONDS_DEFAULT;
	const char *csv = NULL;
	const struct choice choices[] = {
		{"seconds", .number = &seconds, 1, 3600},
		{"csv", .text = &csv},
	};
	int status = options_read("cache_latency", usage, choices, 2, NULL, argc, argv), error;
	char partner[PATH_MAX];

	if (status)
		return status < 0 ? 0 : status;
	error = partner_path(partner);
	if (error) {
		puts("cache_latency: skipped: no cache_latency_go beside it; `make bench` builds "
		     "one where there is Go");
		return SKIPPED;
	}
	error = bench_run(partner, seconds, csv);
	if (error)
		fprintf(stderr, "cache_latency: %s\n", strerror(-error));
	return error ? FAILED : 0;
}
