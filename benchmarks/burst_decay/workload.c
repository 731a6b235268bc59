/* SPDX-License-Identifier: MIT */
/*
 * The burst, the quiet and the samples: workload.h.
 */
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>

#include "support/measure.h"
#include "support/program.h"

#define LEAST ((size_t)256)
#define MAGNITUDES 10
#define SMALL ((size_t)4 << 10)
#define HELD_MOST (BURST_BYTES / THREADS / SMALL) /* of a thread; mixed ones are fewer */
#define PAGE 4096

#define STEP_NS 10e6 /* of the quiet */
#define STEP_BORROWS 10
#define SAMPLE_STEPS 10 /* between samples, at least */

/* What the threads hold: a buffer of the pool's, or a block. */
struct worker {
	struct workload *load;
	pthread_t thread;
	uint64_t random;
	size_t count;
	void *held[HELD_MOST];
};

struct workload {
	const struct contender *contender;
	enum burst burst;
	tierpool *pool; /* NULL: none */
	double start;   /* by now_ns */
	int statm;
	pthread_barrier_t gate; /* the burst begins; the end */
	struct worker worker[THREADS];
	size_t samples;
	struct sample sample[SAMPLES_MOST];
};

static _Noreturn void workload_fail(const char *what, int error)
{
	fprintf(stderr, "burst_decay: %s: %s\n", what, strerror(error));
	_exit(2);
}

/* ---- borrowing ---- */

static void *buffer_borrow(const struct workload *load, size_t n)
{
	void *held = load->pool ? (void *)tierpool_get_sized(load->pool, n) : malloc(n);
	volatile char *data;

	if (!held)
		workload_fail("a buffer", ENOMEM);
	data = load->pool ? ((tierpool_buf *)held)->data : held;
	for (size_t at = 0; at < n; at += PAGE)
		data[at] = 1;
	return held;
}

static void buffer_put(const struct workload *load, void *held)
{
	if (load->pool)
		tierpool_put(held);
	else
		free(held);
}

static uint64_t random_next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static size_t size_next(struct worker *w)
{
	size_t magnitude;

	if (w->load->burst == BURST_SMALL)
		return SMALL;
	magnitude = LEAST << random_next(&w->random) % MAGNITUDES;
	return magnitude + random_next(&w->random) % magnitude;
}

static void *worker_main(void *argument)
{
	struct worker *w = argument;
	struct workload *load = w->load;

	pthread_barrier_wait(&load->gate);
	for (size_t bytes = 0; bytes < BURST_BYTES / THREADS && w->count < HELD_MOST;) {
		size_t n = size_next(w);

		w->held[w->count++] = buffer_borrow(load, n);
		bytes += n;
	}
	sleep_until(load->start + RELEASE_SECONDS * 1e9);
	while (w->count)
		buffer_put(load, w->held[--w->count]);
	pthread_barrier_wait(&load->gate);
	return NULL;
}

/* ---- samples ---- */

static void sample_take(struct workload *load)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	struct sample *s = &load->sample[load->samples];
	char text[128];
	ssize_t n = pread(load->statm, text, sizeof text - 1, 0);
	char *resident;

	if (n <= 0 || load->samples == SAMPLES_MOST)
		workload_fail("/proc/self/statm", n < 0 ? errno : EIO);
	text[n] = '\0';
	/* "size resident shared ...", in pages */
	strtoul(text, &resident, 10);
	s->rss = (double)strtoul(resident, NULL, 10) * (double)sysconf(_SC_PAGESIZE) / MIB;
	if (load->pool && !tierpool_stats_read(load->pool, &stats))
		s->idle = (double)stats.idle_bytes / MIB;
	s->seconds = (now_ns() - load->start) / 1e9;
	load->samples++;
}

/* From the start to the end of the quiet, in steps. */
static void workload_watch(struct workload *load, double seconds)
{
	unsigned steps = (unsigned)((RELEASE_SECONDS + seconds) * 1e9 / STEP_NS);
	unsigned apart = steps / (SAMPLES_MOST - 2) + 1;
	bool begun = false;

	if (apart < SAMPLE_STEPS)
		apart = SAMPLE_STEPS;
	for (unsigned step = 0; step <= steps; step++) {
		double at = step * STEP_NS;

		sleep_until(load->start + at);
		if (step % apart == 0)
			sample_take(load);
		if (!begun && at >= BORROW_SECONDS * 1e9) {
			pthread_barrier_wait(&load->gate);
			begun = true;
		}
		if (!load->contender->used || at <= RELEASE_SECONDS * 1e9)
			continue;
		for (int i = 0; i < STEP_BORROWS; i++)
			buffer_put(load, buffer_borrow(load, 1024));
	}
}

/* ---- the process ---- */

static void pool_begin(struct workload *load, double decay_ms)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	struct tierpool_stats stats = {.size = sizeof stats};
	int error;

	options.decay_ms = (unsigned)decay_ms;
	error = tierpool_create(&load->pool, &options);
	if (!error)
		error = tierpool_stats_read(load->pool, &stats);
	if (!error && strcmp(stats.backing, load->contender->backing))
		error = -ENOTSUP;
	if (!error && load->contender->reaper)
		error = tierpool_reaper_start();
	if (error)
		workload_fail(load->contender->name, -error);
}

static void workers_begin(struct workload *load)
{
	int error = pthread_barrier_init(&load->gate, NULL, THREADS + 1);

	for (unsigned i = 0; i < THREADS && !error; i++) {
		struct worker *w = &load->worker[i];

		w->load = load;
		w->random = 0x9e3779b97f4a7c15 * (i + 1);
		error = pthread_create(&w->thread, NULL, worker_main, w);
	}
	if (error)
		workload_fail("threads", error);
}

int workload_run(const struct contender *c, enum burst burst, double seconds, double decay_ms)
{
	static struct workload load;
	size_t size;

	if (!contender_is_here(c))
		return SKIPPED;
	load.contender = c;
	load.burst = burst;
	load.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (load.statm < 0)
		workload_fail("/proc/self/statm", errno);
	memset(load.sample, 0, sizeof load.sample); /* so that samples add nothing later */
	if (c->backing)
		pool_begin(&load, decay_ms);
	workers_begin(&load);
	load.start = now_ns();
	workload_watch(&load, seconds);
	pthread_barrier_wait(&load.gate);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(load.worker[i].thread, NULL);
	if (c->reaper)
		tierpool_reaper_stop();
	tierpool_destroy(load.pool);
	size = load.samples * sizeof *load.sample;
	return write(STDOUT_FILENO, load.sample, size) == (ssize_t)size ? 0 : 2;
}
