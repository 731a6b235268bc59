/* SPDX-License-Identifier: MIT */
/*
 * For test_traced.c: what the traced child does. It plays a get, a put, a growth, a tick or a trim on a pool
 * of its own, mostly against a rival, another thread on the same CPU; and it looks at its pool
 * afterwards. It fails by leaving its reason in the scene, which is memory shared with the parent.
 */
#ifndef TRACE_PLAYS_H
#define TRACE_PLAYS_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "percpu/rseq.h"

struct play {
	const char *name;
	size_t size;
	uint64_t calls; /* gets and puts: which may go the slow way */
	void (*prepare)(void), (*act)(void);
	bool stops; /* it stops CPUs */
};
extern const struct play plays[];
extern const unsigned play_count;

typedef void rival(void);
extern rival *const rivals[];
extern const unsigned rival_count;
void rival_trims(void); /* one of them */

/* One run of a child. The parent fills in the first three. */
extern struct scene {
	size_t size; /* that is borrowed */
	void (*prepare)(void), (*act)(void);
	rival *rival;      /* NULL: none */
	sem_t go, gone;    /* the rival may act; has acted */
	const char *fault; /* a literal, which has one address in both */
	uint64_t slow;     /* calls that went the slow way in act */
} * scene;

/* Two faults of the many. */
extern const char play_doubled[], play_lost[];

/*
 * The child: run after run, for ever. Stands at a mark before each, and then before and after what
 * it does in act.
 */
void play_run(void);

/* In the parent: lets the rival act, to its end. */
void rival_acts(void);

#endif
