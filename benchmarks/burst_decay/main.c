/* SPDX-License-Identifier: MIT */
/*
 * burst_decay: what becomes of the memory of a burst in the quiet after it. The same burst
 * (workload.h) is served by pools on jemalloc and on libc, and by the malloc and free of jemalloc,
 * tcmalloc, mimalloc and glibc, each in its own process and with its own defaults. After it one
 * small buffer is in light use, or no thread touches anything: then a pool decays only if the reaper
 * runs. The report shows the resident memory over time, and the pool's idle bytes, which never
 * exceed its bound. All of this is done twice: with buffers of many sizes, and with small ones.
 *
 * The processes run at the same time, as they sleep most of it; their bursts take turns.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed; 77: a picture is wanted
 * and there is no gnuplot.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tierpool.h>

#include "contenders.h"
#include "support/measure.h"
#include "support/program.h"
#include "workload.h"

#define SECONDS_DEFAULT 37 /* three decays and a bit: after two, what lay idle is gone */
#define DECAY_DEFAULT 10000
#define WITHIN_DEFAULT 16
#define APART_NS 300e6 /* between the starts of two processes: a burst is over by then */

struct options {
	double seconds; /* of the quiet */
	double decay;   /* milliseconds */
	double within;  /* MiB */
	const char *csv, *png;
};

/* What came of a contender. */
struct result {
	struct sample sample[SAMPLES_MOST];
	size_t samples;
	double start, peak, end; /* resident, MiB */
	double settled;          /* seconds after the burst; negative: not within the time */
	double idle_peak, idle_end;
};

static struct result results[BURSTS][CONTENDERS];
static struct runner runners[BURSTS][CONTENDERS];
static double retain; /* MiB: the bound, as the pools have it */

static const struct {
	const char *name, *buffers;
} bursts[BURSTS] = {{"mixed", "256 bytes to 256 KiB"}, {"small", "4 KiB"}};

/* ---- running ---- */

/* Starts one process, and waits until its burst cannot meet that of the next one. */
static int contender_begin(const struct options *o, unsigned burst, unsigned i)
{
	double next = now_ns() + APART_NS;
	char numbers[4][32], *argv[] = {(char[]){"burst_decay"}, (char[]){"--contender"},
				     numbers[0], numbers[1], numbers[2], numbers[3], NULL};
	int error;

	snprintf(numbers[0], sizeof numbers[0], "%u", i);
	snprintf(numbers[1], sizeof numbers[1], "%u", burst);
	snprintf(numbers[2], sizeof numbers[2], "%g", o->seconds);
	snprintf(numbers[3], sizeof numbers[3], "%g", o->decay);
	error = runner_begin(&runners[burst][i], &contenders[i], argv);
	if (!error)
		sleep_until(next);
	return error;
}

static int contenders_begin(const struct options *o)
{
	int error = 0;

	for (unsigned i = 0; i < CONTENDERS; i++) {
		contender_look(&contenders[i]);
		for (unsigned k = 0; k < BURSTS && !*contenders[i].absent && !error; k++)
			error = contender_begin(o, k, i);
	}
	return error;
}

static int contender_end(struct contender *c, struct runner *runner, struct result *r)
{
	size_t size;
	int status = runner_end(runner, r->sample, sizeof r->sample, &size);

	r->samples = size / sizeof *r->sample;
	if (status == SKIPPED)
		snprintf(c->absent, sizeof c->absent, "%s is not its malloc", c->library);
	else if (status || !r->samples)
		return -ECHILD;
	return 0;
}

/* Returns: 0; -errno. */
static int contenders_end(void)
{
	int error = 0;

	for (unsigned i = 0; i < CONTENDERS; i++) {
		bool absent = *contenders[i].absent;

		for (unsigned k = 0; k < BURSTS && !absent; k++) {
			int failed = contender_end(&contenders[i], &runners[k][i], &results[k][i]);

			error = error ? error : failed;
		}
	}
	return error;
}

static void result_make(struct result *r, double within)
{
	const struct sample *last = &r->sample[r->samples - 1];

	r->settled = -1;
	r->end = last->rss;
	r->idle_end = last->idle;
	for (const struct sample *s = r->sample; s <= last; s++) {
		if (s->seconds < BORROW_SECONDS)
			r->start = s->rss;
		if (s->rss > r->peak)
			r->peak = s->rss;
		if (s->idle > r->idle_peak)
			r->idle_peak = s->idle;
	}
	/* From when it stays there. */
	for (const struct sample *s = last; s >= r->sample && s->seconds > RELEASE_SECONDS; s--) {
		if (s->rss > r->start + within)
			break;
		r->settled = s->seconds - RELEASE_SECONDS;
	}
}

/* ---- the report ---- */

static void row_print(const struct contender *c, const struct result *r)
{
	char settled[16] = "-", idle[32] = "";

	if (r->settled >= 0)
		snprintf(settled, sizeof settled, "%.1f", r->settled);
	if (c->backing)
		snprintf(idle, sizeof idle, "%8.2f %8.3f", r->idle_peak, r->idle_end);
	printf("  %-36s %8.1f %8.1f %8.1f %9s   %s\n", c->name, r->start, r->peak, r->end, settled,
		idle);
}

static void table_print(const struct options *o, unsigned burst, bool used)
{
	printf("\nBuffers of %s, then a quiet in which %s:\n", bursts[burst].buffers,
		used ? "one thread borrows 1 KiB a thousand times a second"
		     : "nobody touches anything");
	printf("  %-36s %8s %8s %8s %9s   %8s %8s\n", "", "start", "peak", "end", "settled",
		"idle max", "idle end");
	for (unsigned i = 0; i < CONTENDERS; i++) {
		if (contenders[i].used != used)
			continue;
		if (*contenders[i].absent) {
			printf("  %-36s skipped: %s\n", contenders[i].name, contenders[i].absent);
			continue;
		}
		result_make(&results[burst][i], o->within);
		row_print(&contenders[i], &results[burst][i]);
	}
}

