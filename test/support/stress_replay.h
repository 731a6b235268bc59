/* SPDX-License-Identifier: MIT */
/*
 * Whether a pool of buffers of one size missed, and freed, only where its bound made it. What
 * threads did is written down call by call, and replayed in its order when they are at rest.
 *
 * Each call is open from a ticket that was taken before it to one that was taken when it was
 * decided: for a get that missed and a put that freed in the backing, which is called for it; else
 * after the call. Whatever it did to what is idle it did while it was open. So at every instant,
 * where n were idle at first,
 *
 *     low  = n + puts ended that kept - gets begun that hit
 *     high = n + puts begun that kept - gets ended that hit
 *
 * no fewer lie in the pool than low, and no more have a part in the bound than high. A get may miss
 * only if low is 0 at some instant while it is open, and a put free only if high is then all that
 * the bound allows. Calls that overlap can be excused by nothing more, and by nothing less: a put
 * may have its part in the bound and not yet have laid down its buffer, a get have its buffer and
 * not yet have given up its part, and either for as long as it is open.
 *
 * To compare with: how often a pool would have missed to which the same calls come one by one, each
 * get at its first ticket and each put at its last.
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
	uint64_t misses_alike;          /* of a pool to which calls come one by one */
	uint64_t odd_misses, odd_frees; /* which the bound did not make */
};

/* Around each call. False: the log is full. */
bool replay_begin(struct replay_log *log, bool put);
void replay_end(void);

/* From the backing: the call that this thread is inside of, if it is of this kind, is decided. */
void replay_decided(bool put);

/*
 * All calls of so many logs, in the order of their tickets, where bound buffers may be idle, and
 * were at first. False: out of memory.
 */
bool replay(struct replay_log *log, unsigned logs, size_t bound, struct replay *sum);

#endif
