/* SPDX-License-Identifier: MIT */
/*
 * The threads of a crowd, and what is measured of them: crowd.h.
 */
#include "crowd.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tierpool.h>

#include "support/measure.h"
#include "support/program.h"

#define LEAST ((size_t)64)
#define SIZES 9
#define PAGE 4096
#define STACK ((size_t)64 << 10)
#define WARM_OPERATIONS (4 * BURST_EVERY) /* of each thread, before the clock runs */
#define WORK_STEPS 64                     /* of an operation, each a multiplication or so */
#define CLOCK_EVERY 64 /* operations of a thread until it looks at the clock again */

/* Blocks of one size that a thread keeps. */
struct list {
	unsigned count;
	void *block[LIST_MOST];
};

struct held {
	void *handle, *data;
	size_t size;
};

struct count {
	size_t now, most;
};

struct member {
	struct crowd *crowd;
	pthread_t thread;
	uint64_t random;
	uint64_t operations; /* while the clock ran */
	double cpu_ns;
	struct list *lists;
	char *own; /* BURST buffers of the largest size */
};

struct crowd {
	enum source source;
	tierpool *pool;
	unsigned threads;
	double seconds;
	double end; /* by now_ns; 0: no thread has begun to measure */
	bool counted;
	/* If counted: what is borrowed, and the most that ever was. */
	struct count bytes, buffers, of_size[SIZES];
	pthread_barrier_t gate;
	struct member *members;
};

static _Noreturn void crowd_fail(const char *what, int error)
{
	fprintf(stderr, "many_threads: %s: %s\n", what, strerror(error));
	_exit(FAILED);
}

/* ---- a thread ---- */

static uint64_t random_next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static void *list_get(struct list *list, size_t size)
{
	return list->count ? list->block[--list->count] : malloc(size);
}

static void list_put(struct list *list, void *block)
{
	if (list->count < LIST_MOST)
		list->block[list->count++] = block;
	else
		free(block);
}

