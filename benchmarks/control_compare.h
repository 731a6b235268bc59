/* SPDX-License-Identifier: MIT */
/*
 * The comparison: the same records encoded by the same code in the same run, with scratch memory
 * from four places. All four encode into the scratch buffer, check for an error, fold a byte of
 * the result into a sum that must come out alike, and give the buffer back:
 *
 *   reused   one buffer of malloc's in each thread, emptied between records: nothing is faster
 *   kept     one tierpool_buf in each thread, reset between records: what the borrowing adds to that
 *            is pooled
 *   pooled   tierpool_get_sized and tierpool_put for each record
 *   malloced malloc, realloc and free for each record
 *
 * All begin with a guess at the size of the record, json_size, and double from there. In a round
 * every thread takes a piece of the input, parses it, and encodes it with each of the four in
 * turn, all threads the same one at the same time; only the encoding is timed. The order changes
 * from round to round, so that each is as often first as last. A ratio is taken within a round;
 * what is reported is the median of these over all rounds, with the quartiles.
 */
#ifndef CONTROL_COMPARE_H
#define CONTROL_COMPARE_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "control_parse.h"

#include "control_json.h" /* json_stanza(tierpool_buf, fields, count) */

/* The doubling buffer that everybody writes. An error sticks: cap is brought down to len. */
struct plain_buf {
	char *data;
	size_t len;
	size_t cap;
	int error;
};

#define PLAIN_FIRST 1024

static __attribute__((__noinline__, __cold__)) int plain_append_slow(
	struct plain_buf *b, const void *src, size_t n)
{
	size_t cap = b->cap > PLAIN_FIRST / 2 ? b->cap * 2 : PLAIN_FIRST;
	char *data;

	while (cap - b->len < n)
		cap *= 2;
	data = b->error ? NULL : realloc(b->data, cap);
	if (!data) {
		b->cap = b->len;
		return b->error = -ENOMEM;
	}
	b->data = data;
	b->cap = cap;
	memcpy(b->data + b->len, src, n);
	b->len += n;
	return 0;
}

static inline int plain_append(struct plain_buf *b, const void *src, size_t n)
{
	if (n > b->cap - b->len)
		return plain_append_slow(b, src, n);
	memcpy(b->data + b->len, src, n);
	b->len += n;
	return 0;
}

static inline int plain_append_str(struct plain_buf *b, const char *s)
{
	return plain_append(b, s, strlen(s));
}

/* A copy of the encoder for the buffer that is kept; why, see below. */
#define json_escape kept_json_escape
#define json_text kept_json_text
#define json_stanza kept_json_stanza
#include "control_json.h"
#undef json_escape
#undef json_text
#undef json_stanza

/*
 * The encoder over plain_buf, once for each of the two: with code in common, each would find the
 * branches predicted that the other has just been through, and the pool would not.
 */
#define tierpool_buf struct plain_buf
#define tierpool_buf_append plain_append
#define tierpool_buf_append_str plain_append_str

#define json_escape reused_json_escape
#define json_text reused_json_text
#define json_stanza reused_json_stanza
#include "control_json.h"
#undef json_escape
#undef json_text
#undef json_stanza

#define json_escape malloced_json_escape
#define json_text malloced_json_text
#define json_stanza malloced_json_stanza
#include "control_json.h"
#undef json_escape
#undef json_text
#undef json_stanza

#undef tierpool_buf
#undef tierpool_buf_append
#undef tierpool_buf_append_str

enum { REUSED, KEPT, POOLED, MALLOCED, WAYS };

#define PIECE_BYTES ((size_t)256 << 10) /* of input, at least, for one thread at a time */
#define PASSES_MOST 1000                /* over a smaller one, in one timing */
#define WARM_UP 6                       /* rounds that do not count */

struct sample {
	double ns[WAYS]; /* a record and thread */
};

struct race;

/* Aligned, so that no thread writes where another reads. */
struct racer {
	struct race *race;
	unsigned number;
	pthread_t thread;
	struct slice text;
	struct control control;
	struct plain_buf reused;
	tierpool_buf *kept;
	size_t passes;
	uint64_t ns[WAYS];
	uint64_t sum[WAYS];
	int error;
	bool pinned;
} __attribute__((__aligned__(128)));

/* Between two barriers written by racer 0 alone. */
struct race {
	tierpool *pool;
	struct slice text;
	const char *at; /* the next piece */
	uint64_t deadline;
	unsigned threads;
	size_t rounds;
	bool stop;
	bool progress;
	bool pinned;
	int error;
	const unsigned char *order;
	struct racer *racers;
	tierpool_buf *samples; /* struct sample */
	pthread_barrier_t barrier;
	pthread_mutex_t
		gate;   /* held until the threads are there, or it is known that not all are */
	bool abandoned; /* not all are; under gate */
};

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t fold(uint64_t sum, const char *data, size_t len)
{
	return (sum ^ (unsigned char)data[len / 2]) * 0x9e3779b97f4a7c15 + len;
}

