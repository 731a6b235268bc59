/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU stacks of pointers: one stack for each tier and CPU, all stacks of a CPU in one slab.
 * Owns their words (percpu/word.h), and pop, push and change in both modes. Who owns a slab at the
 * moment is in stop.h. Knows neither buffers nor bytes.
 *
 * One store of the word commits the stack, its lease (depth + room) and the count of pops together:
 * a reader never sees one without the others, and an abort leaves all three true. If a pop leaves
 * the countdown below 0, the countdown has expired, and the caller arms it again.
 *
 * A stack may have ages: a byte for each of its TP_AGES_SLOTS slots, behind these. The push that
 * fills a slot sets its age to 0; a stopper of the CPU reads and writes it too.
 *
 * A pointer in a slot belongs to the stack from the store of a word that counts it to the store of
 * a word that does not. Words may be loaded by anyone at any time.
 *
 * Counting needs no shared word on the fast path. For each stack of each CPU
 *
 *   pops   == armed - countdown - forgotten
 *   pushes == pops + depth - moved_in + moved_out
 *
 *   moved_in, moved_out  pointers that came and went, but not by push and pop
 *   forgotten            countdowns of words that were set to 0, as no memory is spent on them
 *
 * These counters lie apart from the slabs: a thread that has committed a change may count it when
 * the slab is no longer its CPU's, and its pages are given back.
 *
 *   a writer:  adds to moved_in, forgotten;  stores the word;  adds to armed, moved_out
 *   a reader:  loads armed, moved_out;       loads the words;  loads moved_in, forgotten
 *
 * The writer's second and third step are releases, the reader's first and second are acquires. So a
 * reading is never above the truth, and may be clamped to grow without becoming wrong.
 */
#ifndef TP_STACK_H
#define TP_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "percpu/cpu.h"
#include "percpu/stop.h"

/* What the owner of the stacks counts, of each stack on each CPU: so many numbers of its own. */
#define TP_OWNER_COUNTS 4

/* Of one stack on one CPU. Added to by the thread that changes the word; read by anyone. */
struct tp_stack_counters {
	uint64_t armed, moved_in, moved_out, forgotten;
	uint64_t owner[TP_OWNER_COUNTS];
} __attribute__((aligned(TP_LINE)));

/* From those of one CPU to those of the next: whole pairs of lines, as CPUs fetch them. */
static inline size_t tp_stack_counters_stride(unsigned stacks)
{
	return stacks + stacks % 2;
}

/* Bytes of the counters of all CPUs; all 0 at first. */
static inline size_t tp_stack_counters_bytes(unsigned cpu_count, unsigned stacks)
{
	return cpu_count * tp_stack_counters_stride(stacks) * sizeof(struct tp_stack_counters);
}

/* Before: the caller has seen a slab, or knows otherwise that the counters are there. */
static inline struct tp_stack_counters *tp_stack_counters(
	const struct tp_cpus *cpus, unsigned cpu_id, unsigned stack)
{
	/* Relaxed: it is set before the first slab, and never changes. */
	return tp_load_relaxed(&cpus->counters) + cpu_id * tp_stack_counters_stride(cpus->stacks) +
	       stack;
}

/* In locked mode a word belongs to the holder of the CPU's lock: so its loads are relaxed. */
static inline void *tp_stack_pop_locked(
	const struct tp_cpus *cpus, unsigned stack_index, bool *expired)
{
	struct tp_cpu *cpu = tp_cpus_enter(cpus);
	void *item = NULL;
	uint64_t word, *stack;

	if (tp_unlikely(!cpu))
		return NULL;
	stack = *cpu->visible + stack_index;
	word = tp_load_relaxed(stack);
	if (tp_likely(tp_word_depth(word))) {
		item = (void *)(uintptr_t)stack[tp_word_depth(word)];
		*expired = (int64_t)(word + TP_WORD_POP) < 0;
		tp_store_release(stack, word + TP_WORD_POP); /* commit */
	}
	tp_spinlock_unlock(&cpu->lock);
	return item;
}