static void count_add(struct count *c, size_t n)
{
	size_t now = __atomic_add_fetch(&c->now, n, __ATOMIC_RELAXED);
	size_t most = __atomic_load_n(&c->most, __ATOMIC_RELAXED);

	while (now > most && !__atomic_compare_exchange_n(&c->most, &most, now, true,
				     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void count_sub(struct count *c, size_t n)
{
	__atomic_sub_fetch(&c->now, n, __ATOMIC_RELAXED);
}

static struct held buffer_get(struct member *m, unsigned which)
{
	unsigned tier = (unsigned)(random_next(&m->random) >> 32) % SIZES;
	struct held h = {.size = LEAST << tier};

	if (m->crowd->source == POOL) {
		h.handle = tierpool_get_sized(m->crowd->pool, h.size);
		h.data = h.handle ? ((tierpool_buf *)h.handle)->data : NULL;
	} else if (m->crowd->source == LIST) {
		h.handle = h.data = list_get(&m->lists[tier], h.size);
	} else {
		h.handle = h.data = m->own + which * (LEAST << (SIZES - 1));
	}
	if (!h.data)
		crowd_fail("a buffer", ENOMEM);
	if (m->crowd->counted) {
		count_add(&m->crowd->bytes, h.size);
		count_add(&m->crowd->buffers, 1);
		count_add(&m->crowd->of_size[tier], 1);
	}
	return h;
}

static void buffer_put(struct member *m, struct held h)
{
	if (m->crowd->counted) {
		count_sub(&m->crowd->bytes, h.size);
		count_sub(&m->crowd->buffers, 1);
		count_sub(&m->crowd->of_size[__builtin_ctzl(h.size / LEAST)], 1);
	}
	if (m->crowd->source == POOL)
		tierpool_put(h.handle);
	else if (m->crowd->source == LIST)
		list_put(&m->lists[__builtin_ctzl(h.size / LEAST)], h.handle);
}

static void buffer_work(struct member *m, struct held h)
{
	use_write(h.data, h.size, m->random);
	for (size_t at = PAGE; at < h.size; at += PAGE)
		touch((char *)h.data + at, at);
	for (unsigned i = 0; i < WORK_STEPS; i++)
		random_next(&m->random);
}

static void operation_run(struct member *m, uint64_t number)
{
	unsigned buffers = number % BURST_EVERY ? 1 : BURST;
	struct held held[BURST];

	for (unsigned i = 0; i < buffers; i++) {
		held[i] = buffer_get(m, i);
		buffer_work(m, held[i]);
	}
	while (buffers)
		buffer_put(m, held[--buffers]);
}

static double thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Until the time of all is over; it began for all when the first of them came here. */
static void member_measure(struct member *m, uint64_t number)
{
	struct crowd *c = m->crowd;
	double start = thread_cpu_ns(), none = 0, end = now_ns() + c->seconds * 1e9;

	if (!__atomic_compare_exchange(
		    &c->end, &none, &end, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		end = none; /* what the exchange found */
	do {
		do
			operation_run(m, ++number);
		while (number % CLOCK_EVERY);
		m->operations += CLOCK_EVERY;
	} while (now_ns() < end);
	m->cpu_ns = thread_cpu_ns() - start;
}

/* The gate opens when all are there; for the first operations; for the clock; at the end, twice. */
static void *member_main(void *argument)
{
	struct member *m = argument;
	uint64_t number = 0;

	pthread_barrier_wait(&m->crowd->gate);
	pthread_barrier_wait(&m->crowd->gate);
	while (number < WARM_OPERATIONS)
		operation_run(m, ++number);
	pthread_barrier_wait(&m->crowd->gate);
	member_measure(m, number);
	pthread_barrier_wait(&m->crowd->gate);
	pthread_barrier_wait(&m->crowd->gate);
	return NULL;
}

/* ---- the watcher: the thread that began them ---- */

static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t size, resident = 0;

	if (!f || fscanf(f, "%zu %zu", &size, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void list_count(const struct list *list, size_t size, struct crowd_result *out)
{
	out->idle += (double)list->count * (double)size;
	out->idle_buffers += list->count;
}

static void result_take(const struct crowd *c, struct crowd_result *out)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	double ns = 0;

	out->borrowed = (double)c->bytes.most;
	out->borrowed_buffers = c->buffers.most;
	out->borrowed_sizes = 0;
	for (unsigned size = 0; size < SIZES; size++)
		out->borrowed_sizes += c->of_size[size].most;
	for (unsigned i = 0; i < c->threads; i++) {
		const struct member *m = &c->members[i];

		ns += m->cpu_ns;
		out->operations += m->operations;
		for (unsigned k = 0; k < SIZES; k++)
			list_count(&m->lists[k], LEAST << k, out);
	}
	out->cpu_ns = ns / (double)(out->operations ? out->operations : 1);
	if (c->pool && !tierpool_stats_read(c->pool, &stats)) {
		out->idle = (double)stats.idle_bytes;
		out->idle_buffers = stats.idle;
	}
}

static void crowd_watch(struct crowd *c, struct crowd_result *out)
{
	double before;

	pthread_barrier_wait(&c->gate);
	before = resident_bytes();
	for (unsigned gate = 0; gate < 3; gate++)
		pthread_barrier_wait(&c->gate);
	out->resident = resident_bytes() - before;
	result_take(c, out);
	pthread_barrier_wait(&c->gate);
}

/* All that the threads touch besides buffers is resident before the first operation. */
static void member_begin(struct member *m, struct crowd *c, const pthread_attr_t *attributes)
{
	int error;

	m->crowd = c;
	m->random = 0x9e3779b97f4a7c15 * (uint64_t)(m - c->members + 1);
	m->lists = calloc(SIZES, sizeof *m->lists);
	m->own = malloc(BURST * (LEAST << (SIZES - 1)));
	if (!m->lists || !m->own)
		crowd_fail("a thread", ENOMEM);
	memset(m->lists, 0, SIZES * sizeof *m->lists);
	error = pthread_create(&m->thread, attributes, member_main, m);
	if (error)
		crowd_fail("a thread", error);
}

void crowd_run(enum source source, unsigned threads, double seconds, bool counted,
	struct crowd_result *out)
{
	static struct crowd c;
	pthread_attr_t attributes;
	int error;

	c = (struct crowd){
		.source = source, .threads = threads, .seconds = seconds, .counted = counted};
	*out = (struct crowd_result){0};
	c.members = calloc(threads, sizeof *c.members);
	if (!c.members)
		crowd_fail("threads", ENOMEM);
	error = pthread_attr_init(&attributes);
	if (!error)
		error = pthread_attr_setstacksize(&attributes, STACK);
	if (!error)
		error = pthread_barrier_init(&c.gate, NULL, threads + 1);
	if (!error && source == POOL)
		error = -tierpool_create(&c.pool, NULL);
	if (error)
		crowd_fail("threads", error);
	for (unsigned i = 0; i < threads; i++)
		member_begin(&c.members[i], &c, &attributes);
	crowd_watch(&c, out);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(c.members[i].thread, NULL);
}
