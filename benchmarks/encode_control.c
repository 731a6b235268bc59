/* SPDX-License-Identifier: MIT */
/*
 * encode_control: a Debian control file in, one JSON object a stanza and line out, in the order of
 * the input, by as many threads as there are CPUs; and at the end one screen about what the pool
 * did, and what the same encoding costs with malloc and with one reused buffer in each thread.
 *
 * The main job of the library, as a program would use it: record_encode borrows a scratch buffer
 * for each record; chunk_encode collects the records of a piece of the input in another, which the
 * writer, a different thread, writes and puts. WINDOW pieces for each thread are in flight at the
 * most, so memory is bounded however large the input (one that cannot be mapped is kept whole).
 *
 * control_parse.h says what is read, control_json.h what is written for it, control_compare.h how
 * the comparison is made. Malformed stanzas are named on stderr by line, and passed over.
 *
 * Exit status: 0; 1 when stanzas were passed over; 2 on wrong usage, errors of input or output, and
 * lack of memory. SAMPLE_FILE names the control file to read where the system has none.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>

#include "control_compare.h"
#include "control_file.h"
#include "control_options.h"
#include "control_parse.h"

#define WINDOW 4              /* pieces in flight for each thread */
#define PROGRESS_NS 100000000 /* between two progress lines */

/* A piece of the input on its way: a worker's, and from ready on the writer's. */
struct chunk {
	struct slice text;
	uint64_t pass;
	struct control control;
	tierpool_buf *json;
	size_t records;
	int error;
	bool ready;
};

struct job {
	tierpool *pool;
	struct input input;
	struct output output;
	uint64_t threads;
	uint64_t passes;   /* how often the input is encoded, at most */
	uint64_t deadline; /* no pass begins after it */

	/* Under lock. */
	const char *at; /* the next piece */
	uint64_t pass;
	uint64_t claimed, written; /* pieces; claimed - written <= window */
	bool stop;                 /* nothing more is to be claimed */
	struct chunk *slots;       /* piece n is handed over in slots[n % window] */
	size_t window;
	pthread_mutex_t lock;
	pthread_cond_t room, ready;

	/* The writer's. */
	bool progress;
	uint64_t progress_at;
	const char *line_at; /* begins line number `line` */
	uint64_t line;
	uint64_t records, faults, bytes_in, bytes_out, ns;
	int status;
};

/* One record: borrow, encode, pass it on, give back. */
static int record_encode(tierpool *pool, const struct field *fields, size_t n, tierpool_buf *out)
{
	tierpool_buf *scratch = tierpool_get_sized(pool, json_size(fields, n));
	int error;

	json_stanza(scratch, fields, n);
	error = tierpool_buf_error(scratch);
	if (!error)
		error = tierpool_buf_append(out, scratch->data, scratch->len);
	tierpool_put(scratch);
	return error;
}

/* json and control.faults are the writer's to put. */
static void chunk_encode(struct chunk *c, tierpool *pool)
{
	const struct stanza *s;

	c->json = tierpool_get(pool);
	control_borrow(&c->control, pool);
	c->error = control_parse(&c->control, c->text);
	c->records = control_count(&c->control);
	s = control_stanzas(&c->control);
	for (size_t i = 0; i < c->records && !c->error; i++)
		c->error = record_encode(
			pool, control_fields(&c->control, &s[i]), s[i].count, c->json);
	if (!c->error)
		c->error = tierpool_buf_error(c->json);
	tierpool_put(c->control.fields);
	tierpool_put(c->control.stanzas);
}

/* Under the lock: the next piece of the input; false when there is none. */
static bool job_cut(struct job *job, struct chunk *c)
{
	const struct slice *text = &job->input.text;

	if (job->at == text->end) {
		if (text->at == text->end || ++job->pass >= job->passes ||
			now_ns() >= job->deadline)
			return false;
		job->at = text->at;
	}
	*c = (struct chunk){.text = {job->at, text->end}, .pass = job->pass};
	c->text.end = job->at = control_cut(c->text, PIECE_BYTES);
	return true;
}

/* Waits for room in the window; false when there is nothing left to do. */
static bool chunk_claim(struct job *job, struct chunk *c, uint64_t *number)
{
	pthread_mutex_lock(&job->lock);
	while (!job->stop && job->claimed - job->written >= job->window)
		pthread_cond_wait(&job->room, &job->lock);
	if (!job->stop && job_cut(job, c)) {
		*number = job->claimed++;
		pthread_mutex_unlock(&job->lock);
		return true;
	}
	job->stop = true;
	pthread_cond_signal(&job->ready);
	pthread_mutex_unlock(&job->lock);
	return false;
}

