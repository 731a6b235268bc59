/* SPDX-License-Identifier: MIT */
/*
 * When what lies idle on the CPUs is aged, and by whom; and whom a stop may cost. Owns the clock of
 * a pool's or cache's ticks, and how far each CPU has come with them; what a tick does to a CPU's
 * stacks, its owner says (tp_ager).
 *
 * A tick that begins is a number that is one higher; for each CPU is noted up to which number what
 * lies there has been aged. Whoever calls tierpool_tick, and the reaper, ages all CPUs before it
 * returns. A tick that falls due by itself is noticed by a slow call or a strike, and done in
 * pieces by all who come after: each CPU that is in use ages itself, and the others are aged by
 * whoever passes by, a few at a time. So no call does more than a piece.
 *
 * A CPU that is hard at work is not fenced, which would cost it more than its own ageing does, and
 * ages itself within at most two gaps between strikes. If it has not by the next tick it is fenced
 * after all. One that has not moved since it was left alone has not touched a buffer since, and so
 * owes both ticks.
 */
#ifndef TP_DECAY_H
#define TP_DECAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "percpu/stack.h"

/* As decay_ms, where none is given. */
#define TP_DECAY_MS 10000

/* What is known of a CPU: on a line of its own, which gets and puts there do not need. */
struct tp_decay_cpu {
	uint64_t moves_at_look; /* pops and pushes, by anyone */
	uint64_t uses_at_tick;  /* what was in use there, as of the last tick, by anyone */
	uint32_t tick_ms;       /* when that was */
	/*
	 * Ticks that have been done here, read by anyone, and when the last; and of the one that is
	 * done piece by piece: which it is, read by anyone; how far, in how many steps, when the
	 * last piece was, and what was in use then, its low bits. By whoever stopped the CPU.
	 */
	uint32_t aged, aged_ms;
	uint32_t ager_tick, ager_ms, ager_uses;
	uint16_t ager, ager_steps;
	/* Mean pops to the next strike; when the last one was, and when it was brought nearer. */
	uint32_t gap, expired_ms, shortened_ms;
} __attribute__((aligned(TP_LINE)));

struct tp_decay {
	struct tp_cpus *cpus;
	struct tp_decay_cpu *per_cpu; /* one for each of the doors */
	const uint16_t *stack_index;  /* of the stacks' words in each slab */
	unsigned stacks;
	unsigned ms;           /* between ticks; UINT_MAX: never by themselves */
	uint64_t due;          /* when the next tick is, by tp_clock_ms; read by anyone */
	uint64_t ticks;        /* begun so far; read by anyone */
	uint64_t swept;        /* of which tick, 32 bits; in another round, 1; CPUs looked at, 31 */
	uint32_t asked;        /* the last one that began was asked for */
	uint32_t turning;      /* ticks that are about to begin */
	uint64_t begun_ms;     /* when the last tick began */
	uint32_t apart_ms;     /* from the one before */
	uint32_t first_cpu;    /* where a tick's looks begin */
	uint64_t last_stop_ms; /* when busy CPUs were last stopped for what can be done without */
	uint32_t left;         /* a CPU that was looked at was done in part only */
	/* The reaper sleeps until it is told that this is not empty. */
	uint32_t unwatched;
};

/* Bytes for what is known of so many CPUs. */
static inline size_t tp_decay_bytes(unsigned count)
{
	return count * sizeof(struct tp_decay_cpu);
}

/*
 * memory: of tp_decay_bytes, aligned to TP_LINE. It, doors, and at[0 … stacks - 1], must outlive
 * the decay. ms as decay_ms in the options.
 */
void tp_decay_init(struct tp_decay *decay, void *memory, struct tp_cpus *cpus,
	const uint16_t *stack_index, unsigned stacks, unsigned ms);

/* A CPU that was claimed is given its slab now: it owes nothing of the ticks so far. */
void tp_decay_cpu_joins(struct tp_decay *decay, const struct tp_cpu *cpu);

struct tp_ager {
	/*
	 * Ages what lies on a stopped CPU by so many ticks, or a piece of it, where *progress says
	 * how far the piece before has come, at first 0. False: more is left.
	 */
	bool (*age)(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks);
	/* After that, when the CPU has its slab again; NULL: nothing. */
	void (*after)(void *context);
	void *context;
};

/* A sixteenth of the time between two ticks, in milliseconds: how finely what is due is noticed. */
uint32_t tp_decay_part(const struct tp_decay *decay);

/* Whether a tick is due, which then is the caller's to begin. */
bool tp_decay_claim(struct tp_decay *decay);

/*
 * How a tick is done: in pieces, by all who come; or whole, by tp_decay_all of who has begun it; or
 * whole because the program asked for it, and so everywhere, even where the last one was done late.
 */
enum tp_tick { TP_TICK_PIECES, TP_TICK_WHOLE, TP_TICK_ASKED };

/*
 * Begins a tick. Before that, between the two, the caller does what is not on CPUs; what goes from
 * there to a CPU meanwhile is told to be young (tp_decay_owes). Else it might be aged twice for one
 * tick.
 */
void tp_decay_turn(struct tp_decay *decay);
void tp_decay_begin(struct tp_decay *decay, enum tp_tick tick);

/* A piece of the ticks that have begun. Whether there is more to do. */
bool tp_decay_some(struct tp_decay *decay, const struct tp_ager *ager);

/* Does all of a tick that was begun so, but what is left to busy CPUs. ager must not leave any. */
void tp_decay_all(struct tp_decay *decay, const struct tp_ager *ager);

/* Whether the last tick began so long ago, and none is about to. */
bool tp_decay_is_past(const struct tp_decay *decay, unsigned ms);

/* In the child of a fork: ticks that other threads were about to begin do not. */
void tp_decay_forked(struct tp_decay *decay);

/* Whether a CPU has yet to be aged: what comes to it now will be, whatever its age. */
bool tp_decay_owes(const struct tp_decay *decay, const struct tp_cpu *cpu);
bool tp_decay_owes_here(const struct tp_decay *decay);

/*
 * When a CPU looks at the clock again: the mean gap to give to tp_stack_arm at a strike. While
 * there is more to do, at the next get.
 */
unsigned tp_decay_gap(struct tp_decay *decay, bool more);

/*
 * After a slow call, by which most surplus comes: looks at the clock soon again, since from now on
 * there may be few gets to notice it by.
 */
void tp_decay_shorten(struct tp_decay *decay);

/* Wakes the reaper where it waits for something to be kept here, or freed. After something was. */
void tp_decay_kept(struct tp_decay *decay);

/*
 * For the reaper, before it looks whether there is anything: from now on it is told if something is
 * kept. And what it makes of the look: when the next tick is due; where there is anything it need
 * not be told.
 */
void tp_decay_unwatch(struct tp_decay *decay);
uint64_t tp_decay_due(struct tp_decay *decay, bool any);

/* Pops and pushes of a CPU so far, as of some moment: the same as before only where it is idle. */
uint64_t tp_decay_moves(const struct tp_decay *decay, unsigned cpu_id);

/*
 * Whether another CPU may be stopped for something that can be done without: to the one that is, a
 * fence costs more than an allocation. Yes where stopping costs no fence; where nothing moved there
 * since the last look; and where due says that this is the one time in a millisecond.
 */
bool tp_decay_may_stop(struct tp_decay *decay, unsigned cpu_id, bool due);

/* Whether a millisecond has passed since this was last true. */
bool tp_decay_stop_due(struct tp_decay *decay);

#endif
