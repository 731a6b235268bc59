/* SPDX-License-Identifier: MIT */
/*
 * What the examples share, and a real program does in its own way: to run threads to their end, and
 * to check the pool at the end.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>

struct example_thread {
	pthread_t id;
	int (*work)(unsigned number);
	unsigned number;
	int error;
};

static inline void *example_thread_main(void *argument)
{
	struct example_thread *t = argument;
	t->error = t->work(t->number);
	return NULL;
}

/*
 * Runs work(0) to work(count - 1), each in a thread, at most 16. Returns the first error, or 0. If
 * not all threads can be started, it calls stop, if there is one, which ends the waits of the
 * others.
 */
static inline int example_threads(
	unsigned count, int (*work)(unsigned number), void (*stop)(int error))
{
	struct example_thread threads[16];
	unsigned started = 0;
	int error = 0;
	while (started < count && started < 16 && !error) {
		struct example_thread *t = &threads[started];
		*t = (struct example_thread){.work = work, .number = started};
		error = -pthread_create(&t->id, NULL, example_thread_main, t);
		started += !error;
	}
	if (error && stop)
		stop(error);
	while (started-- > 0) {
		pthread_join(threads[started].id, NULL);
		error = error ? error : threads[started].error;
	}
	return error;
}

static inline bool example_same(const tierpool_buf *a, const tierpool_buf *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/*
 * Prints the statistics of the pool and destroys it. Returns the exit status: 0 when there was no
 * error, every borrowed buffer came back, no block is lost and the pool kept its bound.
 */
static inline int example_end(const char *program, tierpool *pool, int error)
{
	struct tierpool_stats s = {.size = sizeof s};
	bool read = tierpool_stats_read(pool, &s) == 0;
	bool good = read && s.borrowed == 0 && s.gets == s.puts && s.idle_bytes <= s.retain &&
		    s.allocs - s.frees == s.idle;
	if (read)
		printf("%ju borrowed, %ju allocated, %zu bytes kept of %zu\n", (uintmax_t)s.gets,
			(uintmax_t)s.allocs, s.idle_bytes, s.retain);
	good = tierpool_destroy(pool) == 0 && good;
	if (error)
		fprintf(stderr, "%s: %s\n", program, strerror(-error));
	else if (!good)
		fprintf(stderr, "%s: the pool misses a buffer or breaks its bound\n", program);
	return error || !good;
}

#endif
