/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU stacks of pointers: one stack for each tier and CPU, all stacks of a CPU in one slab.
 * Owns the slabs and what each word counts; knows neither buffers nor bytes. Layer 2.
 *
 * Who owns what. A slab belongs to its CPU's door: to the thread that is inside the door for a pop
 * or a push, or to the one that has stopped the CPU, until it publishes the slab again. Readers
 * that only count may load words at any time. A pointer in a slot belongs to the cache from the
 * store of the word that counts it (the commit) until the store of a word that does not.
 *
 * The word, 64 bits: depth 12 | room 12 | countdown 40 (signed). depth pointers lie in the stack,
 * room more may be pushed. One store commits the stack, the lease (depth + room is what the tier
 * has leased on this CPU) and the count of pops together, so that a reader never sees one without
 * the others. A pop that leaves the countdown negative is a strike: its caller arms the countdown
 * again.
 *
 * Counting, without a shared word on the fast path:
 *   pops   = armed - sum of countdowns
 *   pushes = pops + sum of depths - moved in + moved out
 * where "moved" are pointers that a stopper put in or took out. Writers store the word first and
 * then add to armed and moved out, but add to moved in before they store the word; the reader
 * (tp_cpucache_count) looks in the opposite order; so each store of a word is a release. So a
 * reading is never above the truth, and may be clamped to grow without ever becoming wrong.
 */
#ifndef TP_CPUCACHE_H
#define TP_CPUCACHE_H

#include <stdint.h>

#include "arch/locked.h"
#include "atomic.h"
#include "base.h"
#include "percpu.h"

#define TP_WORD_BITS 12
#define TP_WORD_MASK UINT64_C(0xfff)
#define TP_WORD_DEPTH UINT64_C(1)
#define TP_WORD_ROOM (UINT64_C(1) << TP_WORD_BITS)
#define TP_WORD_COUNTDOWN (UINT64_C(1) << 2 * TP_WORD_BITS)

/* Slots that one stack may have at the most, so that depth and room fit into their bits. */
#define TP_STACK_MAX 1024

static inline unsigned tp_word_depth(uint64_t word)
{
	return (unsigned)(word & TP_WORD_MASK);
}

static inline unsigned tp_word_room(uint64_t word)
{
	return (unsigned)(word >> TP_WORD_BITS & TP_WORD_MASK);
}

static inline int64_t tp_word_countdown(uint64_t word)
{
	return (int64_t)word >> 2 * TP_WORD_BITS;
}

/* A CPU's way into its slab; a pair of cache lines of its own, since CPUs fetch them in pairs. */
struct tp_door {
	uint64_t *slab;  /* what pops and pushes use; NULL: none yet, or closed. In the lock */
	uint64_t *home;  /* the same from creation until the pool dies. Set once, in the lock */
	uint32_t lock;   /* held by whoever is inside */
	uint32_t closed; /* for ever: the pool is being destroyed. In the lock */
	uint64_t armed;  /* this and below: written in the lock, read by anyone */
	uint64_t moved_in;
	uint64_t moved_out;
	uint64_t random; /* state of the gaps between strikes. In the lock */
	char apart[TP_LINE];
} __attribute__((aligned(TP_LINE)));

struct tp_cpucache {
	struct tp_door *doors; /* count of them; the caller's memory */
	unsigned count;
};

/* The next door after cpu's, all around, that nobody is inside; entered. NULL: all busy. */
struct tp_door *tp_cpucache_enter_other(const struct tp_cpucache *cache, unsigned cpu);

/* The caller's CPU's door, or another one when somebody is inside; entered. NULL: all busy. */
static inline struct tp_door *tp_cpucache_enter(const struct tp_cpucache *cache)
{
	unsigned cpu = tp_percpu_current(cache->count);
	struct tp_door *door = &cache->doors[cpu];

	return tp_likely(tp_locked_try(&door->lock)) ? door : tp_cpucache_enter_other(cache, cpu);
}

