/* SPDX-License-Identifier: MIT */
/*
 * For tests of ticks by themselves: CPUs of the test's own making behind the one that it stays on,
 * which have slabs and work when they are told to, whatever the machine has. What a tick does to a
 * stack is the ager's, and this one only counts.
 */
#ifndef DECAY_FIXTURE_H
#define DECAY_FIXTURE_H

#include <criterion/criterion.h>
#include <limits.h>

#include "cpus.h"
#include "idle/decay.h"

#define OTHERS 12 /* at the most, behind the own CPU */
#define CPUS 1024
#define STACKS 2
#define WORDS 16
#define FAR 1000000   /* pops to the next strike */
#define BUSILY 10000u /* pops and as many pushes, hard work */

static const uint16_t at[STACKS] = {0, WORDS / 2};
static uint64_t slab[OTHERS + 1][WORDS] __attribute__((aligned(TP_LINE)));
static struct tp_cpus cpus;
static char memory[(CPUS / 8 + 1 + 2 * CPUS) * TP_LINE] __attribute__((aligned(TP_LINE)));
static struct tp_decay_cpu decay_memory[2 * CPUS];
static struct tp_decay decay;
static unsigned own;

/* How often each CPU was aged, the own one first, and by how many ticks in all. */
static struct {
	unsigned pieces, ticks;
} aged[OTHERS + 1];
static unsigned pieces_more; /* that each CPU takes in a tick, behind the first */

static inline bool age(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	(void)progress;
	unsigned i = (unsigned)(cpu - cpus.cpu) - own;

	cr_assert_eq(context, &decay);
	cr_assert(tp_cpu_is_stopped(cpu), "aged a CPU that may pop and push meanwhile");
	aged[i].pieces++;
	aged[i].ticks += ticks;
	return aged[i].pieces % (pieces_more + 1) == 0;
}

/* Pieces that CPUs other than the own one were aged by. */
static inline unsigned others_aged(void)
{
	unsigned n = 0;

	for (unsigned i = 1; i <= OTHERS; i++)
		n += aged[i].pieces;
	return n;
}

static const struct tp_ager ager = {.age = age, .context = &decay};

static inline bool some(void)
{
	return tp_decay_some(&decay, &ager);
}

static inline struct tp_cpu *cpu_of(unsigned i)
{
	return &cpus.cpu[own + i];
}

static inline struct tp_decay_cpu *state_of(unsigned i)
{
	return &decay.per_cpu[own + i];
}

/* Ticks that have begun and were not done there. */
static inline unsigned owed(unsigned i)
{
	return (uint32_t)decay.ticks - state_of(i)->aged;
}

/* As what uses it begins a tick, with nothing to turn. */
static inline void begin(bool whole)
{
	tp_decay_turn(&decay);
	tp_decay_begin(&decay, whole ? TP_TICK_ASKED : TP_TICK_PIECES);
}

static inline bool begin_due(void)
{
	bool due = tp_decay_claim(&decay);

	if (due)
		begin(false);
	return due;
}

/* One buffer and room for two, in each of its stacks. */
static inline void fill(unsigned i)
{
	for (unsigned stack = 0; stack < STACKS; stack++)
		slab[i][at[stack]] = TP_WORD_DEPTH + 2 * TP_WORD_ROOM + FAR * TP_WORD_COUNTDOWN;
	tp_add_relaxed(&cpu_of(i)->armed, (uint64_t)STACKS * FAR);
}

static inline void join(unsigned i)
{
	struct tp_cpu *cpu = tp_cpus_claim(&cpus, own + i);

	cr_assert(cpu);
	tp_decay_cpu_joins(&decay, cpu);
	tp_cpu_install(cpu, slab[i]);
}

/*
 * What lies in each of its stacks from now on, and room: it came and went otherwise than by pops.
 */
static inline void hold(unsigned i, unsigned depth, unsigned room)
{
	for (unsigned stack = 0; stack < STACKS; stack++) {
		uint64_t *word = &slab[i][at[stack]];

		cpu_of(i)->moved_in += depth;
		cpu_of(i)->moved_out += tp_word_depth(*word);
		*word = (*word & -TP_WORD_COUNTDOWN) | depth * TP_WORD_DEPTH | room * TP_WORD_ROOM;
	}
}

/* As so many pops do on a CPU, each with the push of what it gave. */
static inline void work(unsigned i, unsigned pairs)
{
	slab[i][at[0]] -= pairs * TP_WORD_COUNTDOWN;
}

/*
 * The own CPU, on which the test stays, and so many others behind it; in_use of all these have
 * slabs, beginning with the own one.
 */
static inline void start_with(unsigned others, unsigned in_use, unsigned ms)
{
	pin(0);
	own = tp_cpu_current(CPUS);
	if (own != tp_cpu_id() || tp_cpus_bytes(own + 1 + OTHERS) > sizeof memory ||
		tp_decay_bytes(own + 1 + OTHERS) > sizeof decay_memory)
		skip("this CPU is beyond the table of the test");
	cr_assert_eq(tp_cpus_init(&cpus, memory, own + 1 + others), 0);
	if (tp_cpu_rseq && others && tp_cpu_fence(0))
		skip("other CPUs cannot be stopped, since fences are refused");
	tp_decay_init(&decay, decay_memory, &cpus, at, STACKS, ms);
	for (unsigned i = 0; i < in_use; i++) {
		fill(i);
		join(i);
	}
}

static inline void start(unsigned others, unsigned ms)
{
	start_with(others, others + 1, ms);
}

#endif
