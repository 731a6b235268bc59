/* SPDX-License-Identifier: MIT */
/*
 * tick_tail: how long a single get takes at worst, while another thread ticks and trims the pool.
 *
 * One thread borrows eight buffers of four sizes, one after the other, and puts them back; each get
 * is timed by itself. It does so in rounds of short turns, one a condition:
 *
 *   empty   the same clock read twice with nothing in between: what the machine alone does
 *   quiet   gets, and no other thread works
 *   mild    gets, while a thread on another CPU ticks, and trims after each hundredth tick
 *   hard    gets, while that thread ticks, and trims after each tick
 *
 * A trim keeps as many bytes as the eight buffers take when all are back: the working set. So it
 * frees almost nothing (a buffer that a get made is one more, for a moment), and what the getter
 * feels is the price of being stopped, searched and aged. All of this runs once for each way of
 * keeping CPUs apart, unless TIERPOOL_PERCPU chooses one.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed; 77: there are no two
 * CPUs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rounds.h"
#include "support/measure.h"
#include "support/program.h"

#define SECONDS_DEFAULT 10
#define TICKS_DEFAULT 1000
#define WANTED 3.0 /* times the larger of empty and quiet, at p99.9, at most */

static const char *const names[CONDITIONS] = {"empty", "quiet", "mild", "hard"};

/* ---- the report ---- */

static void condition_print(struct condition *c, const char *name)
{
	double misses = c->gets ? 1e6 * (double)(c->gets - c->hits) / (double)c->gets : 0;

	printf("%6s | %9.1f | %6.1f %6.1f %6.1f %9.0f | %9.0f |", name, (double)c->samples / 1e6,
		quantile(c->length[P50], c->rounds, 0.5), quantile(c->length[P99], c->rounds, 0.5),
		quantile(c->length[P999], c->rounds, 0.5),
		quantile(c->length[MOST], c->rounds, 0.5), quantile(c->length[MOST], c->rounds, 1));
	if (c->gets)
		printf(" %8.1f", misses);
	if (c->ticks)
		printf(" | %5.0f %5.1f  %5.0f %5.1f", (double)c->ticks / c->seconds,
			c->tick_ns / 1e3 / (double)c->ticks, (double)c->trims / c->seconds,
			c->trims ? c->trim_ns / 1e3 / (double)c->trims : 0);
	putchar('\n');
}

/* What the hard condition, or the mild one, is to the larger of the first two. */
static void ratio_print(struct bench *b, int which)
{
	struct condition *c = b->condition;
	double empty = quantile(c[EMPTY].length[P999], c[EMPTY].rounds, 0.5);
	double quiet = quantile(c[QUIET].length[P999], c[QUIET].rounds, 0.5);
	double ratio = quantile(c[which].length[P999], c[which].rounds, 0.5) /
		       (empty > quiet ? empty : quiet);

	printf("p99.9, %s / the larger of empty and quiet: %.2f", names[which], ratio);
	if (which == HARD)
		printf(" (at most %.0f wanted)", WANTED);
	putchar('\n');
}

static void results_print(struct bench *b)
{
	printf("ns, medians over %u rounds; the ticker's calls in us\n", b->condition[HARD].rounds);
	printf("%6s | %9s | %6s %6s %6s %9s | %9s | %8s | %5s %5s  %5s %5s\n", "", "million", "p50",
		"p99", "p99.9", "max", "worst", "misses/M", "tick/s", "each", "trim/s", "each");
	for (int i = 0; i < CONDITIONS; i++)
		condition_print(&b->condition[i], names[i]);
	ratio_print(b, MILD);
	ratio_print(b, HARD);
}

static void csv_rows(FILE *csv, struct bench *b)
{
	for (int i = 0; i < CONDITIONS; i++) {
		struct condition *c = &b->condition[i];

		fprintf(csv, "%s,%s,%u,%" PRIu64, b->percpu, names[i], c->rounds, c->samples);
		for (int k = 0; k < LENGTHS; k++)
			fprintf(csv, ",%.1f", quantile(c->length[k], c->rounds, 0.5));
		fprintf(csv, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
			c->gets, c->hits, c->ticks, c->trims, c->released);
	}
}

