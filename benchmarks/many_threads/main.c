/* SPDX-License-Identifier: MIT */
/*
 * many_threads: a thousand threads on all CPUs against two: CPU time an operation and memory, of a
 * pool in both ways of keeping CPUs apart, and of a free list in each thread. crowd.h says what an
 * operation is. Beside them stands the work alone.
 *
 * Each crowd has a process of its own, and rounds of all of them alternate. In the first round
 * memory is measured; of the others, the medians of CPU time count.
 *
 * Exit status: 0, whatever the figures; 2: wrong usage, or something failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>

#include "crowd.h"
#include "support/child.h"
#include "support/measure.h"
#include "support/program.h"

#define SECONDS_DEFAULT 16
#define CROWD_SECONDS 0.4
#define FEW 2
#define ROUNDS_MOST 256
#define MIB 1048576.0

static const struct side {
	const char *name;
	enum source source;
	const char *percpu; /* the pool's */
} sides[] = {
	{"work alone", NOBODY, NULL},
	{"tierpool, rseq", POOL, "rseq"},
	{"tierpool, locked", POOL, "locked"},
	{"a list a thread", LIST, NULL},
};

#define SIDES (sizeof sides / sizeof *sides)
enum { WORK, RSEQ, LOCKED, LISTS };

/* By side, by few and many threads. */
static struct crowd_result results[SIDES][2][ROUNDS_MOST];

struct crowd_job {
	const struct side *side;
	unsigned threads;
	bool counted;
};

/* In the crowd's own process. */
static void crowd_measure(const void *context, void *result)
{
	const struct crowd_job *job = context;

	if (job->side->percpu)
		setenv("TIERPOOL_PERCPU", job->side->percpu, 1);
	crowd_run(job->side->source, job->threads, CROWD_SECONDS, job->counted, result);
}

/* The CPU time of a side, without the first round. */
static double cpu_ns(unsigned side, unsigned many, unsigned rounds)
{
	double values[ROUNDS_MOST];

	for (unsigned k = 1; k < rounds; k++)
		values[k - 1] = results[side][many][k].cpu_ns;
	return quantile(values, rounds - 1, 0.5);
}

static void row_print(unsigned side, unsigned rounds)
{
	const struct crowd_result *memory = results[side][1];
	double few = cpu_ns(side, 0, rounds), many = cpu_ns(side, 1, rounds);
	double net_few = few - cpu_ns(WORK, 0, rounds), net = many - cpu_ns(WORK, 1, rounds);

	printf("%-16s | %7.1f %7.1f %5.2f |", sides[side].name, few, many, many / few);
	if (side != WORK)
		printf(" %7.1f %7.1f | %8.2f | %8.2f %8.2f | %8" PRIu64 " %8" PRIu64 " %8" PRIu64,
			net_few, net, memory->resident / MIB, memory->idle / MIB,
			memory->borrowed / MIB, memory->idle_buffers, memory->borrowed_buffers,
			memory->borrowed_sizes);
	putchar('\n');
}

static void report_print(unsigned threads, unsigned rounds)
{
	printf("CPU ns an operation with %d and with %u threads (medians of %u rounds), their "
	       "ratio, and net\nof the work; with %u threads what became resident, what lay idle "
	       "at "
	       "the end and the most\nthat was borrowed at once, in MiB and in buffers, and of "
	       "each size, summed up\n",
		FEW, threads, rounds - 1, threads);
	printf("%-16s | %7d %7u %5s | %7s %7s | %8s | %8s %8s | %8s %8s %8s\n", "threads", FEW,
		threads, "ratio", "net", "net", "resident", "idle", "borrowed", "idle", "borrowed",
		"by size");
	for (unsigned i = 0; i < SIDES; i++)
		row_print(i, rounds);
	printf("resident, tierpool in rseq mode / a list a thread: %.3f\n",
		results[RSEQ][1]->resident / results[LISTS][1]->resident);
}

static int rounds_run(double seconds, unsigned threads, unsigned *rounds)
{
	double end = now_ns() + seconds * 1e9;

	do {
		for (unsigned i = 0; i < 2 * SIDES; i++) {
			unsigned turn = (i + *rounds) % (2 * SIDES), many = turn % 2;
			struct crowd_job job = {&sides[turn / 2], many ? threads : FEW, !*rounds};
			struct crowd_result *result = &results[turn / 2][many][*rounds];
			int error = child_run(crowd_measure, &job, result, sizeof *result);

			if (error)
				return error;
		}
		++*rounds;
	} while (*rounds < 2 || (now_ns() < end && *rounds < ROUNDS_MOST));
	return 0;
}

static const char usage[] = "Usage: many_threads [option]...\n"
			    "Compares many threads with two: CPU time an operation, and memory.\n"
			    "\n"
			    "  -s, --seconds S  how long to measure, 1 to 3600; by default 16\n"
			    "  -t, --threads N  how many, 3 to 10000; by default 1000\n"
			    "  -h, --help       show this\n";

int main(int argc, char **argv)
{
	double seconds = SECONDS_DEFAULT, threads = 1000;
	const struct choice choices[] = {
		{"seconds", .number = &seconds, 1, 3600},
		{"threads", .number = &threads, 3, 10000, .whole = true},
	};
	int status = options_read("many_threads", usage, choices, 2, NULL, argc, argv), error;
	unsigned rounds = 0;

	if (status)
		return status < 0 ? 0 : status;
	printf("many_threads: %g s; tierpool %s; compiler %s; %ld CPUs\n", seconds,
		tierpool_version(), __VERSION__, sysconf(_SC_NPROCESSORS_ONLN));
	printf("One operation in %d borrows %d buffers, the others one.\n", BURST_EVERY, BURST);
	error = rounds_run(seconds, (unsigned)threads, &rounds);
	if (!error) {
		report_print((unsigned)threads, rounds);
		error = fflush(stdout) ? -errno : 0;
	}
	if (!error)
		return 0;
	if (error != -ECANCELED)
		fprintf(stderr, "many_threads: %s\n", strerror(-error));
	return FAILED;
}
