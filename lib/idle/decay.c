/* SPDX-License-Identifier: MIT */
#include "idle/decay.h"

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "process/reaper.h"
#include "process/registry.h"

/* A CPU with this many pops and pushes since the last look, or more, is hard at work. */
#define BUSY 4096

/* Looks at the clock that are wanted in a period; and the gap before the first one. */
#define LOOKS 32
#define GAP_FIRST 64

void tp_decay_init(struct tp_decay *decay, void *memory, struct tp_cpus *cpus, unsigned ms)
{
	memset(memory, 0, tp_decay_bytes(cpus->count));
	*decay = (struct tp_decay){.cpus = cpus,
		.per_cpu = memory,
		.ms = ms,
		.begun_ms = tp_clock_ms(),
		.gap = GAP_FIRST};
	decay->looked_ms = decay->begun_ms;
	/* The reaper may be asleep, and has not looked at what is made now. */
	tp_decay_unwatch(decay);
}

/* The number of the last tick, as aged has it. */
static uint64_t decay_tick_now(const struct tp_decay *decay)
{
	return 2 * tp_load_relaxed(&decay->ticks);
}

/* How many ticks a CPU owes whose aged is this; 0 or less: none. */
static int64_t decay_behind(uint64_t tick, uint64_t aged)
{
	return (int64_t)(tick - (aged & ~UINT64_C(1))) / 2;
}

void tp_decay_slab_install(struct tp_decay *decay, unsigned cpu_id, uint64_t *slab)
{
	struct tp_cpu *cpu = tp_cpus_claim(decay->cpus, cpu_id);

	if (!cpu)
		return;
	tp_store_relaxed(&decay->per_cpu[cpu_id].aged, decay_tick_now(decay));
	tp_cpu_install(cpu, slab);
}

/* ---- ticks ---- */

uint64_t tp_decay_due_ms(const struct tp_decay *decay)
{
	return decay->ms == UINT_MAX ? TP_DUE_NEVER : tp_load_relaxed(&decay->begun_ms) + decay->ms;
}

bool tp_decay_is_due(const struct tp_decay *decay)
{
	return tp_clock_ms() >= tp_decay_due_ms(decay);
}

unsigned tp_decay_gap(struct tp_decay *decay)
{
	uint64_t now = tp_clock_ms(), wanted = tp_max(decay->ms / LOOKS, 1), last, since;
	uint32_t gap = tp_load_relaxed(&decay->gap);

	if (decay->ms == UINT_MAX)
		return TP_DECAY_GAP;
	/* Relaxed, all of it: of two looks at once the second finds that no time has passed. */
	last = tp_exchange_relaxed(&decay->looked_ms, now);
	since = now > last ? now - last : 0;
	if (since > 2 * wanted)
		gap = (uint32_t)tp_max(gap * wanted / since, 1);
	else if (2 * since < wanted)
		gap = (uint32_t)tp_min(2 * gap, TP_DECAY_GAP);
	tp_store_relaxed(&decay->gap, gap);
	return gap;
}

bool tp_decay_claim(struct tp_decay *decay, unsigned ms)
{
	uint64_t begun = tp_load_relaxed(&decay->begun_ms), now = tp_clock_ms();

	return ms != UINT_MAX && now >= begun + ms &&
	       tp_cas_strong_acq_rel(&decay->begun_ms, &begun, now);
}

void tp_decay_announce(struct tp_decay *decay)
{
	tp_store_relaxed(&decay->begun_ms, tp_clock_ms());
	/* Relaxed: a thread that finds a depot aged, in its lock, sees this too. */
	tp_add_relaxed(&decay->announced, 1u);
}

void tp_decay_begin(struct tp_decay *decay, bool looks)
{
	uint32_t left = tp_load_relaxed(&decay->left);

	/* Release: a thread that ages a CPU for this tick comes after the depots were aged. */
	(void)tp_add_acq_rel(&decay->ticks, 1u);
	/* If the looks of the last tick are not done, they come first; two for each CPU suffice. */
	while (looks && left < decay->cpus->count &&
		!tp_cas_relaxed(&decay->left, &left, left + decay->cpus->count))
		;
}

bool tp_decay_look(struct tp_decay *decay, unsigned *cpu_id)
{
	/* Relaxed: only the holder of maintaining lowers it. A look too many finds nothing owed. */
	if (!tp_load_relaxed(&decay->left))
		return false;
	*cpu_id = (tp_sub_relaxed(&decay->left, 1u) - 1) % decay->cpus->count;
	return true;
}

bool tp_decay_owes(const struct tp_decay *decay, unsigned cpu_id)
{
	return tp_load_relaxed(&decay->cpus->cpu[cpu_id].slab) &&
	       decay_behind(decay_tick_now(decay), tp_load_relaxed(&decay->per_cpu[cpu_id].aged)) >
		       0;
}