/*
 * Takes the top of a stack; the pointer and the room it leaves belong to the caller's CPU's stack
 * and to the caller. at: index of the stack's word in the slab. NULL: nothing there. *strike is set
 * when the countdown is below zero.
 */
static inline void *tp_cpucache_pop(const struct tp_cpucache *cache, unsigned at, bool *strike)
{
	struct tp_door *door = tp_cpucache_enter(cache);
	void *item = NULL;

	if (tp_unlikely(!door))
		return NULL;
	if (tp_likely(door->slab)) {
		uint64_t *stack = door->slab + at;
		uint64_t word = tp_load_relaxed(stack);
		unsigned depth = tp_word_depth(word);

		if (tp_likely(depth)) {
			item = (void *)(uintptr_t)stack[depth];
			word += TP_WORD_ROOM - TP_WORD_DEPTH - TP_WORD_COUNTDOWN;
			tp_store_release(stack, word); /* commit */
			*strike = (int64_t)word < 0;
		}
	}
	tp_locked_leave(&door->lock);
	return item;
}

/* Gives a pointer to a stack. False: no room, and the pointer is still the caller's. */
static inline bool tp_cpucache_push(const struct tp_cpucache *cache, unsigned at, void *item)
{
	struct tp_door *door = tp_cpucache_enter(cache);
	bool pushed = false;

	if (tp_unlikely(!door))
		return false;
	if (tp_likely(door->slab)) {
		uint64_t *stack = door->slab + at;
		uint64_t word = tp_load_relaxed(stack);

		if (tp_likely(tp_word_room(word))) {
			stack[tp_word_depth(word) + 1] = (uintptr_t)item;
			tp_store_release(stack, word + TP_WORD_DEPTH - TP_WORD_ROOM); /* commit */
			pushed = true;
		}
	}
	tp_locked_leave(&door->lock);
	return pushed;
}

/*
 * Stops a CPU: until tp_cpucache_publish no pop or push of it happens, and its slab is the
 * caller's. The slab, or NULL where the CPU has none; publish in either case.
 */
uint64_t *tp_cpucache_stop(const struct tp_cpucache *cache, unsigned cpu);
void tp_cpucache_publish(const struct tp_cpucache *cache, unsigned cpu);

/* Gives a stopped CPU its slab, all zero. False: it has one, or is closed; the slab is not taken.
 */
bool tp_cpucache_install(const struct tp_cpucache *cache, unsigned cpu, uint64_t *slab);

/* Closes a stopped CPU for ever: pops and pushes find nothing. Its slab stays the caller's. */
void tp_cpucache_close(const struct tp_cpucache *cache, unsigned cpu);

/* On a stack of a stopped CPU: puts a pointer that comes with its lease on top. */
void tp_cpucache_move_in(struct tp_door *door, uint64_t *stack, void *item);

/* On a stack of a stopped CPU: takes the one in a slot, 1 to depth, out, with its lease. */
void *tp_cpucache_move_out(struct tp_door *door, uint64_t *stack, unsigned slot);

/* On a stack of a stopped CPU: changes the room, whose lease the caller brings or takes. */
void tp_cpucache_room_set(uint64_t *stack, unsigned room);

/*
 * On a stack of a stopped CPU: arms the countdown so that the next strike is gap pops away, for a
 * random gap of 1 to 2 * mean - 1. Random, because a fixed gap falls into step with loops. The gap.
 */
unsigned tp_cpucache_arm(struct tp_door *door, uint64_t *stack, unsigned mean);

struct tp_cpucache_counts {
	int64_t pops, pushes;
};

/*
 * All CPUs' pops and pushes over the stacks at at[0 … stacks - 1]. Never above the truth, and below
 * zero where a reading falls into the middle of an arming; exact when no call is under way.
 */
struct tp_cpucache_counts tp_cpucache_count(
	const struct tp_cpucache *cache, const uint16_t *at, unsigned stacks);

/* A word, read by anyone; 0 where the CPU has no slab. */
uint64_t tp_cpucache_word(const struct tp_cpucache *cache, unsigned cpu, unsigned at);

#endif