static void results_print(const struct options *o)
{
	printf("burst_decay: tierpool %s; %d threads borrow %.0f MiB in all, in buffers of %s or "
	       "of\n"
	       "%s, and hold them for two seconds; then %g s of quiet. The pool's bound: %.0f "
	       "MiB;\n"
	       "its decay: %g ms. MiB; settled: seconds until resident within %g MiB of the "
	       "start.\n",
		tierpool_version(), THREADS, (double)BURST_BYTES / MIB, bursts[BURST_MIXED].buffers,
		bursts[BURST_SMALL].buffers, o->seconds, retain, o->decay, o->within);
	for (unsigned k = 0; k < BURSTS; k++) {
		table_print(o, k, true);
		table_print(o, k, false);
	}
}

static void csv_write_contender(
	FILE *csv, const char *burst, const struct contender *c, const struct result *r)
{
	for (size_t i = 0; i < r->samples; i++) {
		const struct sample *s = &r->sample[i];

		fprintf(csv, "%s,%s,%s,%.2f,%.2f,", burst, c->used ? "used" : "untouched", c->name,
			s->seconds, s->rss);
		if (c->backing)
			fprintf(csv, "%.3f", s->idle);
		putc('\n', csv);
	}
}

/* Returns: 0; -errno. */
static int csv_write(const char *path)
{
	FILE *csv = fopen(path, "w");

	if (!csv)
		return -errno;
	fputs("buffers,quiet,contender,seconds,rss_mib,idle_mib\n", csv);
	for (unsigned k = 0; k < BURSTS; k++) {
		for (unsigned i = 0; i < CONTENDERS; i++)
			csv_write_contender(csv, bursts[k].name, &contenders[i], &results[k][i]);
	}
	return file_close(csv);
}

/* Returns: the exit status. */
static int png_draw(const char *csv, const char *png)
{
	char bound[32], times[2][32];
	int status = 0;
	pid_t child;

	snprintf(bound, sizeof bound, "%g", retain);
	snprintf(times[0], sizeof times[0], "%g", BORROW_SECONDS);
	snprintf(times[1], sizeof times[1], "%g", RELEASE_SECONDS);
	fflush(stdout);
	child = fork();
	if (!child) {
		execlp("gnuplot", "gnuplot", "-c", BURST_PLOT, csv, png, bound, times[0], times[1],
			NULL);
		_exit(errno == ENOENT ? SKIPPED : FAILED);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return FAILED;
	if (WEXITSTATUS(status) == SKIPPED)
		puts("burst_decay: no picture: gnuplot is not installed");
	return WEXITSTATUS(status);
}

/* ---- the program ---- */

static const char usage[] =
	"Usage: burst_decay [option]...\n"
	"Shows the memory of pools and of mallocs through a burst and the quiet after it.\n"
	"\n"
	"  -s, --seconds S   how long the quiet is, 1 to 3600; by default 37\n"
	"  -d, --decay MS    the pools' decay in milliseconds, 1 to 1000000; by default 10000\n"
	"  -w, --within MIB  how near to its start memory counts as settled; by default 16\n"
	"  -c, --csv FILE    write the samples to FILE as well\n"
	"  -p, --png FILE    and draw them to FILE, by gnuplot; needs --csv\n"
	"  -h, --help        show this\n";

/* The bound of a pool with all defaults. */
static double default_retain(void)
{
	struct tierpool_stats stats = {.size = sizeof stats};

	if (tierpool_stats_read(tierpool_default(), &stats))
		return 0;
	return (double)stats.retain / MIB;
}

static int contenders_compare(const struct options *o)
{
	int error = contenders_begin(o);

	if (!error)
		error = contenders_end();
	if (!error) {
		retain = default_retain();
		results_print(o);
	}
	if (!error && o->csv)
		error = csv_write(o->csv);
	if (!error && fflush(stdout))
		error = -errno;
	if (error) {
		fprintf(stderr, "burst_decay: %s\n", strerror(-error));
		return FAILED;
	}
	return o->png ? png_draw(o->csv, o->png) : 0;
}

int main(int argc, char **argv)
{
	struct options o = {SECONDS_DEFAULT, DECAY_DEFAULT, WITHIN_DEFAULT, NULL, NULL};
	const struct choice choices[] = {
		{"seconds", .number = &o.seconds, 1, 3600},
		{"decay", .number = &o.decay, 1, 1e6},
		{"within", .number = &o.within, 0, 1e6},
		{"csv", .text = &o.csv},
		{"png", .text = &o.png},
	};
	int status;

	/* A contender's own process, by contender_begin. */
	if (argc == 6 && !strcmp(argv[1], "--contender"))
		return workload_run(&contenders[strtoul(argv[2], NULL, 10) % CONTENDERS],
			strtoul(argv[3], NULL, 10) == BURST_SMALL ? BURST_SMALL : BURST_MIXED,
			strtod(argv[4], NULL), strtod(argv[5], NULL));
	status = options_read("burst_decay", usage, choices, 5, NULL, argc, argv);
	if (status)
		return status < 0 ? 0 : status;
	if (o.png && !o.csv) {
		fputs("burst_decay: --png needs --csv\n", stderr);
		return FAILED;
	}
	return contenders_compare(&o);
}
