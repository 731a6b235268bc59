/* SPDX-License-Identifier: MIT */
/*
 * The job: the input cut into pieces, which workers encode and the caller writes in their order.
 *
 * record_encode borrows a scratch buffer for each record: of a size that its place in the source
 * learns, or, to compare, of one that is guessed (ways.h). chunk_encode collects the records of a
 * piece in another buffer, which the writer, a different thread, writes and puts. At most WINDOW
 * pieces for each thread are in flight, so memory is bounded however large the input is (an input
 * that cannot be mapped is kept whole).
 */
#ifndef JOB_H
#define JOB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file.h"

struct job {
	tierpool *pool;
	struct input input;
	struct output output;
	unsigned threads;
	bool guess;      /* the size of each scratch buffer */
	double passes;   /* how often the input is encoded, at most */
	double deadline; /* no pass begins after it; by now_ns */
	bool progress;   /* print to stderr, a terminal, how far it is */

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
	double progress_at;
	const char *line_at; /* begins line number `line` */
	uint64_t line;
	uint64_t records, faults, bytes_in, bytes_out;
	double ns;
	int status;
};

/*
 * Encodes the input, and writes what comes of it.
 * Before:  pool to progress are set; lock, room and ready are initialised; all else is 0.
 * Returns: 0; 2 after a message.
 */
int job_run(struct job *job);

#endif