static int encode_reused(struct racer *r, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&r->control);
	const struct stanza *end = s + control_count(&r->control);
	struct plain_buf *b = &r->reused;

	for (; s < end; s++) {
		b->len = 0;
		reused_json_stanza(b, control_fields(&r->control, s), s->count);
		if (b->error)
			return b->error;
		*sum = fold(*sum, b->data, b->len);
	}
	return 0;
}

static int encode_kept(struct racer *r, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&r->control),
			    *end = s + control_count(&r->control);
	tierpool_buf *b = r->kept;
	int error = 0;

	for (; s < end && !error; s++) {
		tierpool_buf_reset(b);
		kept_json_stanza(b, control_fields(&r->control, s), s->count);
		error = tierpool_buf_error(b);
		if (!error)
			*sum = fold(*sum, b->data, b->len);
	}
	return error;
}

static int encode_pooled(struct racer *r, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&r->control);
	const struct stanza *end = s + control_count(&r->control);
	int error = 0;

	for (; s < end && !error; s++) {
		const struct field *fields = control_fields(&r->control, s);
		tierpool_buf *b = tierpool_get_sized(r->race->pool, json_size(fields, s->count));

		json_stanza(b, fields, s->count);
		error = tierpool_buf_error(b);
		if (!error)
			*sum = fold(*sum, b->data, b->len);
		tierpool_put(b);
	}
	return error;
}

static int encode_malloced(struct racer *r, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&r->control);
	const struct stanza *end = s + control_count(&r->control);
	int error = 0;

	for (; s < end && !error; s++) {
		const struct field *fields = control_fields(&r->control, s);
		size_t size = json_size(fields, s->count);
		struct plain_buf b = {.data = malloc(size)};

		b.cap = b.data ? size : 0;
		malloced_json_stanza(&b, fields, s->count);
		error = b.error;
		if (!error)
			*sum = fold(*sum, b.data, b.len);
		free(b.data);
	}
	return error;
}

static void racer_time(struct racer *r, unsigned way)
{
	static int (*const encode[WAYS])(struct racer *, uint64_t *) = {
		encode_reused, encode_kept, encode_pooled, encode_malloced};
	uint64_t start = now_ns();

	r->sum[way] = 0;
	for (size_t i = 0; i < r->passes && !r->error; i++)
		r->error = encode[way](r, &r->sum[way]);
	r->ns[way] = now_ns() - start;
}

/* Binds the thread to a CPU of its own, where there are enough; otherwise leaves it. */
static bool racer_pin(const struct racer *r)
{
	unsigned nth = 0;
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof allowed, &allowed) ||
		(unsigned)CPU_COUNT(&allowed) < r->race->threads)
		return false;
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && nth++ == r->number)
			CPU_SET(cpu, &one);
	return !pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

/* Racer 0: the pieces and the order of the next round, or the end. */
static void race_deal(struct race *race)
{
	static const unsigned char orders[8][WAYS] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2, 3, 0},
		{2, 1, 0, 3}, {2, 3, 0, 1}, {1, 0, 3, 2}, {3, 0, 1, 2}, {0, 3, 2, 1}};

	race->order = orders[race->rounds % 8];
	race->stop = race->error || (race->rounds > WARM_UP && now_ns() >= race->deadline);
	for (unsigned i = 0; i < race->threads; i++) {
		if (race->at == race->text.end)
			race->at = race->text.at;
		race->racers[i].text = (struct slice){race->at, race->text.end};
		race->at = control_cut(race->racers[i].text, PIECE_BYTES);
		race->racers[i].text.end = race->at;
	}
	if (race->progress && race->rounds % 64 == 0)
		fprintf(stderr, "\rcomparing: %zu rounds\033[K", race->rounds);
}

/* Racer 0: what the round gave. A round in which nothing could be encoded is not counted. */
static void race_note(struct race *race)
{
	struct sample sample = {{0}};
	size_t records = 0;

	for (unsigned i = 0; i < race->threads; i++) {
		const struct racer *r = &race->racers[i];

		records += control_count(&r->control) * r->passes;
		for (unsigned way = 0; way < WAYS; way++) {
			sample.ns[way] += (double)r->ns[way];
			if (r->sum[way] != r->sum[REUSED])
				race->error = -EBADMSG;
		}
		if (r->error)
			race->error = r->error;
	}
	for (unsigned way = 0; way < WAYS && records; way++)
		sample.ns[way] /= (double)records;
	if (race->rounds++ >= WARM_UP && records)
		tierpool_buf_append(race->samples, &sample, sizeof sample);
	if (!race->error)
		race->error = tierpool_buf_error(race->samples);
}

