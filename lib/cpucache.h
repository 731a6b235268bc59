/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU stacks of pointers: one stack for each tier and CPU, all stacks of a CPU in one slab.
 * Owns the doors, what each word counts, and the way in and out in both modes; knows neither buffers
 * nor bytes. Layer 2.
 *
 * The word of a stack, 64 bits: depth 12 | room 12 | countdown 40 (signed). depth pointers lie in the
 * stack, room more may be pushed. One store commits the stack, the lease (depth + room is what the
 * tier has leased on this CPU) and the count of pops together, so that a reader never sees one without
 * the others, and an abort leaves all three true. A pop that leaves the countdown negative is a
 * strike: its caller arms the countdown again.
 *
 * Synchronization between local and remote operations. A slab belongs either to its CPU or to a
 * stopper, and what the CPU shows says to whom:
 *
 *   shown == door.home       the CPU's. In rseq mode whoever runs there may enter a sequence, which
 *                            happens whole or not at all (arch/sequence.h); in locked mode whoever
 *                            holds door.lock may do the same things.
 *   shown == closed slab     a stopper's, the holder of door.lock; or there is none yet; or the pool
 *                            is being destroyed. The closed slab is all zero, depth 0 and room 0, so
 *                            that the fast path needs no test for it, and cannot be written.
 *
 * A stopper takes door.lock, shows the closed slab, and then must know that no sequence which still
 * saw home can commit. On its own CPU it knows: it shows the closed slab by a sequence of its own, so
 * at that moment it ran there, and whoever else was inside a sequence there had been preempted, and
 * aborts. Another CPU takes a fence (tp_percpu_fence), or, where fences are refused, a visit to that
 * CPU, to stop it from there. Without, a thread that read the door before it was shut would commit to
 * a word that the stopper changes as well: one buffer twice, or lost (TP_FAULT_NO_FENCE).
 *
 * A pointer in a slot belongs to the cache from the store of the word that counts it until the store
 * of a word that does not. Readers that only count may load words at any time.
 *
 * Counting, without a shared word on the fast path; of each CPU
 *   pops   = armed - sum of countdowns
 *   pushes = pops + sum of depths - moved in + moved out
 * where "moved" are pointers that came and went otherwise than by pop and push. Writers store the word
 * first and then add to armed and moved out, but add to moved in before they store the word; the
 * reader (tp_cpucache_count) looks in the opposite order; so each store of a word is a release. So a
 * reading is never above the truth, and may be clamped to grow without ever becoming wrong.
 */
#ifndef TP_CPUCACHE_H
#define TP_CPUCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/locked.h"
#include "arch/sequence.h"
#include "atomic.h"
#include "base.h"
#include "percpu.h"
#include TP_SEQUENCES_FILE

/* Slots that one stack may have at the most, so that depth and room fit into their bits. */
#define TP_STACK_MAX 1024

/* Bytes that a slab may have at the most: so large is the closed one. */
#define TP_SLAB_MOST ((size_t)160 << 10)

static inline unsigned tp_word_depth(uint64_t word)
{
	return (unsigned)(word & TP_WORD_MASK);
}

static inline unsigned tp_word_room(uint64_t word)
{
	return (unsigned)(word >> TP_WORD_BITS & TP_WORD_MASK);
}

/* What the stack has leased. */
static inline unsigned tp_word_held(uint64_t word)
{
	return tp_word_depth(word) + tp_word_room(word);
}

static inline int64_t tp_word_countdown(uint64_t word)
{
	return (int64_t)word >> 2 * TP_WORD_BITS;
}

/* What a CPU's slab is guarded by; a pair of cache lines of its own, since CPUs fetch them in pairs. */
struct tp_door {
	uint64_t **
		shown; /* where the slab pointer is that pops and pushes use; always the same place, */
	/* written by the holder of lock */
	uint64_t *home;  /* NULL: none yet. Set once, by the holder of lock; read by anyone */
	uint32_t lock;   /* rseq: held by a stopper. locked: by whoever is inside */
	uint32_t closed; /* for ever: the pool is being destroyed. By the holder of lock */
	uint64_t armed;  /* this and all below: added to and read by anyone */
	uint64_t moved_in;
	uint64_t moved_out;
	uint64_t random;  /* state of the gaps between strikes */
	uint32_t age_due; /* a tick was left to the CPU itself */
	/* Of other CPUs, for whom the line above is only to be read. */
	uint64_t looked __attribute__((aligned(TP_LINE))); /* pops and pushes at the last look */
	uint64_t ticked;                                   /* and at the last tick */
} __attribute__((aligned(TP_LINE)));

