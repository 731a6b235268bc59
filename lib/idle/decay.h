/* SPDX-License-Identifier: MIT */
/*
 * When and by which call idle objects on the CPUs are aged, and which CPU may be stopped for what.
 * Owns the clock of a pool's or cache's ticks, and how many of them each CPU has done. What a tick
 * does to a stack is its owner's (tp_ager), and so are depots.
 *
 * Ticks are numbered: one that begins raises ticks by 1. A CPU whose aged is below it owes a tick.
 *
 *     begun by                           done by
 *     tierpool_tick, the reaper          the same call, on all CPUs
 *     a slow call or an expiry, if due   slow calls and expiries, in pieces: each does the caller's
 *                                        CPU, and some others from where the last piece ended
 *
 * A CPU that is hard at work is not fenced: that would cost it more than its own ageing does. It
 * ages itself at its next slow call or expiry, within two gaps between expiries. If it has not by
 * the next tick it is fenced; and if nothing was used there in between, both ticks are done.
 */
#ifndef TP_DECAY_H
#define TP_DECAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "percpu/stack.h"

/* The default of decay_ms. */
#define TP_DECAY_MS 10000

/*
 * What is known of a CPU, on a line that gets and puts do not need. "Uses": pops, pushes, and what
 * slow calls moved in. A field that names no writer and no reader is for the CPU's stopper only.
 */
struct tp_decay_cpu {
	uint64_t moves_at_look; /* by anyone: moves when tp_decay_may_stop last looked */
	uint64_t uses_at_tick;  /* by anyone: uses when a tick last looked here */
	uint32_t tick_ms;       /* by anyone: when that was */
	/* The last tick done here (on an empty CPU without a stop), read by anyone; when. */
	uint32_t aged, aged_ms;
	/*
	 * Of the tick that is done here in pieces: its number, read by anyone; when its last piece
	 * was, and the uses then, low 32 bits; the ager's progress; by how many ticks it ages.
	 */
	uint32_t ager_tick, ager_ms, ager_uses;
	uint16_t ager, ager_steps;
	/* Also by calls on the CPU: mean gap; when a countdown last expired; was last shortened. */
	uint32_t gap, expired_ms, shortened_ms;
} __attribute__((aligned(TP_LINE)));

