/* SPDX-License-Identifier: MIT */
/*
 * Runs two ways in turns: ways.h. Compares what they write, counts their allocations, measures.
 */
#define _GNU_SOURCE
#include "ways.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tierpool.h>

enum { OWN, WITH_POOL, SIDES, WARM_UP = 16, COUNTED = 16, ROUNDS = 301, TEXT = 1 << 20 };

#define TURN_NS 1e6 /* of each side in a round */

static FILE *record;  /* where output goes while it is compared */
static int record_fd; /* of ways_output_fd */
static volatile uint64_t consumed;
static size_t (*allocations)(void); /* of allocations.so; NULL: not loaded */

/* ---- what the ways call ---- */

void ways_output(const void *data, size_t n)
{
	const unsigned char *bytes = data;
	if (record)
		fwrite(data, 1, n, record);
	if (n)
		consumed += bytes[0] + (uint64_t)bytes[n - 1];
}

int ways_output_fd(void)
{
	return record_fd;
}

const char *ways_text(void)
{
	static char text[TEXT + 1];
	static size_t used;
	for (unsigned line = 0; used < TEXT; line++) {
		char words[80];
		int n = snprintf(words, sizeof words, "%u: of %x \"tiers\" and\t%u pools\n", line,
			line * 2654435761U, line * line % 1009);
		for (int i = 0; i < n && used < TEXT; i++)
			text[used++] = words[i];
	}
	return text;
}

/* ---- comparing ---- */

struct written {
	char *bytes;
	size_t n;
};

/* Runs a way once and keeps what it writes, which is freed by the caller. 0 or -errno. */
static int written_by(int (*way)(size_t), size_t n, struct written *out)
{
	int null = record_fd, error;
	record = open_memstream(&out->bytes, &out->n);
	record_fd = memfd_create("ways", 0);
	error = record && record_fd >= 0 ? way(n) : -errno;
	char block[4096];
	ssize_t more = lseek(record_fd, 0, SEEK_SET);
	while (!error && (more = read(record_fd, block, sizeof block)) > 0)
		fwrite(block, 1, (size_t)more, record);
	if (record && fclose(record) != 0 && !error)
		error = -errno;
	close(record_fd);
	record = NULL;
	record_fd = null;
	return error;
}

/* Whether both write the same bytes, n of them; also when what is kept is used again. 0 or -errno. */
static int compare(const struct ways *w, size_t *n)
{
	struct written own = {0}, with_pool = {0};
	int error = written_by(w->own, w->n, &own);
	for (int i = 0; i < 3 && !error; i++) {
		free(with_pool.bytes);
		error = written_by(w->with_pool, w->n, &with_pool);
		bool same = own.n == with_pool.n && memcmp(own.bytes, with_pool.bytes, own.n) == 0;
		if (!error && (own.n == 0 || !same))
			error = -EBADMSG;
	}
	if (error == -EBADMSG)
		fprintf(stderr, "%s: %zu bytes in its own way, %zu with tierpool; not the same\n",
			w->name, own.n, with_pool.n);
	*n = own.n;
	free(own.bytes);
	free(with_pool.bytes);
	return error;
}

/* ---- counting and measuring ---- */

static int run(int (*way)(size_t), size_t n, size_t times)
{
	int error = 0;
	for (size_t i = 0; i < times && !error; i++)
		error = way(n);
	return error;
}

/* CPU time: there is one thread, which waits for nothing, and what else the machine does is not in it. */
static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Allocations of one operation, once it has run for a while; -1: not counted. */
static double allocations_of(int (*way)(size_t), size_t n)
{
	if (!allocations || run(way, n, WARM_UP))
		return -1;
	size_t before = allocations();
	run(way, n, COUNTED);
	return (double)(allocations() - before) / COUNTED;
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(double *values, double part)
{
	qsort(values, ROUNDS, sizeof *values, double_compare);
	return values[(size_t)(part * (ROUNDS - 1))];
}

/* Behind the point. */
static int digits(double us)
{
	return us < 10 ? 2 : us < 100 ? 1 : 0;
}

/*
 * Many short rounds. In each both sides take a turn, and every other round begins with the other side.
 * Prints the medians of the sides and of the ratios, and the quartiles of the ratios.
 */
static void measure(const struct ways *w)
{
	static double ns[SIDES][ROUNDS], ratio[ROUNDS];
	int (*const way[SIDES])(size_t) = {w->own, w->with_pool};
	double start = now_ns();
	size_t times = 0;
	for (; now_ns() - start < 20 * TURN_NS; times++)
		run(way[times % SIDES], w->n, 1);
	times = 1 + times / 20;
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned turn = 0; turn < SIDES; turn++) {
			unsigned side = (i + turn) % SIDES;
			start = now_ns();
			run(way[side], w->n, times);
			ns[side][i] = (now_ns() - start) / (double)times;
		}
		ratio[i] = ns[WITH_POOL][i] / ns[OWN][i];
	}
	double own = quantile(ns[OWN], 0.5) / 1000, with_pool = quantile(ns[WITH_POOL], 0.5) / 1000;
	printf("%.*f us, %.*f with tierpool: times %.2f (%.2f to %.2f)\n", digits(own), own,
		digits(with_pool), with_pool, quantile(ratio, 0.5), quantile(ratio, 0.25),
		quantile(ratio, 0.75));
}

/* All that was borrowed is back in the pool. */
static bool pool_is_whole(void)
{
	struct tierpool_stats s = {.size = sizeof s};
	return tierpool_stats_read(tierpool_default(), &s) == 0 && s.borrowed == 0 &&
	       s.gets == s.puts;
}

static int run_ways(const struct ways *w, bool measured)
{
	size_t bytes = 0;
	int error = compare(w, &bytes);
	if (error) {
		fprintf(stderr, "%s: %s\n", w->name, strerror(-error));
		return error;
	}
	printf("%s: %zu bytes, the same; ", w->name, bytes);
	if (measured) {
		measure(w);
		return 0;
	}
	double own = allocations_of(w->own, w->n);
	double with_pool = allocations_of(w->with_pool, w->n);
	if (own < 0)
		printf("allocations not counted\n");
	else
		printf("%.4g allocations, %.4g with tierpool\n", own, with_pool);
	if (with_pool <= own)
		return 0;
	fprintf(stderr, "%s: more allocations than in its own way\n", w->name);
	return -ENOMEM;
}

int ways_main(int argc, char **argv, const struct ways *ways, size_t count)
{
	bool measured = argc > 1 && strcmp(argv[1], "--measure") == 0;
	int error = 0;
	*(void **)&allocations = dlsym(RTLD_DEFAULT, "allocations");
	record_fd = open("/dev/null", O_WRONLY);
	for (size_t i = 0; i < count && !error; i++)
		error = run_ways(&ways[i], measured);
	close(record_fd);
	if (!pool_is_whole()) {
		fprintf(stderr, "a buffer is missing\n");
		return 1;
	}
	return error != 0;
}
