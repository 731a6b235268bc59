/* SPDX-License-Identifier: MIT */
/*
 * For stress_stack.c: each call of percpu/stack.h as one of its threads makes it, with what it
 * asserts: what the caller gets is nobody's, what it gives was its own, the words of a stopped CPU
 * are what the stopper left there, and ages there are what they were set to.
 */
#ifndef STRESS_CALLS_H
#define STRESS_CALLS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "percpu/stack.h"
#include "stress_items.h"

#define TIERS 4
#define WORDS 72 /* of a stack: its word, place for TP_AGES_SLOTS, the ages */
#define SLOTS 31 /* that are used */
#define SLAB_BYTES (TIERS * WORDS * sizeof(uint64_t))

/*
 * A thread, what it holds, and what it has done in this round; its own, but for pops and pushes,
 * which the watcher reads. They are raised before a call and lowered after one that did nothing:
 * so they are the truth or above it.
 */
struct thread {
	struct hand hand;
	uint64_t random;
	uint64_t pops, pushes, changes, stops, migrations;
	int64_t leased[TIERS]; /* brought to the stacks, less what was taken from them */
	bool in_line;          /* pops and pushes by the inline functions, in rseq mode */
	pthread_t id;
} __attribute__((aligned(2 * TP_LINE)));

extern bool aged;                /* the stacks of this round have ages */
extern const uint16_t at[TIERS]; /* of each stack in a slab */
extern struct tp_cpus cpus;
extern struct tp_fast fast;
extern char *base; /* what the inline functions are given; the memory of cpus lies behind it */

/* A worker, on its CPU. pop and push: whether there was something, or room. */
bool call_pop(struct thread *me, unsigned tier);
bool call_push(struct thread *me, unsigned tier);

/* Moves a random batch in or out, and changes the room. */
void call_change(struct thread *me, unsigned tier);

/* Brings a slab, if the CPU has none. Mostly not at once, so that the stopper is at work by then. */
void call_slab_bring(struct thread *me);

/* A stopper: rearranges what lies on one stopped CPU, NULL: nothing; or stops all, for that. */
void call_stop_one(struct thread *me, struct tp_cpu *cpu);
void call_stop_all(struct thread *me);

#endif