/* Fields up to ms are set by tp_decay_init. The others are written and read by anyone. */
struct tp_decay {
	struct tp_cpus *cpus;
	struct tp_decay_cpu *per_cpu; /* cpus->count of them */
	const uint16_t *stack_index;  /* of the stacks' words in each slab */
	unsigned stacks;
	unsigned ms;           /* between ticks; UINT_MAX: never by themselves */
	uint64_t due;          /* when the next tick is, by tp_clock_ms */
	uint64_t ticks;        /* begun so far */
	uint64_t swept;        /* tick 32 | in a further round 1 | CPUs looked at 31, see decay.c */
	uint32_t asked;        /* the last tick that began was TP_TICK_ASKED */
	uint32_t turning;      /* calls between tp_decay_turn and tp_decay_begin */
	uint64_t begun_ms;     /* when the last tick began */
	uint32_t apart_ms;     /* how long after the one before it */
	uint32_t first_cpu;    /* where a tick's looks begin */
	uint64_t last_stop_ms; /* when tp_decay_stop_due was last true */
	uint32_t left;         /* a CPU was done in part: another round has to follow */
	uint32_t unwatched;    /* the reaper has to be woken when something is kept here */
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
 * memory: tp_decay_bytes, aligned to TP_LINE. It, cpus and stack_index[0 ... stacks - 1] must
 * outlive the decay. ms: decay_ms of the options.
 */
void tp_decay_init(struct tp_decay *decay, void *memory, struct tp_cpus *cpus,
	const uint16_t *stack_index, unsigned stacks, unsigned ms);

/*
 * Gives a CPU its slab, all 0, which lies in block; it owes none of the ticks so far. Returns: false
 * if the CPU has a slab or is closed: then it took neither.
 */
bool tp_decay_slab_install(struct tp_decay *decay, unsigned cpu_id, uint64_t *slab, void *block);

struct tp_ager {
	/*
	 * Ages what lies on a stopped CPU by this many ticks, or a piece of it: *progress is 0 at
	 * first, and then what the last piece left there. Returns: whether that was all.
	 */
	bool (*age)(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks);
	/* Called after that, when the CPU has its slab again; may be NULL. */
	void (*after)(void *context);
	void *context;
};

/* A sixteenth of the time between two ticks, in milliseconds: how finely a due tick is noticed. */
uint32_t tp_decay_part(const struct tp_decay *decay);

/* Whether a tick is due. If so, this caller alone has to begin it. */
bool tp_decay_claim(struct tp_decay *decay);

/* How a tick is done: in pieces; whole, by tp_decay_all; whole because the program asked for it. */
enum tp_tick { TP_TICK_PIECES, TP_TICK_WHOLE, TP_TICK_ASKED };

/*
 * A tick starts in two steps, with the depots between them:
 *
 *     tp_decay_turn(decay)          every CPU now owes a tick
 *     age or empty the depots
 *     tp_decay_begin(decay, how)    ticks goes up; CPUs may be aged
 *
 * A buffer that moves from an aged depot to a CPU that still owes would be aged twice for one tick.
 * So a refill of a CPU that owes (tp_decay_owes) sets the age to 0.
 */
void tp_decay_turn(struct tp_decay *decay);
void tp_decay_begin(struct tp_decay *decay, enum tp_tick how);

/* Does a piece of the ticks that have begun. Returns: whether more is left. */
bool tp_decay_some(struct tp_decay *decay, const struct tp_ager *ager);

/* Does a tick on all CPUs but busy ones. Before: it began as whole; ager does a CPU in one call. */
void tp_decay_all(struct tp_decay *decay, const struct tp_ager *ager);

/* Whether the last tick began ms ago or earlier, and none is about to begin. */
bool tp_decay_is_past(const struct tp_decay *decay, unsigned ms);

/* In the child of a fork: forgets the ticks that other threads were about to begin. */
void tp_decay_forked(struct tp_decay *decay);

/* Whether a CPU, or the caller's, owes a tick: then what comes to it now will be aged as well. */
bool tp_decay_owes(const struct tp_decay *decay, const struct tp_cpu *cpu);
bool tp_decay_owes_here(const struct tp_decay *decay);

/* The mean gap for tp_stack_arm after an expiry here. more: a piece is left, so the gap is 1. */
unsigned tp_decay_gap(struct tp_decay *decay, bool more);

/* After a slow call, by which most surplus comes: the caller's CPU looks at the clock soon. */
void tp_decay_shorten(struct tp_decay *decay);

/*
 * How the reaper may sleep while nothing is here, and misses nothing:
 *
 *     the reaper                          a call that has kept or freed something
 *     tp_decay_unwatch: sets unwatched    tp_decay_kept: clears it; if it was set, wakes the reaper
 *     looks whether anything is here
 *     tp_decay_due: if so, clears it
 *
 * The first two are exchanges. If the call's is first, the reaper's look sees what was kept; if the
 * reaper's is first, the call wakes it.
 */
void tp_decay_kept(struct tp_decay *decay);
void tp_decay_unwatch(struct tp_decay *decay);

/* any: whether something is here. Returns: when the next tick is due; TP_DUE_EMPTY if not any. */
uint64_t tp_decay_due(struct tp_decay *decay, bool any);

/* Pops and pushes of a CPU so far, at some moment: the same as before only if it is idle. */
uint64_t tp_decay_moves(const struct tp_decay *decay, unsigned cpu_id);

/*
 * Whether a CPU may be stopped for something that can be done without: a fence costs the CPU more
 * than an allocation. True if stopping it takes no fence; if nothing moved there since this was
 * last asked; or if due, which is tp_decay_stop_due.
 */
bool tp_decay_may_stop(struct tp_decay *decay, unsigned cpu_id, bool due);

/* Whether a millisecond has passed since this was last true. */
bool tp_decay_stop_due(struct tp_decay *decay);

#endif