/* The ages of a stack that has them, by slot; there is no slot 0. */
static inline uint8_t *tp_stack_ages(uint64_t *stack)
{
	return (uint8_t *)stack + TP_AGES_OFFSET;
}

static inline bool tp_stack_push_locked(
	const struct tp_cpus *cpus, unsigned stack_index, void *item, bool aged)
{
	struct tp_cpu *cpu = tp_cpus_enter(cpus);
	uint64_t word, *stack;
	bool pushed;

	if (tp_unlikely(!cpu))
		return false;
	stack = *cpu->visible + stack_index;
	word = tp_load_relaxed(stack);
	pushed = tp_word_room(word);
	if (tp_likely(pushed)) {
		stack[tp_word_depth(word) + 1] = (uintptr_t)item;
		if (aged)
			tp_stack_ages(stack)[tp_word_depth(word) + 1] = 0;
		tp_store_release(stack, word + TP_WORD_PUSH); /* commit */
	}
	tp_spinlock_unlock(&cpu->lock);
	return pushed;
}

/* Pop and push in rseq mode; they try again after an abort. */
void *tp_stack_pop_rseq(const struct tp_cpus *cpus, unsigned stack_index, bool *expired);
bool tp_stack_push_rseq(const struct tp_cpus *cpus, unsigned stack_index, void *item, bool aged);

/*
 * Pops from a stack of the caller's CPU. stack_index: of the stack's word in the slab. (What is not
 * as fast as pop and push is given the number of the stack.)
 *
 * After:   the pointer is the caller's; the room that it leaves is the stack's. *expired: the
 *          countdown is below 0.
 * Returns: the pointer; NULL: none there, and *expired means nothing.
 */
static inline void *tp_stack_pop(const struct tp_cpus *cpus, unsigned stack_index, bool *expired)
{
	return tp_cpu_rseq ? tp_stack_pop_rseq(cpus, stack_index, expired)
			   : tp_stack_pop_locked(cpus, stack_index, expired);
}

/* Pushes a pointer on the caller's CPU. False: no room, and the pointer is still the caller's. */
static inline bool tp_stack_push(const struct tp_cpus *cpus, unsigned stack_index, void *item)
{
	return tp_cpu_rseq ? tp_stack_push_rseq(cpus, stack_index, item, false)
			   : tp_stack_push_locked(cpus, stack_index, item, false);
}

/* The same on a stack with ages: that of the pointer becomes 0. */
static inline bool tp_stack_push_aged(const struct tp_cpus *cpus, unsigned stack_index, void *item)
{
	return tp_cpu_rseq ? tp_stack_push_rseq(cpus, stack_index, item, true)
			   : tp_stack_push_locked(cpus, stack_index, item, true);
}

/* All that the fast path has to know, in one cache line. Written before the first pool is made. */
struct tp_fast {
	ptrdiff_t rseq; /* tp_cpu_rseq; 0: there is no fast path */
	unsigned cpus;  /* tp_cpu_count() */
} __attribute__((aligned(TP_LINE)));

/*
 * Pop and push in rseq mode, one try each. base: TP_VISIBLE_OFFSET behind it lie the slab pointers
 * of all CPUs. stack_offset: as stack_index, in bytes. *slow: there is no pointer, or the countdown
 * has expired.
 */
static inline void *tp_stack_pop_fast(
	const struct tp_fast *fast, const void *base, size_t stack_offset, bool *slow)
{
	return tp_rseq_pop(fast->rseq, base, fast->cpus, stack_offset, slow);
}

static inline bool tp_stack_push_fast(
	const struct tp_fast *fast, const void *base, const uint32_t *stack_offset, void *item)
{
	return tp_rseq_push(fast->rseq, base, fast->cpus, stack_offset, item);
}

