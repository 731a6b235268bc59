/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU stacks of pointers: one stack for each tier and CPU, all stacks of a CPU in one slab.
 * Owns what each word counts, and the way in and out in both modes; whose a slab is at the moment,
 * stop.h says. Knows neither buffers nor bytes.
 *
 * The word of a stack, 64 bits: depth 12 | room 12 | countdown 40 (signed). depth pointers lie in
 * the stack, room more may be pushed. One store commits the stack, the lease (depth + room is what
 * the tier has leased on this CPU) and the count of pops together, so that a reader never sees one
 * without the others, and an abort leaves all three true. A pop that leaves the countdown negative
 * is a strike: its caller arms the countdown again.
 *
 * A stack may have ages: a byte for each of its TP_AGES_SLOTS slots, set to 0 by the push that
 * fills the slot. Who stopped the CPU reads and writes them too.
 *
 * A pointer in a slot belongs to the cache from the store of the word that counts it until the
 * store of a word that does not. Readers that only count may load words at any time.
 *
 * Counting, without a shared word on the fast path; of each CPU
 *   pops   = armed - skipped - sum of countdowns
 *   pushes = pops + sum of depths - moved in + moved out
 * where skipped is by how much countdowns were shortened, and "moved" are pointers that came and
 * went otherwise than by pop and push. Writers store the word first and then add to armed and moved
 * out, but add to skipped and moved in before they store the word; the reader (tp_stack_count)
 * looks in the opposite order; so each store of a word is a release.
 * So a reading is never above the truth, and may be clamped to grow without ever becoming wrong.
 */
#ifndef TP_STACK_H
#define TP_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "percpu/cpu.h"
#include "percpu/stop.h"

static inline void *tp_stack_pop_locked(
	const struct tp_cpus *cpus, unsigned stack_index, uint64_t *after)
{
	struct tp_cpu *cpu = tp_cpus_enter(cpus);
	void *item = NULL;
	uint64_t word, *stack;
	unsigned depth;

	if (tp_unlikely(!cpu))
		return NULL;
	stack = *cpu->visible + stack_index;
	word = tp_load_relaxed(stack);
	depth = tp_word_depth(word);
	if (tp_likely(depth)) {
		item = (void *)(uintptr_t)stack[depth];
		*after = word + TP_WORD_POP;
		tp_store_release(stack, *after); /* commit */
	}
	tp_spinlock_unlock(&cpu->lock);
	return item;
}

/* The ages of a stack that has them; that of slot 0 is nobody's. */
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

/* In rseq mode, and again after an abort. */
void *tp_stack_pop_rseq(const struct tp_cpus *cpus, unsigned stack_index, uint64_t *after);
bool tp_stack_push_rseq(const struct tp_cpus *cpus, unsigned stack_index, void *item, bool aged);

/*
 * Takes the top of a stack of the caller's CPU; the pointer is the caller's, the room it leaves the
 * stack's. at: index of the stack's word in the slab. NULL: nothing there. *after: the word; below
 * zero, as a signed number, where the pop was a strike.
 */
static inline void *tp_stack_pop(const struct tp_cpus *cpus, unsigned stack_index, uint64_t *after)
{
	return tp_cpu_rseq ? tp_stack_pop_rseq(cpus, stack_index, after)
			   : tp_stack_pop_locked(cpus, stack_index, after);
}

/* Gives a pointer to a stack. False: no room, and the pointer is still the caller's. */
static inline bool tp_stack_push(const struct tp_cpus *cpus, unsigned stack_index, void *item)
{
	return tp_cpu_rseq ? tp_stack_push_rseq(cpus, stack_index, item, false)
			   : tp_stack_push_locked(cpus, stack_index, item, false);
}

/* The same, to a stack with ages: the pointer's is 0. */
static inline bool tp_stack_push_aged(const struct tp_cpus *cpus, unsigned stack_index, void *item)
{
	return tp_cpu_rseq ? tp_stack_push_rseq(cpus, stack_index, item, true)
			   : tp_stack_push_locked(cpus, stack_index, item, true);
}

