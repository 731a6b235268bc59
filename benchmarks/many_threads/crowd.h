/* SPDX-License-Identifier: MIT */
/*
 * The crowd: threads on all CPUs that borrow, work and put, each in a loop of its own. One crowd is
 * one process, as how CPUs are kept apart is settled once in a process.
 *
 * An operation borrows a buffer of 64 bytes to 16 KiB, writes its first bytes and one byte of each
 * page, computes a little, and puts it. One operation in BURST_EVERY borrows BURST buffers at once.
 */
#ifndef CROWD_H
#define CROWD_H

#include <stdbool.h>
#include <stdint.h>

#define BURST 16
#define BURST_EVERY 64

/* Where buffers come from. NOBODY: a buffer of the thread's own, always the same: the work alone. */
enum source { POOL, LIST, NOBODY };

/* A list a thread: at most this many blocks of a size, from malloc. */
#define LIST_MOST 64

/* What is reported, of all threads together. */
struct crowd_result {
	double cpu_ns; /* CPU time an operation */
	uint64_t operations;
	double resident;       /* bytes more than before the first operation */
	double idle, borrowed; /* bytes: at the end; if counted, the most at once */
	uint64_t idle_buffers, borrowed_buffers; /* the same */
	uint64_t borrowed_sizes; /* the most of each size at once, which no two need be together */
};

/*
 * Runs a crowd for so many seconds after all its threads did some operations. counted: what is
 * borrowed is counted, in words that all threads share: then its CPU time is not what is asked for.
 * If it fails, the process ends after a message.
 */
void crowd_run(enum source source, unsigned threads, double seconds, bool counted,
	struct crowd_result *out);

#endif