static inline bool tp_stack_push_aged_fast(
	const struct tp_fast *fast, const void *base, const uint32_t *stack_offset, void *item)
{
	return tp_rseq_push_aged(fast->rseq, base, fast->cpus, stack_offset, item);
}

/*
 * Decides on a change. If the depth grows, pointers are taken from items; if it shrinks, they are
 * copied there. It is called again if the word has changed meanwhile: it must have no other effect.
 *
 * Returns: the word that tp_stack_change is to store; the same word: change nothing.
 */
typedef uint64_t tp_word_decide(uint64_t word, const void *context);

struct tp_word_change {
	uint64_t before, after; /* equal: nothing was changed */
};

/*
 * Changes a stack of the caller's CPU without stopping it: pushes or pops a batch, adds room, arms
 * the countdown, all in one commit. Nothing is changed if the CPU has no slab or is stopped, or if
 * all tries fail.
 *
 * items: the last one is the top; at most TP_STACK_BATCH come or go. If nothing was changed, their
 *        content has no meaning, and that of ages.
 * ages:  of a stack with ages: before, *ages is that of all pointers which go in; after, the ages of
 *        those which came out. NULL: a stack without ages.
 */
struct tp_word_change tp_stack_change(const struct tp_cpus *cpus, unsigned stack,
	tp_word_decide *decide, const void *context, void **items, uint8_t *ages);
#define TP_STACK_BATCH 64

/*
 * On a stopped CPU: takes n pointers, with their leases, out of a stack: those in the slots from
 * first on; the bottom is slot 1. The pointers above them, with their ages, move down.
 */
void tp_stack_take_out(const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack,
	unsigned first, unsigned n, void **items, bool aged);

/* On a stopped CPU: sets the room of a stack. The caller brings or takes the lease for it. */
void tp_stack_room_set(
	const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack, unsigned room);

/*
 * On a stopped CPU: has the countdown of a stack expire at the next pop. One that has expired is set to
 * that too, so that nobody arms it who chose the gap before. Returns: how many pops sooner that is.
 */
unsigned tp_stack_expire(const struct tp_cpus *cpus, const struct tp_cpu *cpu, unsigned stack);

/* On a stopped CPU whose stacks are empty and have no room: sets their words to 0. */
void tp_stack_forget(const struct tp_cpus *cpus, const struct tp_cpu *cpu);

/*
 * Arms the countdown of a stack of the caller's CPU, if it has expired: it expires again after gap
 * pops. If the thread has migrated since its pop, then this is the stack of its new CPU, and the
 * countdown on the old one stays expired: the next pop there sees it.
 *
 * Returns: whether it was armed.
 */
bool tp_stack_arm(const struct tp_cpus *cpus, unsigned stack, unsigned gap);

struct tp_stack_counts {
	int64_t pops, pushes;
};

/*
 * Pops and pushes of a stack on one CPU, or on all CPUs. Never above the truth; exact if no call is
 * under way; may be below 0 while a countdown is being armed.
 */
struct tp_stack_counts tp_stack_count_on(
	const struct tp_cpus *cpus, unsigned cpu_id, unsigned stack);
struct tp_stack_counts tp_stack_count(const struct tp_cpus *cpus, unsigned stack);

/* The sum of one of the owner's numbers of a stack over all CPUs: acquires, after what was loaded. */
uint64_t tp_stack_owner_count(const struct tp_cpus *cpus, unsigned stack, unsigned which);

/* The word of a CPU's stack, as of some moment; 0 if the CPU has no slab. */
static inline uint64_t tp_stack_word(const struct tp_cpus *cpus, unsigned cpu_id, unsigned stack)
{
	/* Acquire: pairs with tp_cpu_install for the slab, with each commit for the word. */
	const uint64_t *slab = tp_load_acquire(&cpus->cpu[cpu_id].slab);

	return slab ? tp_load_acquire(&slab[cpus->stack_index[stack]]) : 0;
}

#endif