static void chunk_hand_over(struct job *job, const struct chunk *c, uint64_t number)
{
	struct chunk *slot = &job->slots[number % job->window];

	pthread_mutex_lock(&job->lock);
	*slot = *c;
	slot->ready = true;
	if (number == job->written)
		pthread_cond_signal(&job->ready);
	pthread_mutex_unlock(&job->lock);
}

static void *worker_run(void *argument)
{
	struct job *job = argument;
	struct chunk chunk;
	uint64_t number;

	while (chunk_claim(job, &chunk, &number)) {
		chunk_encode(&chunk, job->pool);
		chunk_hand_over(job, &chunk, number);
	}
	return NULL;
}

/* Lines are counted only as far as there are faults. */
static void faults_print(struct job *job, const tierpool_buf *faults)
{
	const struct fault *f = (const struct fault *)(const void *)faults->data;
	size_t n = faults->len / sizeof *f;

	for (size_t i = 0; i < n; i++) {
		const char *newline;

		while ((newline = memchr(job->line_at, '\n', (size_t)(f[i].at - job->line_at)))) {
			job->line_at = newline + 1;
			job->line++;
		}
		fprintf(stderr, "%sencode_control: %s:%" PRIu64 ": %s; stanza skipped\n",
			job->progress ? "\r\033[K" : "", job->input.name, job->line, f[i].why);
	}
	job->faults += n;
}

static void progress_print(struct job *job)
{
	uint64_t now = now_ns();

	if (!job->progress || now < job->progress_at + PROGRESS_NS)
		return;
	job->progress_at = now;
	fprintf(stderr, "\rencoding: %" PRIu64 " records, %.0f MB\033[K", job->records,
		(double)job->bytes_in / 1e6);
}

static int chunk_write(struct job *job, struct chunk *c)
{
	if (c->error)
		return fail("cannot encode", c->error);
	if (c->pass == 0)
		faults_print(job, c->control.faults);
	job->records += c->records;
	job->bytes_in += (uint64_t)(c->text.end - c->text.at);
	job->bytes_out += c->json->len;
	progress_print(job);
	return output_write(&job->output, c->json);
}

/* Until all that was claimed is written; after an error it is only put back. */
static void job_write(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	for (;;) {
		struct chunk *slot = &job->slots[job->written % job->window];

		while (!slot->ready && !(job->stop && job->written == job->claimed))
			pthread_cond_wait(&job->ready, &job->lock);
		if (!slot->ready)
			break;
		pthread_mutex_unlock(&job->lock);
		if (!job->status)
			job->status = chunk_write(job, slot);
		tierpool_put(slot->json);
		tierpool_put(slot->control.faults);
		pthread_mutex_lock(&job->lock);
		slot->ready = false;
		job->written++;
		job->stop |= job->status != 0;
		pthread_cond_broadcast(&job->room);
	}
	pthread_mutex_unlock(&job->lock);
}

/* Starts the workers, writes what they make, and waits for them. */
static void job_work(struct job *job, pthread_t *workers)
{
	uint64_t started = 0;
	int error = 0;

	while (started < job->threads && !error) {
		error = pthread_create(&workers[started], NULL, worker_run, job);
		started += !error;
	}
	if (error) {
		job->status = fail("cannot start a thread", error);
		pthread_mutex_lock(&job->lock);
		job->stop = true;
		pthread_cond_broadcast(&job->room);
		pthread_mutex_unlock(&job->lock);
	}
	job_write(job);
	for (uint64_t i = 0; i < started; i++)
		pthread_join(workers[i], NULL);
}

/* 0, or 2 after a message. */
static int job_run(struct job *job)
{
	pthread_t *workers = calloc(job->threads, sizeof *workers);

	job->window = job->threads * WINDOW;
	job->slots = calloc(job->window, sizeof *job->slots);
	job->at = job->line_at = job->input.text.at;
	job->line = 1;
	job->ns = now_ns();
	if (workers && job->slots)
		job_work(job, workers);
	else
		job->status = fail("cannot start", ENOMEM);
	job->ns = now_ns() - job->ns;
	if (job->progress)
		fputs("\r\033[K", stderr);
	free(workers);
	free(job->slots);
	return job->status;
}

