/* SPDX-License-Identifier: MIT */
/*
 * For tests: a child process under ptrace, which is stepped through, or held at one instruction of
 * a restartable sequence while another of its threads goes on. x86-64 only.
 *
 * The sequences are those of the whole program, found as debuggers find them. The child is a fork,
 * so its addresses are ours. Criterion does not know it: it asserts nothing.
 */
#ifndef TRACE_CHILD_H
#define TRACE_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "percpu/cpu.h"
#include "percpu/rseq.h"

#define TRACE_SEQUENCES_MOST 64

/* A descriptor, as in linux/rseq.h. Its instructions are those from start, length bytes of them. */
struct trace_sequence {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

unsigned trace_sequences(void);
const struct trace_sequence *trace_sequence(unsigned i);

/* Where a child can be held: at an instruction of a sequence, or right behind its commit. */
struct trace_place {
	unsigned sequence; /* which one of all */
	uint64_t ip;
};

/* How far it is into its sequence, in bytes. */
uint64_t trace_offset(const struct trace_place *place);
bool trace_is_inside(const struct trace_place *place);

/*
 * Makes a child that stands at a mark and then runs what, unless there is a child already. False:
 * tracing is refused.
 */
bool trace_begin(void (*what)(void));

/* In the child: a mark, where it stops until the parent lets it go on. */
void trace_mark(void);

/* Lets the child run to its next mark. False: it has ended instead. */
bool trace_to_mark(void);

/*
 * Has the kernel know nothing of the sequence that the child is stopped in: it goes on there. The
 * kernel looks only when it returns to the child, so it is not too late.
 */
void trace_sequence_forget(void);

typedef void trace_seen(const struct trace_place *place);

/* Steps to the next mark, at most most times. Calls seen inside sequences. Returns: the steps. */
unsigned trace_step_through(unsigned most, trace_seen *seen);

/*
 * Runs to the next mark, through each sequence as if nothing there could abort. Calls seen at each
 * place where the child could be held.
 */
void trace_walk(trace_seen *seen);

/*
 * Lets the child run until it comes to a place, and leaves it stopped there. Inside a sequence it
 * is registered: when it goes on the kernel aborts it, as any thread that was off its CPU. False:
 * it came to the next mark first.
 */
bool trace_hold(const struct trace_place *place);

#endif
