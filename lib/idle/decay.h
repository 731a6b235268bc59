/* SPDX-License-Identifier: MIT */
/*
 * When idle items are aged, and which CPU may be stopped for what. Owns the clock of a pool's or
 * cache's ticks, and which tick was the last on each CPU. What a tick does is age.c's.
 *
 * Ticks are numbered: one that begins raises ticks by 1, and then each CPU whose aged is below owes
 * it. Nothing is aged twice for one tick, though items move meanwhile (test/model/tick.pml):
 *
 *     tp_decay_announce    a tick is about to age the depots
 *     the depots are aged
 *     tp_decay_begin       every CPU owes the tick, and may be aged
 *
 * So what moves from an aged CPU to a depot finds the depot aged. What moves from an aged depot to a
 * CPU that owes the tick, or will owe it soon, is made young (tp_decay_makes_young).
 */
#ifndef TP_DECAY_H
#define TP_DECAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "percpu/stack.h"

/* The default of decay_ms. */
#define TP_DECAY_MS 10000

/* The most that the gap may be: mean gets of a stack between two that look at the clock. */
#define TP_DECAY_GAP 4096

/* What is known of a CPU, on a line that gets and puts do not need; written and read by anyone. */
struct tp_decay_cpu {
	uint64_t moves_seen; /* pops and pushes when a tick or tp_decay_may_stop last looked here */
	uint64_t aged; /* twice the number of the last tick here, + 1 if it was for two ticks */
	uint32_t unwatched; /* the reaper has to be woken when something is kept here */
} __attribute__((aligned(TP_LINE)));

/* Fields up to ms are set by tp_decay_init. The others are written and read by anyone. */
struct tp_decay {
	struct tp_cpus *cpus;
	struct tp_decay_cpu *per_cpu; /* cpus->count of them */
	unsigned ms;                  /* between ticks; UINT_MAX: never by themselves */
	uint64_t begun_ms;     /* when the last tick began, or the decay was made, by tp_clock_ms */
	uint64_t announced;    /* as ticks; ahead of it while a tick ages the depots */
	uint64_t ticks;        /* begun so far */
	uint32_t left;         /* looks at CPUs that are left to do for ticks so far */
	uint32_t maintaining;  /* a lock that is only tried: its holder does them */
	uint64_t last_stop_ms; /* when tp_decay_stop_due was last true */
	uint64_t looked_ms;    /* when an expired countdown last looked at the clock */
	uint32_t gap;          /* as it chose it, for all stacks */
};

/* Bytes of memory for count CPUs. */
static inline size_t tp_decay_bytes(unsigned count)
{
	return count * sizeof(struct tp_decay_cpu);
}

/* Bytes of memory for count CPUs: for tp_cpus_init, and behind that for tp_decay_init. */
static inline size_t tp_decay_cpu_bytes(unsigned count)
{
	return tp_cpus_bytes(count) + tp_decay_bytes(count);
}

/*
 * memory: tp_decay_bytes, aligned to TP_LINE. It and cpus must outlive the decay. ms: decay_ms of the
 * options.
 */
void tp_decay_init(struct tp_decay *decay, void *memory, struct tp_cpus *cpus, unsigned ms);

/*
 * Gives a CPU its slab, whose stacks are empty; it owes none of the ticks so far. Does nothing if the
 * CPU has a slab or is closed.
 */
void tp_decay_slab_install(struct tp_decay *decay, unsigned cpu_id, uint64_t *slab);

/* ---- ticks ---- */

/* When the next tick is due, by tp_clock_ms. */
uint64_t tp_decay_due_ms(const struct tp_decay *decay);

/* Whether a tick is due now. */
bool tp_decay_is_due(const struct tp_decay *decay);

/*
 * An expired countdown looks at the clock. Returns: the gap until the next look, chosen by the time
 * since the last one, so that there are some 32 in a period however few the gets.
 */
unsigned tp_decay_gap(struct tp_decay *decay);

/*
 * Whether the last tick began ms ago or earlier (ms as decay_ms); if so, this caller alone has to
 * begin the next one.
 */
bool tp_decay_claim(struct tp_decay *decay, unsigned ms);

/* Announces a tick. After this the caller ages the depots, and then begins the tick. */
void tp_decay_announce(struct tp_decay *decay);

/*
 * Begins a tick: from now on every CPU owes it. looks: slow calls that come
 * after this look at the CPUs; false: the caller looks at all of them itself.
 */
void tp_decay_begin(struct tp_decay *decay, bool looks);

/*
 * Chooses the CPU of the next look, so that each has its turn even if there are few looks in a
 * period. Before: the caller holds maintaining. False: no look is left.
 */
bool tp_decay_look(struct tp_decay *decay, unsigned *cpu_id);

/* Whether a CPU, or the caller's, owes a tick. One without a slab owes none. */
bool tp_decay_owes(const struct tp_decay *decay, unsigned cpu_id);
bool tp_decay_owes_here(const struct tp_decay *decay);

/*
 * Whether old items that a depot gives to a CPU must be made young: see above. Asks of all CPUs,
 * since the caller may migrate, and in locked mode may fill the stack of another CPU.
 */
bool tp_decay_makes_young(const struct tp_decay *decay);

/*
 * For a tick: whether a CPU that owes is worth a stop. Not if it is empty; then it owes nothing any
 * more. Not if it is hard at work and has missed no tick lately: it does the tick itself, at its
 * next slow call or expired countdown. Of three ticks it misses one at most, since one step may have
 * stood for two.
 */
bool tp_decay_is_worth(struct tp_decay *decay, unsigned cpu_id);

/* On a stopped CPU: whether it owes a tick; from now on it does not, as the caller does it. */
bool tp_decay_take_tick(struct tp_decay *decay, struct tp_cpu *cpu);

/* In the child of a fork: forgets what other threads were about to do. */
void tp_decay_forked(struct tp_decay *decay);

/* ---- the reaper ---- */

/*
 * How the reaper may sleep while nothing is here, and misses nothing:
 *
 *     the reaper                           a call that has kept or freed something
 *     tp_decay_unwatch: sets unwatched     tp_decay_kept: clears that of the CPU it runs on; if it
 *       of each CPU                          was set, wakes the reaper
 *     looks whether anything is here
 *     tp_decay_watch: if so, clears them
 *
 * The first two are exchanges. If the call's is first, the reaper's look sees what was kept; if the
 * reaper's is first, the call wakes it. One for each CPU, so that slow calls write no shared line.
 */
void tp_decay_kept(struct tp_decay *decay);
void tp_decay_unwatch(struct tp_decay *decay);

/* any: whether something is here. Returns: when the next tick is due; TP_DUE_EMPTY if not any. */
uint64_t tp_decay_watch(struct tp_decay *decay, bool any);

/* ---- which CPU may be stopped ---- */

/*
 * Whether a CPU may be stopped for something that can be done without: a fence costs the CPU more
 * than an allocation. True if stopping it takes no fence; if nothing moved there since this was
 * last asked; or if tp_decay_stop_due, which is asked last.
 */
bool tp_decay_may_stop(struct tp_decay *decay, unsigned cpu_id);

/* Whether a millisecond has passed since this was last true. */
bool tp_decay_stop_due(struct tp_decay *decay);

#endif
