/* SPDX-License-Identifier: MIT */
/*
 * The rounds of the comparison, and its part of the report: race.h.
 */
#include "race.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "file.h"
#include "support/measure.h"
#include "support/program.h"
#include "ways.h"

#define PASSES_MOST 1000 /* over a smaller one, in one timing */
#define ROUNDS_FIRST 6   /* rounds that do not count */

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
	struct scratch scratch;
	size_t passes;
	double ns[WAYS];
	uint64_t sum[WAYS];
	int error;
	bool pinned;
} __attribute__((__aligned__(128)));

/* Between two barriers written by racer 0 alone. */
struct race {
	tierpool *pool;
	struct slice text;
	const char *at; /* the next piece */
	double deadline;
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
	pthread_mutex_t gate; /* held until all threads are there, or one could not be made */
	bool abandoned;       /* one could not; under gate */
};

static void racer_time(struct racer *r, unsigned way)
{
	double start = now_ns();

	r->sum[way] = 0;
	for (size_t i = 0; i < r->passes && !r->error; i++)
		r->error = way_encode[way](&r->scratch, &r->sum[way]);
	r->ns[way] = now_ns() - start;
}

/* Binds the thread to a CPU of its own if there are enough. */
static bool racer_pin(const struct racer *r)
{
	unsigned nth = 0;
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof allowed, &allowed) ||
		(unsigned)CPU_COUNT(&allowed) < r->race->threads)
		return false;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && nth++ == r->number)
			return !pin(cpu);
	return false;
}

/* Racer 0: the pieces and the order of the next round, or the end. */
static void race_deal(struct race *race)
{
	static const unsigned char orders[8][WAYS] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2, 3, 0},
		{2, 1, 0, 3}, {2, 3, 0, 1}, {1, 0, 3, 2}, {3, 0, 1, 2}, {0, 3, 2, 1}};

	race->order = orders[race->rounds % 8];
	race->stop = race->error || (race->rounds > ROUNDS_FIRST && now_ns() >= race->deadline);
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

		records += control_count(&r->scratch.control) * r->passes;
		for (unsigned way = 0; way < WAYS; way++) {
			sample.ns[way] += r->ns[way];
			if (r->sum[way] != r->sum[REUSED])
				race->error = -EBADMSG;
		}
		if (r->error)
			race->error = r->error;
	}
	for (unsigned way = 0; way < WAYS && records; way++)
		sample.ns[way] /= (double)records;
	if (race->rounds++ >= ROUNDS_FIRST && records)
		tierpool_buf_append(race->samples, &sample, sizeof sample);
	if (!race->error)
		race->error = tierpool_buf_error(race->samples);
}

static void racer_round(struct racer *r)
{
	r->error = control_parse(&r->scratch.control, r->text);
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
	control_borrow(&r->scratch.control, tierpool_default());
	r->scratch.kept = tierpool_get(race->pool);
	for (;;) {
		if (r->number == 0)
			race_deal(race);
		pthread_barrier_wait(&race->barrier);
		if (race->stop)
			break;
		racer_round(r);
	}
	control_put(&r->scratch.control);
	tierpool_put(r->scratch.kept);
	free(r->scratch.reused.data);
	return NULL;
}

/* Runs the rounds until the deadline; race->samples has what came of them. Returns: 0; -errno. */
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

		*r = (struct racer){.race = race, .number = started, .scratch.pool = race->pool};
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

static void race_report_ratio(const struct sample *samples, unsigned n, double *column,
	unsigned way, unsigned base, FILE *out)
{
	for (unsigned i = 0; i < n; i++)
		column[i] = samples[i].ns[way] / samples[i].ns[base];
	fprintf(out, "   %6.3f (%.3f to %.3f)", quantile(column, n, 0.5), quantile(column, n, 0.25),
		quantile(column, n, 0.75));
}

static void race_report_way(
	const struct sample *samples, unsigned n, double *column, unsigned way, FILE *out)
{
	static const char *const names[WAYS] = {"one reused buffer a thread",
		"one tierpool_buf, reset", "tierpool_get_sized and put", "malloc, realloc, free"};

	for (unsigned i = 0; i < n; i++)
		column[i] = samples[i].ns[way];
	fprintf(out, "  %-28s %9.1f", names[way], quantile(column, n, 0.5));
	race_report_ratio(samples, n, column, way, REUSED, out);
	race_report_ratio(samples, n, column, way, MALLOCED, out);
	putc('\n', out);
}

/* Returns: 0; -ENOMEM. */
static int race_report(const struct race *race, FILE *out)
{
	const struct sample *samples = (const struct sample *)(const void *)race->samples->data;
	unsigned n = (unsigned)(race->samples->len / sizeof *samples);
	double *column = malloc(n * sizeof *column + 1);

	if (!column)
		return -ENOMEM;
	fprintf(out,
		"\nThe same encoding by itself, with scratch memory from four places in turn;\n"
		"threads: %u, %s, rounds: %u; medians (and quartiles)\n",
		race->threads, race->pinned ? "each on a CPU of its own" : "not pinned", n);
	fprintf(out, "  %-28s %9s   %-24s %s\n", "", "ns/record", "times one reused buffer",
		"times malloc");
	for (unsigned way = 0; way < WAYS && n; way++)
		race_report_way(samples, n, column, way, out);
	free(column);
	return 0;
}

int race_compare(tierpool *pool, struct slice text, unsigned threads, double seconds, bool progress,
	FILE *out)
{
	struct race race = {
		.pool = pool,
		.text = text,
		.at = text.at,
		.deadline = now_ns() + seconds * 1e9,
		.threads = threads,
		.progress = progress,
		.samples = tierpool_get(tierpool_default()),
	};
	int error = race.samples ? race_run(&race) : -ENOMEM;

	if (race.progress)
		fputs("\r\033[K", stderr);
	if (!error)
		error = race_report(&race, out);
	tierpool_put(race.samples);
	if (error == -EBADMSG)
		fputs("encode_control: the four encodings differ\n", stderr);
	else if (error)
		error_print("cannot compare", error);
	return error ? FAILED : 0;
}