struct tp_cpucache {
	/*
	 * The slab pointers, one a CPU, side by side: to find the own one is one load. That CPUs share a
	 * line is of no account, since it is only read but for stops.
	 */
	uint64_t **slabs;
	struct tp_door *doors; /* count of them, as of the slab pointers */
	unsigned count;
	uint32_t fence_lost; /* the system refused one; set once, read by anyone */
	uint64_t fences;     /* made so far */
};

/* Bytes for the slab pointers and the doors of so many CPUs. */
static inline size_t tp_cpucache_bytes(unsigned count)
{
	return tp_round_up(count * sizeof(uint64_t *), TP_LINE) + count * sizeof(struct tp_door);
}

/*
 * Makes a cache in memory of tp_cpucache_bytes, aligned to TP_LINE, which begins with the slab pointers;
 * every CPU shows the closed slab. 0; -ENOMEM: there is none to show. Chooses the mode.
 */
int tp_cpucache_init(struct tp_cpucache *cache, void *memory, unsigned count);

/* The next door after cpu's, all around, that nobody is inside of; entered. NULL: all busy. */
struct tp_door *tp_cpucache_enter_other(const struct tp_cpucache *cache, unsigned cpu);

/* Locked mode: the caller's CPU's door, or another one when somebody is inside; entered. NULL: all busy. */
static inline struct tp_door *tp_cpucache_enter(const struct tp_cpucache *cache)
{
	unsigned cpu = tp_percpu_current(cache->count);
	struct tp_door *door = &cache->doors[cpu];

	return tp_likely(tp_locked_try(&door->lock)) ? door : tp_cpucache_enter_other(cache, cpu);
}

static inline void *tp_cpucache_pop_locked(
	const struct tp_cpucache *cache, unsigned at, uint64_t *after)
{
	struct tp_door *door = tp_cpucache_enter(cache);
	void *item = NULL;
	uint64_t word, *stack;
	unsigned depth;

	if (tp_unlikely(!door))
		return NULL;
	stack = *door->shown + at;
	word = tp_load_relaxed(stack);
	depth = tp_word_depth(word);
	if (tp_likely(depth)) {
		item = (void *)(uintptr_t)stack[depth];
		*after = word + TP_WORD_POP;
		tp_store_release(stack, *after); /* commit */
	}
	tp_locked_leave(&door->lock);
	return item;
}

static inline bool tp_cpucache_push_locked(const struct tp_cpucache *cache, unsigned at, void *item)
{
	struct tp_door *door = tp_cpucache_enter(cache);
	uint64_t word, *stack;
	bool pushed;

	if (tp_unlikely(!door))
		return false;
	stack = *door->shown + at;
	word = tp_load_relaxed(stack);
	pushed = tp_word_room(word);
	if (tp_likely(pushed)) {
		stack[tp_word_depth(word) + 1] = (uintptr_t)item;
		tp_store_release(stack, word + TP_WORD_PUSH); /* commit */
	}
	tp_locked_leave(&door->lock);
	return pushed;
}

/* In rseq mode, and again after an abort. */
void *tp_cpucache_pop_again(const struct tp_cpucache *cache, unsigned at, uint64_t *after);
bool tp_cpucache_push_again(const struct tp_cpucache *cache, unsigned at, void *item);

/*
 * Takes the top of a stack of the caller's CPU; the pointer is the caller's, the room it leaves the
 * stack's. at: index of the stack's word in the slab. NULL: nothing there. *after: the word; below
 * zero, as a signed number, where the pop was a strike.
 */
static inline void *tp_cpucache_pop(const struct tp_cpucache *cache, unsigned at, uint64_t *after)
{
	return tp_percpu_rseq ? tp_cpucache_pop_again(cache, at, after)
			      : tp_cpucache_pop_locked(cache, at, after);
}

/* Gives a pointer to a stack. False: no room, and the pointer is still the caller's. */
static inline bool tp_cpucache_push(const struct tp_cpucache *cache, unsigned at, void *item)
{
	return tp_percpu_rseq ? tp_cpucache_push_again(cache, at, item)
			      : tp_cpucache_push_locked(cache, at, item);
}

/*
 * The same in rseq mode, in one try, of a cache for all of tp_percpu_cpus whose slab pointers
 * are TP_SLABS_AT behind base. rseq: tp_percpu_rseq, not 0. *odd: no pointer, or a strike.
 */
