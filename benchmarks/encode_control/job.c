/* SPDX-License-Identifier: MIT */
/*
 * The workers and the writer of the job: job.h.
 */
#include "job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/measure.h"
#include "ways.h"

#define WINDOW 4          /* pieces in flight for each thread */
#define PROGRESS_NS 100e6 /* between two progress lines */

/* A piece of the input on its way: a worker's until it is ready, then the writer's. */
struct chunk {
	struct slice text;
	uint64_t pass;
	struct control control;
	tierpool_buf *json;
	size_t records;
	int error;
	bool ready;
};

/* One record: borrow, encode, append to out, put. */
static int record_encode(
	const struct job *job, const struct field *fields, size_t n, tierpool_buf *out)
{
	tierpool_buf *scratch = job->guess ? tierpool_get_sized(job->pool, json_size(fields, n))
					   : tierpool_get(job->pool);
	int error;

	json_stanza(scratch, fields, n);
	error = tierpool_buf_error(scratch);
	if (!error)
		error = tierpool_buf_append(out, scratch->data, scratch->len);
	tierpool_put(scratch);
	return error;
}

/* json and control.faults are the writer's to put. */
static void chunk_encode(struct chunk *c, const struct job *job)
{
	const struct stanza *s;

	c->json = tierpool_get(job->pool);
	control_borrow(&c->control, job->pool);
	c->error = control_parse(&c->control, c->text);
	c->records = control_count(&c->control);
	s = control_stanzas(&c->control);
	for (size_t i = 0; i < c->records && !c->error; i++)
		c->error =
			record_encode(job, control_fields(&c->control, &s[i]), s[i].count, c->json);
	if (!c->error)
		c->error = tierpool_buf_error(c->json);
	tierpool_put(c->control.fields);
	tierpool_put(c->control.stanzas);
}

/* Before: the lock is held. Returns: whether there was a next piece of the input. */
static bool job_cut(struct job *job, struct chunk *c)
{
	const struct slice *text = &job->input.text;

	if (job->at == text->end) {
		if (text->at == text->end || (double)++job->pass >= job->passes ||
			now_ns() >= job->deadline)
			return false;
		job->at = text->at;
	}
	*c = (struct chunk){.text = {job->at, text->end}, .pass = job->pass};
	c->text.end = job->at = control_cut(c->text, PIECE_BYTES);
	return true;
}

/* Blocks: until there is room in the window. Returns: whether there was a piece to claim. */
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
		chunk_encode(&chunk, job);
		chunk_hand_over(job, &chunk, number);
	}
	return NULL;
}

/* It counts lines only up to the last fault. */
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
	double now = now_ns();

	if (!job->progress || now < job->progress_at + PROGRESS_NS)
		return;
	job->progress_at = now;
	fprintf(stderr, "\rencoding: %" PRIu64 " records, %.0f MB\033[K", job->records,
		(double)job->bytes_in / 1e6);
}

static int chunk_write(struct job *job, struct chunk *c)
{
	if (c->error)
		return error_print("cannot encode", c->error);
	if (c->pass == 0)
		faults_print(job, c->control.faults);
	job->records += c->records;
	job->bytes_in += (uint64_t)(c->text.end - c->text.at);
	job->bytes_out += c->json->len;
	progress_print(job);
	return output_write(&job->output, c->json);
}

/* Writes pieces until all that were claimed are written; after an error it only puts them. */
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
	unsigned started = 0;
	int error = 0;

	while (started < job->threads && !error) {
		error = pthread_create(&workers[started], NULL, worker_run, job);
		started += !error;
	}
	if (error) {
		job->status = error_print("cannot start a thread", error);
		pthread_mutex_lock(&job->lock);
		job->stop = true;
		pthread_cond_broadcast(&job->room);
		pthread_mutex_unlock(&job->lock);
	}
	job_write(job);
	for (unsigned i = 0; i < started; i++)
		pthread_join(workers[i], NULL);
}

int job_run(struct job *job)
{
	pthread_t *workers = calloc(job->threads, sizeof *workers);

	job->window = (size_t)job->threads * WINDOW;
	job->slots = calloc(job->window, sizeof *job->slots);
	job->at = job->line_at = job->input.text.at;
	job->line = 1;
	job->ns = now_ns();
	if (workers && job->slots)
		job_work(job, workers);
	else
		job->status = error_print("cannot start", ENOMEM);
	job->ns = now_ns() - job->ns;
	if (job->progress)
		fputs("\r\033[K", stderr);
	free(workers);
	free(job->slots);
	return job->status;
}
