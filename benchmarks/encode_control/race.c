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
	tierpool *pool[WAYS];                     /* of LEARNED and GUESSED */
	uint64_t grows_before[WAYS], grows[WAYS]; /* of these pools, before and after the rounds */
	uint64_t records;                         /* of each way, in all rounds */
	struct slice text;
	const char *at; /* the next piece */
	double deadline;
	unsigned threads;
	size_t rounds;
	bool stop;
	bool progress;
	bool pinned;
	int error;
	unsigned char order[WAYS];
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

/*
 * Racer 0: the order of the next round. In ten of them each way has each place twice, and comes
 * twice after each other one: the first of these two from the first order, moved on by 0 to 4; the
 * second from the same backwards.
 */
static void race_order(struct race *race)
{
	static const unsigned char first[WAYS] = {0, 1, 4, 2, 3};
	unsigned moved = (unsigned)(race->rounds / 2 % WAYS);

	for (unsigned i = 0; i < WAYS; i++)
		race->order[race->rounds % 2 ? WAYS - 1 - i : i] =
			(unsigned char)((first[i] + moved) % WAYS);
}

/* Racer 0: the pieces and the order of the next round, or the end. */
static void race_deal(struct race *race)
{
	race_order(race);
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
	uint64_t records = 0;

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
	race->records += records;
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
	r->scratch.kept = tierpool_get(tierpool_default());
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

		*r = (struct racer){.race = race,
			.number = started,
			.scratch = {
				.learned = race->pool[LEARNED], .guessed = race->pool[GUESSED]}};
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

static void race_report_way(const struct race *race, const struct sample *samples, unsigned n,
	double *column, unsigned way, FILE *out)
{
	static const char *const names[WAYS] = {"one reused buffer a thread",
		"one tierpool_buf, reset", "tierpool_get and put", "tierpool_get_sized and put",
		"malloc, realloc, free"};

	for (unsigned i = 0; i < n; i++)
		column[i] = samples[i].ns[way];
	fprintf(out, "  %-28s %9.1f", names[way], quantile(column, n, 0.5));
	race_report_ratio(samples, n, column, way, REUSED, out);
	race_report_ratio(samples, n, column, way, MALLOCED, out);
	if (race->pool[way])
		fprintf(out, "   %.4f",
			(double)(race->grows[way] - race->grows_before[way]) /
				(double)race->records);
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
		"\nThe same encoding by itself, with scratch memory from five places in turn;\n"
		"threads: %u, %s, rounds: %u; medians (and quartiles)\n",
		race->threads, race->pinned ? "each on a CPU of its own" : "not pinned", n);
	fprintf(out, "  %-28s %9s   %-23s   %-23s   %s\n", "", "ns/record",
		"times one reused buffer", "times malloc", "growths/record");
	for (unsigned way = 0; way < WAYS && n; way++)
		race_report_way(race, samples, n, column, way, out);
	if (n) {
		fprintf(out, "  %-38s", "tierpool_get, times tierpool_get_sized");
		race_report_ratio(samples, n, column, LEARNED, GUESSED, out);
		putc('\n', out);
	}
	free(column);
	return 0;
}

/* Reads how many growths each pool has had. Returns: 0; -errno. */
static int race_grows_read(const struct race *race, uint64_t *grows)
{
	int error = 0;

	for (unsigned way = 0; way < WAYS && !error; way++) {
		struct tierpool_stats s = {.size = sizeof s};

		if (!race->pool[way])
			continue;
		error = tierpool_stats_read(race->pool[way], &s);
		grows[way] = s.grows;
	}
	return error;
}

/* The same as race_run, and what else the report wants. Makes the pool of the way that guesses. */
static int race_run_counted(struct race *race)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	int error;

	options.name = "encode_control, guessed";
	error = tierpool_create(&race->pool[GUESSED], &options);
	if (!error)
		error = race_grows_read(race, race->grows_before);
	if (!error)
		error = race_run(race);
	return error ? error : race_grows_read(race, race->grows);
}

int race_compare(tierpool *pool, struct slice text, unsigned threads, double seconds, bool progress,
	FILE *out)
{
	struct race race = {
		.pool[LEARNED] = pool,
		.text = text,
		.at = text.at,
		.deadline = now_ns() + seconds * 1e9,
		.threads = threads,
		.progress = progress,
		.samples = tierpool_get(tierpool_default()),
	};
	int error = race.samples ? race_run_counted(&race) : -ENOMEM;

	if (race.progress)
		fputs("\r\033[K", stderr);
	if (!error)
		error = race_report(&race, out);
	tierpool_put(race.samples);
	tierpool_destroy(race.pool[GUESSED]);
	if (error == -EBADMSG)
		fputs("encode_control: the five encodings differ\n", stderr);
	else if (error)
		error_print("cannot compare", error);
	return error ? FAILED : 0;
}
