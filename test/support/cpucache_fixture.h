/* SPDX-License-Identifier: MIT */
/*
 * For tests of the per-CPU stacks by themselves: two of them, on the one CPU that the test stays
 * on.
 */
#ifndef CPUCACHE_FIXTURE_H
#define CPUCACHE_FIXTURE_H

#include <criterion/criterion.h>
#include <stdint.h>

#include "cpus.h"
#include "percpu/stack.h"
#include "slab_install.h"

#define SLOTS 31 /* of each stack here: two of them and their words make eight lines */
#define WORDS 64
#define CPUS 1024
#define FIRST 0 /* the words of the two stacks, in the slab */
#define SECOND 32

static const uint16_t stacks[] = {FIRST, SECOND};
static uint64_t slabs[2][WORDS] __attribute__((aligned(TP_LINE)));
static struct tp_cpus cpus;
static char memory[(CPUS / 8 + 1 + 2 * CPUS) * TP_LINE] __attribute__((aligned(TP_LINE)));
static unsigned own; /* the CPU that each test stays on */
static int item[SLOTS];

/* On one CPU that stays the same, with doors for it and all before it. */
static inline void setup(void)
{
	stay_on_this_cpu();
	own = tp_cpu_current(CPUS);
	if (own != tp_cpu_id())
		skip("this CPU is beyond the table of the test");
	cr_assert_leq(tp_cpus_bytes(own + 1), sizeof memory);
	cr_assert_eq(tp_cpus_init(&cpus, memory, own + 1), 0);
}

static inline void install(void)
{
	cr_assert_null(tp_cpus_stop(&cpus, own));
	cr_assert_null(tp_cpus_stop_own(&cpus));
	cr_assert(slab_install(&cpus, own, slabs[0]));
}

/* The stopped CPU's stack. */
static inline uint64_t *stop(unsigned at)
{
	struct tp_cpu *cpu = tp_cpus_stop(&cpus, own);

	cr_assert_eq(cpu, &cpus.cpu[own]);
	return cpu->slab + at;
}

static inline void publish(void)
{
	tp_cpu_start(&cpus.cpu[own]);
}

static inline void room_set(unsigned at, unsigned room)
{
	tp_stack_room_set(stop(at), room);
	publish();
}

static inline void *pop(unsigned at)
{
	uint64_t after;

	return tp_stack_pop(&cpus, at, &after);
}

static inline void expect_word(unsigned at, unsigned depth, unsigned room, int64_t countdown)
{
	uint64_t word = tp_stack_word(&cpus, own, at);

	cr_assert_eq(tp_word_depth(word), depth, "depth %u", tp_word_depth(word));
	cr_assert_eq(tp_word_room(word), room, "room %u", tp_word_room(word));
	cr_assert_eq(tp_word_countdown(word), countdown);
}

static inline void expect_counts(int64_t pops, int64_t pushes)
{
	struct tp_stack_counts counts = tp_stack_count(&cpus, stacks, 2);

	cr_assert_eq(counts.pops, pops, "%lld pops", (long long)counts.pops);
	cr_assert_eq(counts.pushes, pushes, "%lld pushes", (long long)counts.pushes);
}

/* A change of the caller's CPU, to a word that is given. */
static inline uint64_t to_decide(uint64_t word, const void *wanted)
{
	return wanted ? *(const uint64_t *)wanted : word;
}

static inline struct tp_word_change change(
	unsigned depth, unsigned room, int64_t countdown, void **items)
{
	uint64_t wanted = depth * TP_WORD_DEPTH + room * TP_WORD_ROOM +
			  (uint64_t)countdown * TP_WORD_COUNTDOWN;

	return tp_stack_change(&cpus, FIRST, to_decide, &wanted, items);
}

#endif
