/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"
#include "support/measure.h"

#define OUT_MOST 2000
#define GROWS_MOST 20000
#define BURST_EVERY 2000
#define BURST 300

/* ns of a thread between two calls are spread from 0 to twice their mean. */
#define SPREAD 2

const char *const workload_names[WORKLOADS] = {"steady", "bursty", "phases"};

/* Written in the lock. */
struct workload {
	const struct workload_options *options;
	pthread_mutex_t lock;
	uint64_t random, gets;
	double begun_ns;
	tierpool_buf *out[OUT_MOST];
	uint8_t tier[OUT_MOST];  /* that each was asked for, or has grown to */
	uint8_t owner[OUT_MOST]; /* the thread */
	unsigned outs;
	struct record *records;
	size_t count, most;
	bool failed;
};

struct worker {
	struct workload *workload;
	unsigned who;
	uint64_t random;
};

static unsigned below(uint64_t *random, unsigned n)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((*random >> 33) % n);
}

static size_t mixed(struct workload *w)
{
	static const size_t sizes[] = {200, 700, 1500, 3000, 6000, 12000, 30000, 60000};

	return sizes[below(&w->random, 8)];
}

static uint8_t tier_of(const struct workload *w, size_t size)
{
	return (uint8_t)tp_sizeclass_of(&w->options->pool->sizes, size);
}

static void note(struct workload *w, enum call call, unsigned from, unsigned to)
{
	w->records[w->count++] = (struct record){(uint64_t)now_ns(), (uint8_t)call, (uint8_t)from,
		(uint8_t)to, (uint8_t)sched_getcpu()};
}

static void get(struct workload *w, unsigned who, size_t size)
{
	unsigned i = w->outs;

	w->out[i] = tierpool_get_sized(w->options->pool, size);
	if (!w->out[i]) {
		w->failed = true;
		return;
	}
	touch(w->out[i]->data, i);
	w->tier[i] = tier_of(w, size);
	w->owner[i] = (uint8_t)who;
	w->outs++;
	w->gets++;
	note(w, CALL_GET, 0, w->tier[i]);
}

static void put(struct workload *w)
{
	unsigned i = below(&w->random, w->outs);

	tierpool_put(w->out[i]);
	note(w, CALL_PUT, w->tier[i], 0);
	w->outs--;
	w->out[i] = w->out[w->outs];
	w->tier[i] = w->tier[w->outs];
	w->owner[i] = w->owner[w->outs];
}

/* One of those that the thread has borrowed, if chance hits one. */
static void grow(struct workload *w, unsigned who)
{
	unsigned i = below(&w->random, w->outs);
	tierpool_buf *b = w->out[i];
	uint8_t from = w->tier[i];

	if (w->owner[i] != who || b->cap > GROWS_MOST)
		return;
	w->failed |= tierpool_buf_reserve(b, 3 * b->cap) != 0;
	w->tier[i] = (uint8_t)b->tp_tier;
	note(w, CALL_GROW, from, w->tier[i]);
}

/* A put, or a get: so that about so many are out. */
static void step(struct workload *w, unsigned who, unsigned out, size_t size)
{
	if (w->outs == OUT_MOST || (w->outs && below(&w->random, 2 * out) < w->outs))
		put(w);
	else
		get(w, who, size);
}

static void step_steady(struct workload *w, unsigned who)
{
	step(w, who, 120, mixed(w));
}

static void step_bursty(struct workload *w, unsigned who)
{
	bool burst = w->gets % BURST_EVERY >= BURST_EVERY - BURST;

	if (w->outs && below(&w->random, 8) == 0)
		grow(w, who);
	else
		step(w, who, burst ? 450 : 30, mixed(w) / 2);
}

static void step_phases(struct workload *w, unsigned who)
{
	if (now_ns() < w->begun_ns + w->options->seconds * 1e9 / 2)
		step(w, who, 300, mixed(w) / 8);
	else
		step(w, who, 100, below(&w->random, 8) ? mixed(w) + 10000 : 500);
}

static void workload_step(struct workload *w, unsigned who)
{
	static void (*const steps[WORKLOADS])(struct workload *, unsigned) = {
		step_steady, step_bursty, step_phases};

	for (unsigned i = 0; i < WORKLOADS; i++)
		if (!strcmp(w->options->name, workload_names[i]))
			steps[i](w, who);
}

/* ---- threads ---- */

static void *worker_run(void *argument)
{
	struct worker *me = argument;
	struct workload *w = me->workload;
	double end = w->begun_ns + w->options->seconds * 1e9, next = w->begun_ns;
	double gap = 2e9 / w->options->rate; /* of one of two threads */
	bool goes_on = true;

	pin(w->options->cpu[me->who]);
	while (goes_on && next < end) {
		pthread_mutex_lock(&w->lock);
		if (!w->failed && w->count < w->most)
			workload_step(w, me->who);
		goes_on = !w->failed;
		pthread_mutex_unlock(&w->lock);
		/* A thread that was kept from running does not hurry after. */
		next = now_ns() + gap * below(&me->random, 1000) / 1000 * SPREAD;
		while (now_ns() < next)
			;
	}
	return NULL;
}

struct record *workload_run(const struct workload_options *options, size_t *count)
{
	static struct workload w;
	struct worker workers[2] = {{&w, 0, 17}, {&w, 1, 18}};
	pthread_t second;

	w = (struct workload){.options = options,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.random = 1,
		.begun_ns = now_ns()};
	w.most = (size_t)(1.5 * options->seconds * options->rate);
	w.records = calloc(w.most, sizeof *w.records);
	if (!w.records || pthread_create(&second, NULL, worker_run, &workers[1])) {
		free(w.records);
		return NULL;
	}
	worker_run(&workers[0]);
	pthread_join(second, NULL);
	for (unsigned i = 0; i < w.outs; i++)
		tierpool_put(w.out[i]);
	*count = w.count;
	if (w.failed || w.count == w.most) {
		free(w.records);
		w.records = NULL;
	}
	return w.records;
}
