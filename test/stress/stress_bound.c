/* SPDX-License-Identifier: MIT */
/*
 * The bound, from outside: 16 threads borrow and return buffers of random sizes in rounds, from a
 * pool of 3 MiB on a backing that counts for itself, for argv[1] seconds. At the barrier after each
 * round, when everything is back, the live bytes are within retain and the reported overhead; after
 * destroy there are none. Exit status 1 and a line that says why when that is broken.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <tierpool.h>

#include "counting_backing.h"

#define THREADS 16
#define RETAIN ((size_t)3 << 20)
#define BORROWS 200 /* a thread and round */
#define HELD 8

static tierpool *pool;
static struct counting_backing backing;
static pthread_barrier_t barrier;
static struct timespec until;
static bool last_round, broken;
static unsigned long rounds;
static size_t most_live;

static bool time_is_up(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > until.tv_sec ||
	       (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec);
}

static void check_live(void)
{
	struct tierpool_stats s = {.size = sizeof s};
	size_t live = counting_backing_live(&backing);

	tierpool_stats_read(pool, &s);
	if (live > RETAIN + s.overhead_bytes || live != s.idle_bytes + s.overhead_bytes ||
		s.borrowed) {
		fprintf(stderr,
			"stress_bound: round %lu: %zu bytes live; retain %zu, overhead %zu, idle "
			"%zu, "
			"%zu borrowed\n",
			rounds, live, RETAIN, s.overhead_bytes, s.idle_bytes, s.borrowed);
		broken = true;
	}
	if (live > most_live)
		most_live = live;
	rounds++;
	last_round = broken || time_is_up();
}

static void *borrower(void *seed)
{
	unsigned random = (unsigned)(uintptr_t)seed;

	while (!last_round) {
		tierpool_buf *held[HELD] = {0};

		for (unsigned i = 0; i < BORROWS; i++) {
			tierpool_buf **place = &held[(unsigned)rand_r(&random) % HELD];

			tierpool_put(*place);
			*place = tierpool_get_sized(pool,
				(size_t)rand_r(&random) % ((size_t)64 << rand_r(&random) % 16));
		}
		for (unsigned i = 0; i < HELD; i++)
			tierpool_put(held[i]);
		/* One of the threads looks while all others wait at the second barrier. */
		int turn = pthread_barrier_wait(&barrier);

		if (turn == PTHREAD_BARRIER_SERIAL_THREAD)
			check_live();
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	struct tierpool_backing calls;
	pthread_t threads[THREADS];

	counting_backing_init(&backing);
	calls = counting_backing_calls(&backing);
	options.retain = RETAIN;
	options.backing = &calls;
	if (tierpool_create(&pool, &options)) {
		fprintf(stderr, "stress_bound: no pool\n");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += argc > 1 ? atoi(argv[1]) : 4;
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, borrower, (void *)(i + 1));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	if (tierpool_destroy(pool) || counting_backing_live(&backing)) {
		fprintf(stderr, "stress_bound: %zu bytes live after destroy\n",
			counting_backing_live(&backing));
		broken = true;
	}
	printf("%s  stress_bound: %lu rounds, at most %zu bytes live after one, retain %zu\n",
		broken ? "FAILED" : "ok", rounds, most_live, RETAIN);
	return broken;
}
