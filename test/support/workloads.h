/* SPDX-License-Identifier: MIT */
/*
 * Workloads of two threads that take turns, as a list of calls in one order. The same seed gives the same
 * list.
 */
#ifndef WORKLOADS_H
#define WORKLOADS_H

#include <stddef.h>
#include <stdint.h>

#define SLOTS 1000 /* buffers that are out at once, at most */

enum op_kind { OP_GET, OP_GROW, OP_PUT };

struct op {
	enum op_kind kind;
	unsigned thread, slot; /* which thread; of which buffer */
	size_t size;           /* of a get or growth */
};

struct workload {
	struct op *ops;
	unsigned count, gets;
	/* While it is made. */
	unsigned gets_wanted, room, turn, thread;
	uint64_t random;
	unsigned slots[SLOTS], out; /* the slots in use come first */
	size_t sizes[SLOTS];        /* by slot */
	unsigned owners[SLOTS];     /* who borrowed it */
};

/* Empty. seed: not 0. */
struct workload *workload_new(unsigned gets, uint64_t seed);
void workload_free(struct workload *w);

/* Each fills one. steady: about as many are out all the time. */
void workload_steady(struct workload *w);

/* In bursts 400 more are out for a while; some buffers grow. */
void workload_bursty(struct workload *w);

/* Small messages, then mostly large ones. */
void workload_two_phases(struct workload *w);

#endif
