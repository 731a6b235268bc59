/* SPDX-License-Identifier: MIT */
/*
 * For tests of the per-CPU stacks by themselves: two of them, on the one CPU that the test stays
 * on.
 */
#ifndef STACK_FIXTURE_H
#define STACK_FIXTURE_H

#include <criterion/criterion.h>
#include <stdint.h>

#include "cpus.h"
#include "percpu/stack.h"

#define SLOTS 31 /* of each stack here: a stack and its word make four lines */
#define WORDS 72
#define FIRST 0 /* the numbers of the two stacks */
#define SECOND 1
#define FIRST_AT 8 /* their words in the slab */
#define SECOND_AT 40
#define AGED_WORDS ((TP_AGES_OFFSET + TP_AGES_SLOTS + 1) / 8) /* of a stack with ages */

extern const uint16_t own_at[2]; /* FIRST_AT and SECOND_AT */

extern struct own {
	uint64_t slabs[2][WORDS]
		__attribute__((aligned(TP_LINE))); /* own_install brings the first */
	struct tp_cpus cpus;
	unsigned cpu_id; /* that each test stays on */
	int item[SLOTS];
} own;

/* Slab pointers for this many CPUs, none of which has a slab, and counters. */
void cpus_setup(unsigned cpu_count);

/* On one CPU that stays the same, with slab pointers up to it. The init of a suite. */
void own_setup(void);
void own_install(void);

/* Stops the CPU. */
struct tp_cpu *own_stop(void);
void own_start(void);
void own_room_set(unsigned stack, unsigned room);

uint64_t own_word(unsigned depth, unsigned room, int64_t countdown);

void *own_pop(unsigned stack);
bool own_push(unsigned stack, void *pointer);

/* A change of the first stack to a word that is given; NULL: to the word it has. */
uint64_t own_decide(uint64_t word, const void *wanted);
struct tp_word_change own_change(unsigned depth, unsigned room, int64_t countdown, void **items);

void expect_word(unsigned stack, unsigned depth, unsigned room, int64_t countdown);
/* Of both stacks together. */
struct tp_stack_counts own_counts(void);
void expect_counts(int64_t pops, int64_t pushes);

/* Random gaps of a mean of 100: each that is drawn, and what must be true of all 2,000 of them. */
#define GAP_MEAN 100
#define GAP_ROUNDS 2000
struct gaps {
	unsigned seen[2 * GAP_MEAN], distinct;
	int64_t sum;
};
void gap_drawn(struct gaps *gaps, unsigned gap);
void expect_uniform(const struct gaps *gaps);

#endif