/* What the fast path has to know, settled before the first pool: in one line. */
struct tp_fast {
	ptrdiff_t rseq; /* tp_cpu_rseq; 0: there is no fast path */
	unsigned cpus;  /* tp_cpu_count() */
} __attribute__((aligned(TP_LINE)));

/*
 * Pop and push in rseq mode, in one try, of doors for all CPUs whose slab pointers are TP_VISIBLE_OFFSET
 * behind base. *odd: no pointer, or a strike.
 */
static inline void *tp_stack_pop_fast(
	const struct tp_fast *fast, const void *base, unsigned stack_index, bool *slow)
{
	uint64_t after;

	return tp_rseq_pop(fast->rseq, base, fast->cpus, stack_index, &after, slow);
}

static inline bool tp_stack_push_fast(
	const struct tp_fast *fast, const void *base, unsigned stack_index, void *item)
{
	return tp_rseq_push(fast->rseq, base, fast->cpus, stack_index, item);
}

static inline bool tp_stack_push_aged_fast(
	const struct tp_fast *fast, const void *base, unsigned stack_index, void *item)
{
	return tp_rseq_push_aged(fast->rseq, base, fast->cpus, stack_index, item);
}

/*
 * What tp_stack_change is to make of a word; the same word: nothing. A greater depth takes the
 * pointers that are more from items, a smaller one gives them there. Called again when the word has
 * changed meanwhile, and so without effects of its own.
 */
typedef uint64_t tp_word_decide(uint64_t word, const void *context);

struct tp_word_change {
	uint64_t before, after; /* equal: nothing was done */
};

/*
 * Changes a stack of the caller's CPU without stopping it: a batch pushed or popped, room added,
 * the countdown armed, in one commit. In items the last is the top; what stands in it after nothing
 * was done means nothing. Nothing is done where the CPU has no slab, is stopped, or never holds
 * still.
 */
struct tp_word_change tp_stack_change(const struct tp_cpus *cpus, unsigned stack_index,
	tp_word_decide *decide, const void *context, void **items);

/* On a stack of a stopped CPU: puts a pointer that comes with its lease on top. */
void tp_stack_move_in(struct tp_cpu *cpu, uint64_t *stack, void *item);

/* On a stack of a stopped CPU: takes the one in a slot, 1 to depth, out, with its lease. */
void *tp_stack_move_out(struct tp_cpu *cpu, uint64_t *stack, unsigned slot);

/* On a stack of a stopped CPU: changes the room, whose lease the caller brings or takes. */
void tp_stack_room_set(uint64_t *stack, unsigned room);

/*
 * On a stack of a stopped CPU: brings the next strike nearer, to a random gap of 1 to 2 * mean - 1
 * pops away, if it is further than that.
 */
void tp_stack_shorten(struct tp_cpu *cpu, uint64_t *stack, unsigned mean);

/*
 * After a strike: arms the countdown of a stack of the caller's CPU, if it is below zero, so that
 * the next strike is a random gap of 1 to 2 * mean - 1 pops away. Random, because a fixed gap falls
 * into step with loops. The thread may have moved since the strike: then it arms what it finds
 * where it is, and the stack that struck will strike again. The gap; 0: nothing was armed.
 */
unsigned tp_stack_arm(const struct tp_cpus *cpus, unsigned stack_index, unsigned mean);

struct tp_stack_counts {
	int64_t pops, pushes;
};

/*
 * A CPU's, or all CPUs', pops and pushes over the stacks at at[0 … stacks - 1]. Never above the
 * truth, and below zero where a reading falls into the middle of an arming; exact when no call is
 * under way.
 */
struct tp_stack_counts tp_stack_count_on(
	const struct tp_cpus *cpus, unsigned cpu_id, const uint16_t *stack_index, unsigned stacks);
struct tp_stack_counts tp_stack_count(
	const struct tp_cpus *cpus, const uint16_t *stack_index, unsigned stacks);

/* A word, read by anyone; 0 where the CPU has no slab. */
uint64_t tp_stack_word(const struct tp_cpus *cpus, unsigned cpu_id, unsigned stack_index);

#endif