static int job_report(const struct job *job, FILE *out)
{
	struct tierpool_stats s = {.size = sizeof s};
	int error = tierpool_stats_read(job->pool, &s);
	double seconds = (double)job->ns / 1e9, input = (double)job->bytes_in / 1e6,
	       output = (double)job->bytes_out / 1e6;

	if (error)
		return fail("cannot read the pool's statistics", error);
	fprintf(out, "Input     %s: %.2f MB, %" PRIu64 " records; %" PRIu64 " malformed, skipped\n",
		job->input.name, (double)(job->input.text.end - job->input.text.at) / 1e6,
		job->pass ? job->records / job->pass : 0, job->faults);
	fprintf(out, "Output    %.2f MB, %s\n", output,
		job->output.name ? job->output.name : "only counted");
	fprintf(out, "Speed     %.0f records/s, %.0f MB/s in, %.0f MB/s out\n",
		(double)job->records / seconds, input / seconds, output / seconds);
	fprintf(out, "          threads: %" PRIu64 ", passes: %" PRIu64 ", seconds: %.2f\n",
		job->threads, job->pass, seconds);
	fprintf(out, "Pool      per CPU by %s, blocks from %s; borrowed now: %zu\n", s.percpu,
		s.backing, s.borrowed);
	fprintf(out, "Gets      %" PRIu64 ", %.3f %% served by an idle buffer\n", s.gets,
		s.gets ? 100 * (double)s.hits / (double)s.gets : 0);
	fprintf(out, "Growths   %" PRIu64 ", %" PRIu64 " by exchange with an idle buffer\n",
		s.grows, s.grows_pooled);
	fprintf(out, "Idle      %.2f MiB now, %.2f MiB at peak; bound %.2f MiB\n",
		(double)s.idle_bytes / 0x1p20, (double)s.idle_bytes_peak / 0x1p20,
		(double)s.retain / 0x1p20);
	return 0;
}

/* The comparison, and its part of the report. 0, or 2 after a message. */
static int job_compare(struct job *job, double seconds, FILE *out)
{
	struct race race = {
		.pool = job->pool,
		.text = job->input.text,
		.at = job->input.text.at,
		.deadline = now_ns() + (uint64_t)(seconds * 1e9),
		.threads = (unsigned)job->threads,
		.progress = job->progress,
		.samples = tierpool_get(tierpool_default()),
	};
	int error = race.samples ? race_run(&race) : -ENOMEM;

	if (race.progress)
		fputs("\r\033[K", stderr);
	if (!error)
		error = race_report(&race, out);
	tierpool_put(race.samples);
	if (error == -EBADMSG)
		fputs("encode_control: the three encodings differ\n", stderr);
	else if (error)
		fail("cannot compare", error);
	return error ? 2 : 0;
}

static uint64_t cpus_usable(void)
{
	cpu_set_t allowed;
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (!sched_getaffinity(0, sizeof allowed, &allowed))
		return (uint64_t)CPU_COUNT(&allowed);
	return online < 1 ? 1 : online > THREADS_MOST ? THREADS_MOST : (uint64_t)online;
}

/* The job and the comparison, with a pool and an input to work on. The exit status. */
static int job_do(struct job *job, const struct options *o)
{
	FILE *out = job->output.fd == STDOUT_FILENO ? stderr : stdout;
	double seconds = o->seconds >= 0 ? o->seconds : o->output ? 0 : DEMO_COMPARE;
	int status;

	job->threads = o->threads ? o->threads : cpus_usable();
	job->passes = o->repeat ? o->repeat : o->output ? 1 : UINT64_MAX;
	job->deadline = o->repeat ? UINT64_MAX : now_ns() + (uint64_t)(DEMO_SECONDS * 1e9);
	job->progress = isatty(STDERR_FILENO);
	status = job_run(job);
	if (!status)
		status = output_close(&job->output);
	if (!status)
		status = job_report(job, out);
	if (!status && seconds > 0 && job->records)
		status = job_compare(job, seconds, out);
	if (!status && (fflush(out) || ferror(out)))
		status = fail("cannot write the report", errno);
	return status ? status : job->faults > 0;
}

int main(int argc, char **argv)
{
	struct options options = {.seconds = -1};
	struct tierpool_options pool_options = TIERPOOL_OPTIONS_INIT;
	struct job job = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.room = PTHREAD_COND_INITIALIZER,
		.ready = PTHREAD_COND_INITIALIZER};
	int status = options_read(&options, argc, argv), error;

	if (status)
		return status < 0 ? 0 : status;
	signal(SIGPIPE, SIG_IGN);
	pool_options.name = "encode_control";
	error = tierpool_create(&job.pool, &pool_options);
	if (error)
		return fail("cannot create the pool", error);
	status = input_open(&job.input, options.input);
	if (!status)
		status = output_open(&job.output, options.output, &job.input);
	if (!status)
		status = job_do(&job, &options);
	input_close(&job.input);
	if (tierpool_destroy(job.pool)) {
		fputs("encode_control: buffers were not put back\n", stderr);
		status = 2;
	}
	return status;
}