static inline void *tp_cpucache_pop_fast(ptrdiff_t rseq, const void *base, unsigned at, bool *odd)
{
	uint64_t after;

	return tp_sequence_pop(rseq, base, tp_percpu_cpus, at, &after, odd);
}

static inline bool tp_cpucache_push_fast(ptrdiff_t rseq, const void *base, unsigned at, void *item)
{
	return tp_sequence_push(rseq, base, tp_percpu_cpus, at, item);
}

/*
 * What tp_cpucache_change is to make of a word; the same word: nothing. A greater depth takes the
 * pointers that are more from items, a smaller one gives them there. Called again when the word has
 * changed meanwhile, and so without effects of its own.
 */
typedef uint64_t tp_word_decide(uint64_t word, const void *context);

struct tp_change {
	uint64_t before, after; /* equal: nothing was done */
};

/*
 * Changes a stack of the caller's CPU without stopping it: a batch pushed or popped, room added, the
 * countdown armed, in one commit. In items the last is the top; what stands in it after nothing was done
 * means nothing. Nothing is done where the CPU has no slab, is stopped, or never holds still.
 */
struct tp_change tp_cpucache_change(const struct tp_cpucache *cache, unsigned at,
	tp_word_decide *decide, const void *context, void **items);

/*
 * Stops a CPU: until tp_cpucache_publish of the door no pop, push or change of it happens, and its
 * slab (door->home) is the caller's. Waits for another stopper. NULL, and nothing is stopped: the CPU
 * has no slab, is closed, or cannot be stopped any more (cache->fence_lost).
 */
struct tp_door *tp_cpucache_stop(struct tp_cpucache *cache, unsigned cpu);

/* The same for the caller's CPU, with no fence, and never waiting: NULL also where it would. */
struct tp_door *tp_cpucache_stop_own(struct tp_cpucache *cache);

void tp_cpucache_publish(struct tp_door *door);

/*
 * Stops all CPUs at once, for one fence. False: not all that have a slab could be stopped. Those that
 * were tp_cpucache_is_stopped tells; publish_all in either case.
 */
bool tp_cpucache_stop_all(struct tp_cpucache *cache);
bool tp_cpucache_is_stopped(const struct tp_door *door);
void tp_cpucache_publish_all(struct tp_cpucache *cache);

/* Waits for all stoppers and keeps others from coming, for fork; CPUs go on. And lets them again. */
void tp_cpucache_lock(struct tp_cpucache *cache);
void tp_cpucache_unlock(struct tp_cpucache *cache);

/* Gives a CPU its slab, all zero. False: it has one, or is closed; the slab is not taken. */
bool tp_cpucache_install(struct tp_cpucache *cache, unsigned cpu, uint64_t *slab);

/* Between stop_all and publish_all: closes all CPUs for ever. Their slabs stay as they are. */
void tp_cpucache_close_all(struct tp_cpucache *cache);

/* On a stack of a stopped CPU: puts a pointer that comes with its lease on top. */
void tp_cpucache_move_in(struct tp_door *door, uint64_t *stack, void *item);

/* On a stack of a stopped CPU: takes the one in a slot, 1 to depth, out, with its lease. */
void *tp_cpucache_move_out(struct tp_door *door, uint64_t *stack, unsigned slot);

/* On a stack of a stopped CPU: changes the room, whose lease the caller brings or takes. */
void tp_cpucache_room_set(uint64_t *stack, unsigned room);

/*
 * After a strike: arms the countdown of a stack of the caller's CPU, if it is below zero, so that the
 * next strike is a random gap of 1 to 2 * mean - 1 pops away. Random, because a fixed gap falls into
 * step with loops. The thread may have moved since the strike: then it arms what it finds where it is,
 * and the stack that struck will strike again. The gap; 0: nothing was armed.
 */
unsigned tp_cpucache_arm(const struct tp_cpucache *cache, unsigned at, unsigned mean);

struct tp_cpucache_counts {
	int64_t pops, pushes;
};

/*
 * A CPU's, or all CPUs', pops and pushes over the stacks at at[0 … stacks - 1]. Never above the truth,
 * and below zero where a reading falls into the middle of an arming; exact when no call is under way.
 */
struct tp_cpucache_counts tp_cpucache_count_on(
	const struct tp_cpucache *cache, unsigned cpu, const uint16_t *at, unsigned stacks);
struct tp_cpucache_counts tp_cpucache_count(
	const struct tp_cpucache *cache, const uint16_t *at, unsigned stacks);

/* A word, read by anyone; 0 where the CPU has no slab. */
uint64_t tp_cpucache_word(const struct tp_cpucache *cache, unsigned cpu, unsigned at);

#endif
