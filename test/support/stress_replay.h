/* SPDX-License-Identifier: MIT */
/*
 * Whether a pool of buffers of one size missed, and freed, only where its bound made it. What
 * threads did is written down call by call, and replayed in its order when they are at rest.
 *
 * Each call is open from a ticket that was taken before it to one that was taken when it was
 * decided: for a get that missed and a put that freed in the backing, which is called for it; else
 * after the call. What it did to idle buffers it did while it was open. So at every instant, if n
 * were idle at first,
 *
 *     low  = n + puts ended that kept - gets begun that hit
 *     high = n + puts begun that kept - gets ended that hit
 *
 * at least low buffers lie in the pool, and at most high have a part in the bound. A get may miss
 * only if low is 0, and a put may free only if high is all that the bound allows, at some instant
 * while it is open. A call that is open may be half done: a put may have its part in the bound and
 * not have laid down its buffer yet, a get may have its buffer and not have given up its part.
 *
 * Also counts how often a pool would have missed if the same calls came one by one, each get at its
 * first ticket and each put at its last.
 */
#ifndef STRESS_REPLAY_H
#define STRESS_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct replay_call {
	uint64_t first, last; /* tickets */
	bool put;
	bool backing;   /* a get that missed, a put that freed */
	bool explained; /* by the replay */
};

/* What one thread did. */
struct replay_log {
	struct replay_call *call;
	size_t count, most;
};

struct replay {
	uint64_t gets, misses, frees;
	uint64_t misses_alike;                          /* if the calls came one by one */
	uint64_t unexplained_misses, unexplained_frees; /* that the bound does not explain */
};

/* Around each call. False: the log is full. */
bool replay_begin(struct replay_log *log, bool put);
void replay_end(void);

/* From the backing: the call that this thread is inside of, if it is of this kind, is decided. */
void replay_decided(bool put);

/*
 * Replays the calls of several logs in the order of their tickets. bound: buffers that may be idle,
 * and are idle at first. False: out of memory.
 */
bool replay(struct replay_log *log, unsigned logs, size_t bound, struct replay *sum);

#endif