struct options {
	double seconds; /* of each mode */
	double ticks;   /* a second */
	const char *csv;
};

/*
 * How CPUs are kept apart is settled once in a process, so each mode has its own process, which
 * writes to the same files. Returns: its exit status.
 */
static int mode_run(const struct options *o, const unsigned cpu[2], const char *mode, FILE *csv)
{
	static struct bench b;
	int error;

	b.ticks = o->ticks;
	memcpy(b.cpu, cpu, sizeof b.cpu);
	setenv("TIERPOOL_PERCPU", mode, 1);
	error = bench_begin(&b);
	if (!error) {
		rounds_run(&b, o->seconds);
		results_print(&b);
		if (csv)
			csv_rows(csv, &b);
		bench_end(&b);
	}
	if (!error && (fflush(stdout) || (csv && fflush(csv))))
		error = -errno;
	if (error)
		fprintf(stderr, "tick_tail: %s\n", strerror(-error));
	return error ? FAILED : 0;
}

/* Runs each mode that TIERPOOL_PERCPU allows. Returns: the exit status of the worst. */
static int modes_run(const struct options *o, const unsigned cpu[2], FILE *csv)
{
	static const char *const modes[] = {"rseq", "locked"};
	const char *chosen = getenv("TIERPOOL_PERCPU");
	int worst = 0;

	if (chosen && strcmp(chosen, modes[0]) && strcmp(chosen, modes[1])) {
		fprintf(stderr, "tick_tail: TIERPOOL_PERCPU=%s: neither rseq nor locked\n", chosen);
		return FAILED;
	}
	for (int i = 0; i < 2; i++) {
		int status = FAILED << 8; /* if there is no child */
		pid_t child;

		if (chosen && strcmp(chosen, modes[i]))
			continue;
		fflush(stdout);
		child = fork();
		if (!child)
			_exit(mode_run(o, cpu, modes[i], csv));
		if (child > 0)
			waitpid(child, &status, 0);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			worst = FAILED;
	}
	return worst;
}

static const char usage[] =
	"Usage: tick_tail [option]...\n"
	"Times single gets while another thread ticks and trims the pool.\n"
	"\n"
	"  -s, --seconds S  how long to measure each mode, 1 to 3600; by default 10\n"
	"  -t, --ticks N    ticks a second, 1 to 100000; by default 1000\n"
	"  -c, --csv FILE   write the figures to FILE as well\n"
	"  -h, --help       show this\n";

int main(int argc, char **argv)
{
	struct options options = {.seconds = SECONDS_DEFAULT, .ticks = TICKS_DEFAULT};
	const struct choice choices[] = {
		{"seconds", .number = &options.seconds, 1, 3600},
		{"ticks", .number = &options.ticks, 1, 100000},
		{"csv", .text = &options.csv},
	};
	int status = options_read("tick_tail", usage, choices, 3, NULL, argc, argv), error = 0;
	unsigned cpu[2];
	FILE *csv = NULL;

	if (status)
		return status < 0 ? 0 : status;
	if (cpus_choose(cpu, false) < 2) {
		puts("tick_tail: skipped: only one CPU is allowed");
		return SKIPPED;
	}
	if (options.csv && !(csv = fopen(options.csv, "w"))) {
		perror(options.csv);
		return FAILED;
	}
	if (csv) {
		fputs("mode,condition,rounds,samples,p50_ns,p99_ns,p999_ns,max_ns,gets,hits,ticks,"
		      "trims,released_bytes\n",
			csv);
		fflush(csv);
	}
	printf("tick_tail: %g s; tierpool %s; compiler %s\n", options.seconds, tierpool_version(),
		__VERSION__);
	printf("The getter on CPU %u, the ticker on CPU %u; %g ticks a second: mild, with a trim "
	       "after\n"
	       "every %d of them; hard, with a trim after each.\n",
		cpu[0], cpu[1], options.ticks, MILD_TICKS);
	status = modes_run(&options, cpu, csv);
	if (csv && (error = file_close(csv)))
		fprintf(stderr, "%s: %s\n", options.csv, strerror(-error));
	return error ? FAILED : status;
}