static void racer_round(struct racer *r)
{
	r->error = control_parse(&r->control, r->text);
	r->passes = PIECE_BYTES / (size_t)(r->text.end - r->text.at) + 1;
	if (r->passes > PASSES_MOST)
		r->passes = PASSES_MOST;
	for (unsigned i = 0; i < WAYS; i++) {
		pthread_barrier_wait(&r->race->barrier);
		racer_time(r, r->race->order[i]);
	}
	pthread_barrier_wait(&r->race->barrier);
	if (r->number == 0)
		race_note(r->race);
}

static void *racer_run(void *argument)
{
	struct racer *r = argument;
	struct race *race = r->race;

	pthread_mutex_lock(&race->gate);
	pthread_mutex_unlock(&race->gate);
	if (race->abandoned)
		return NULL;
	r->pinned = racer_pin(r);
	control_borrow(&r->control, tierpool_default());
	r->kept = tierpool_get(race->pool);
	for (;;) {
		if (r->number == 0)
			race_deal(race);
		pthread_barrier_wait(&race->barrier);
		if (race->stop)
			break;
		racer_round(r);
	}
	control_put(&r->control);
	tierpool_put(r->kept);
	free(r->reused.data);
	return NULL;
}

/* Runs the rounds until the deadline. 0 or a negative errno; race->samples holds the result. */
static int race_run(struct race *race)
{
	unsigned started = 0;
	int error = 0;

	race->racers = aligned_alloc(128, race->threads * sizeof *race->racers);
	if (!race->racers)
		return -ENOMEM;
	pthread_barrier_init(&race->barrier, NULL, race->threads);
	pthread_mutex_init(&race->gate, NULL);
	pthread_mutex_lock(&race->gate);
	for (; started < race->threads && !error; started += !error) {
		struct racer *r = &race->racers[started];

		*r = (struct racer){.race = race, .number = started};
		error = -pthread_create(&r->thread, NULL, racer_run, r);
	}
	race->abandoned = error;
	pthread_mutex_unlock(&race->gate);
	race->pinned = true;
	for (unsigned i = 0; i < started; i++) {
		pthread_join(race->racers[i].thread, NULL);
		race->pinned &= race->racers[i].pinned;
	}
	pthread_mutex_destroy(&race->gate);
	pthread_barrier_destroy(&race->barrier);
	free(race->racers);
	return error ? error : race->error;
}

static int double_order(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double quantile(const double *sorted, size_t n, double q)
{
	return sorted[(size_t)((double)(n - 1) * q + 0.5)];
}

static void race_report_ratio(const struct sample *samples, size_t n, double *column, unsigned way,
	unsigned base, FILE *out)
{
	for (size_t i = 0; i < n; i++)
		column[i] = samples[i].ns[way] / samples[i].ns[base];
	qsort(column, n, sizeof *column, double_order);
	fprintf(out, "   %6.3f (%.3f to %.3f)", quantile(column, n, 0.5), quantile(column, n, 0.25),
		quantile(column, n, 0.75));
}

static void race_report_way(
	const struct sample *samples, size_t n, double *column, unsigned way, FILE *out)
{
	static const char *const names[WAYS] = {"one reused buffer a thread",
		"one tierpool_buf, reset", "tierpool_get_sized and put", "malloc, realloc, free"};

	for (size_t i = 0; i < n; i++)
		column[i] = samples[i].ns[way];
	qsort(column, n, sizeof *column, double_order);
	fprintf(out, "  %-28s %9.1f", names[way], quantile(column, n, 0.5));
	race_report_ratio(samples, n, column, way, REUSED, out);
	race_report_ratio(samples, n, column, way, MALLOCED, out);
	putc('\n', out);
}

/* 0 or -ENOMEM. */
static int race_report(const struct race *race, FILE *out)
{
	const struct sample *samples = (const struct sample *)(const void *)race->samples->data;
	size_t n = race->samples->len / sizeof *samples;
	double *column = malloc(n * sizeof *column + 1);

	if (!column)
		return -ENOMEM;
	fprintf(out,
		"\nThe same encoding by itself, with scratch memory from four places in turn;\n"
		"threads: %u, %s, rounds: %zu; medians (and quartiles)\n",
		race->threads, race->pinned ? "each on a CPU of its own" : "not pinned", n);
	fprintf(out, "  %-28s %9s   %-24s %s\n", "", "ns/record", "times one reused buffer",
		"times malloc");
	for (unsigned way = 0; way < WAYS && n; way++)
		race_report_way(samples, n, column, way, out);
	free(column);
	return 0;
}

#endif