bool tp_decay_owes_here(const struct tp_decay *decay)
{
	return tp_decay_owes(decay, tp_cpu_current(decay->cpus->count));
}

bool tp_decay_makes_young(const struct tp_decay *decay)
{
	unsigned cpu_id = 0;

	/* First: the CPUs owe a tick that begins after this question. */
	if (tp_load_acquire(&decay->announced) > tp_load_acquire(&decay->ticks))
		return true;
	while (cpu_id < decay->cpus->count && !tp_decay_owes(decay, cpu_id))
		cpu_id++;
	return cpu_id < decay->cpus->count;
}

/* Whether nothing lies there, and there is no room for anything. */
static bool decay_cpu_is_empty(const struct tp_decay *decay, unsigned cpu_id)
{
	for (unsigned stack = 0; stack < decay->cpus->stacks; stack++)
		if (tp_word_held(tp_stack_word(decay->cpus, cpu_id, stack)))
			return false;
	return true;
}

/* Pops and pushes of a CPU so far, at some moment: the same as before only if it is idle. */
static uint64_t decay_moves(const struct tp_decay *decay, unsigned cpu_id)
{
	int64_t moves = 0;

	for (unsigned stack = 0; stack < decay->cpus->stacks; stack++) {
		struct tp_stack_counts counts = tp_stack_count_on(decay->cpus, cpu_id, stack);

		moves += counts.pops + counts.pushes;
	}
	return (uint64_t)moves;
}

/* Those since this was last called. */
static uint64_t decay_moves_note(struct tp_decay *decay, unsigned cpu_id)
{
	uint64_t moves = decay_moves(decay, cpu_id);

	/* Relaxed: of two calls at once one finds the CPU idle, and may fence it. */
	return moves - tp_exchange_relaxed(&decay->per_cpu[cpu_id].moves_seen, moves);
}

bool tp_decay_is_worth(struct tp_decay *decay, unsigned cpu_id)
{
	struct tp_decay_cpu *state = &decay->per_cpu[cpu_id];
	uint64_t tick = decay_tick_now(decay), aged = tp_load_relaxed(&state->aged);

	/* What is put there from now on comes after the tick. If it fails, another call did it. */
	if (decay_cpu_is_empty(decay, cpu_id)) {
		(void)tp_cas_strong_acq_rel(&state->aged, &aged, tick);
		return false;
	}
	return decay_moves_note(decay, cpu_id) < BUSY || decay_behind(tick, aged) > 1 || aged % 2 ||
	       !tp_cpu_rseq || cpu_id == tp_cpu_id();
}

bool tp_decay_take_tick(struct tp_decay *decay, struct tp_cpu *cpu)
{
	struct tp_decay_cpu *state = &decay->per_cpu[cpu - decay->cpus->cpu];
	uint64_t tick = decay_tick_now(decay);
	int64_t behind = decay_behind(tick, tp_load_relaxed(&state->aged));

	if (behind > 0)
		tp_store_relaxed(&state->aged, tick + (behind > 1));
	return behind > 0;
}

void tp_decay_forked(struct tp_decay *decay)
{
	decay->maintaining = 0;
	/* Depots were aged for a tick that was announced: it begins, or they would be one ahead. */
	decay->ticks = decay->announced;
}

/* ---- the reaper ---- */

/* Acquire and release, here and in tp_decay_unwatch: they pair with each other, see decay.h. */
void tp_decay_kept(struct tp_decay *decay)
{
	unsigned cpu_id = tp_cpu_current(decay->cpus->count);

	if (tp_unlikely(tp_exchange_acq_rel(&decay->per_cpu[cpu_id].unwatched, 0u)))
		tp_reaper_wake();
}

void tp_decay_unwatch(struct tp_decay *decay)
{
	for (unsigned cpu_id = 0; cpu_id < decay->cpus->count; cpu_id++)
		(void)tp_exchange_acq_rel(&decay->per_cpu[cpu_id].unwatched, 1u);
}

uint64_t tp_decay_watch(struct tp_decay *decay, bool any)
{
	if (!any)
		return TP_DUE_EMPTY;
	for (unsigned cpu_id = 0; cpu_id < decay->cpus->count; cpu_id++)
		tp_store_relaxed(&decay->per_cpu[cpu_id].unwatched, 0u);
	return tp_decay_due_ms(decay);
}

/* ---- which CPU may be stopped ---- */

bool tp_decay_may_stop(struct tp_decay *decay, unsigned cpu_id)
{
	return !tp_cpu_rseq || cpu_id == tp_cpu_id() || !decay_moves_note(decay, cpu_id) ||
	       tp_decay_stop_due(decay);
}

bool tp_decay_stop_due(struct tp_decay *decay)
{
	uint64_t last = tp_load_relaxed(&decay->last_stop_ms), now = tp_clock_ms();

	return now != last && tp_cas_relaxed(&decay->last_stop_ms, &last, now);
}
