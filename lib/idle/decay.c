/* SPDX-License-Identifier: MIT */
#include "idle/decay.h"

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/inject.h"
#include "process/reaper.h"
#include "process/registry.h"

/* A CPU with this many uses since the last tick, or more, is hard at work. */
#define BUSY 4096

/* Other CPUs in a piece of a tick: how many are stopped at most, and looked at. */
#define PIECE_STOPS 4
#define PIECE_LOOKS 16

/* In swept: this is a further round, for the CPUs that were done in part. */
#define SWEPT_FURTHER 0x80000000u

/* The clock moves by at most this much at once (clock.h). */
#define CLOCK_MS 10

/*
 * Mean gets between two expiries of a stack: GAP_SOON after a tick or a slow call, when something
 * may have become surplus; then as many as come in one of PARTS of a period, up to GAP_MOST. If
 * each 1,024th get expired, the 99.9th percentile would see it (tick_tail: 70 ns).
 */
#define GAP_SOON 16
#define GAP_MOST 4096
#define PARTS 16

void tp_decay_init(struct tp_decay *decay, void *memory, struct tp_cpus *cpus,
	const uint16_t *stack_index, unsigned stacks, unsigned ms)
{
	memset(memory, 0, tp_decay_bytes(cpus->count));
	*decay = (struct tp_decay){.cpus = cpus,
		.per_cpu = memory,
		.stack_index = stack_index,
		.stacks = stacks,
		.ms = ms,
		/* The reaper may be asleep, and has not looked at what is made now. */
		.unwatched = 1,
		.due = ms == UINT_MAX ? TP_DUE_NEVER : tp_clock_ms() + ms};
}

uint32_t tp_decay_part(const struct tp_decay *decay)
{
	return (uint32_t)tp_max(decay->ms / PARTS, 1);
}

static unsigned decay_cpu_id(const struct tp_decay *decay, const struct tp_cpu *cpu)
{
	return (unsigned)(cpu - decay->cpus->cpu);
}

static struct tp_decay_cpu *decay_state(const struct tp_decay *decay, const struct tp_cpu *cpu)
{
	return &decay->per_cpu[decay_cpu_id(decay, cpu)];
}

static unsigned decay_own_id(const struct tp_decay *decay)
{
	return tp_cpu_current(decay->cpus->count);
}

bool tp_decay_slab_install(struct tp_decay *decay, unsigned cpu_id, uint64_t *slab, void *block)
{
	struct tp_cpu *cpu = tp_cpus_claim(decay->cpus, cpu_id);

	if (!cpu)
		return false;
	cpu->block = block;
	tp_store_relaxed(&decay->per_cpu[cpu_id].aged, (uint32_t)tp_load_relaxed(&decay->ticks));
	tp_cpu_install(cpu, slab);
	return true;
}

/* ---- ticks ---- */

bool tp_decay_claim(struct tp_decay *decay)
{
	uint64_t due = tp_load_relaxed(&decay->due), now = tp_clock_ms();

	return tp_unlikely(now >= due) && tp_cas_relaxed(&decay->due, &due, now + decay->ms);
}

void tp_decay_turn(struct tp_decay *decay)
{
	/* Acquire: before the depots. A thread that finds them aged, in their locks, sees this. */
	(void)tp_add_acq_rel(&decay->turning, 1u);
}

void tp_decay_begin(struct tp_decay *decay, enum tp_tick how)
{
	uint64_t now = tp_clock_ms(), before = tp_exchange_relaxed(&decay->begun_ms, now), number;

	/* If two begin at once, the one with the later time may come first. */
	tp_store_relaxed(&decay->apart_ms, now > before ? (uint32_t)(now - before) : 0);
	if (decay->ms != UINT_MAX)
		tp_store_relaxed(&decay->due, now + decay->ms);
	tp_store_relaxed(&decay->asked, how == TP_TICK_ASKED);
	/*
	 * Where the looks of the last tick ended, so that each CPU has its turn. Relaxed: if two
	 * ticks begin at once, either place will do.
	 */
	tp_store_relaxed(&decay->first_cpu,
		(tp_load_relaxed(&decay->first_cpu) +
			((uint32_t)tp_load_relaxed(&decay->swept) & ~SWEPT_FURTHER)) %
			decay->cpus->count);
	number = tp_add_relaxed(&decay->ticks, 1u) + 1;
	/* Release: pairs with decay_sweep_next; a thread that looks for this tick sees ticks. */
	tp_store_release(
		&decay->swept, number << 32 | (how == TP_TICK_PIECES ? 0 : decay->cpus->count));
	/* Release: pairs with tp_decay_owes, which finds turning 0 and then sees ticks. */
	tp_sub_acq_rel(&decay->turning, 1u);
}

/* The number of the last tick, in 32 bits as aged. */
static uint32_t decay_tick_now(const struct tp_decay *decay)
{
	return (uint32_t)tp_load_relaxed(&decay->ticks);
}

bool tp_decay_is_past(const struct tp_decay *decay, unsigned ms)
{
	return !tp_load_relaxed(&decay->turning) &&
	       tp_clock_ms() >= tp_load_relaxed(&decay->begun_ms) + ms;
}

void tp_decay_forked(struct tp_decay *decay)
{
	decay->turning = 0;
}

/* To a CPU without a slab nothing can come. */
bool tp_decay_owes(const struct tp_decay *decay, const struct tp_cpu *cpu)
{
	return tp_load_relaxed(&cpu->slab) &&
	       (tp_load_acquire(&decay->turning) ||
		       tp_load_relaxed(&decay_state(decay, cpu)->aged) != decay_tick_now(decay));
}

bool tp_decay_owes_here(const struct tp_decay *decay)
{
	return tp_decay_owes(decay, &decay->cpus->cpu[decay_own_id(decay)]);
}

static void decay_cpu_shorten(struct tp_decay *decay, struct tp_cpu *cpu)
{
	for (unsigned i = 0; i < decay->stacks; i++)
		tp_stack_shorten(cpu, cpu->slab + decay->stack_index[i], GAP_SOON);
	tp_store_relaxed(&decay_state(decay, cpu)->gap, GAP_SOON);
	tp_store_relaxed(&decay_state(decay, cpu)->shortened_ms, (uint32_t)tp_clock_ms());
}

/*
 * Whether less than half the time between the last two ticks has passed since then: too little to
 * count as a tick's. Never if the last tick was asked for, or if ticks are as close as the clock's.
 */
static bool decay_is_recent(const struct tp_decay *decay, uint32_t then_ms)
{
	uint32_t apart = tp_load_relaxed(&decay->apart_ms);

	return !tp_load_relaxed(&decay->asked) && apart >= 2 * CLOCK_MS &&
	       (uint32_t)tp_clock_ms() - then_ms < apart / 2;
}

/* Uses of a CPU so far: what a slow put or a growth moved in is as young as what was pushed. */
static uint64_t decay_uses(const struct tp_decay *decay, unsigned cpu_id)
{
	return tp_decay_moves(decay, cpu_id) + tp_load_relaxed(&decay->cpus->cpu[cpu_id].moved_in);
}

/*
 * Does a piece of a tick on a stopped CPU, which owes this many steps. Returns: whether it is done.
 *
 *     the tick before              this one
 *     was done                     begins at the first stack, steps as given
 *     was left in part, recently   begins where that ended, one step
 *     was left in part, long ago   begins at the first stack, one step: part was aged already
 *
 * If a tick was done here recently, since it was late, this one ages nothing: else what was used
 * just before that one would go now. What is used between two pieces owes one step.
 */
static bool decay_age_stopped(struct tp_decay *decay, struct tp_cpu *cpu, uint32_t tick,
	unsigned steps, const struct tp_ager *ager)
{
	struct tp_decay_cpu *state = decay_state(decay, cpu);
	uint32_t used;

	if ((int32_t)(tick - tp_load_relaxed(&state->aged)) <= 0)
		return true;
	/* A later tick may have begun, and been done here in part, before we stopped the CPU. */
	if ((int32_t)(state->ager_tick - tick) > 0)
		tick = state->ager_tick;
	/* So that the next tick is noticed in time, however few gets there are from now on. */
	decay_cpu_shorten(decay, cpu);
	used = (uint32_t)decay_uses(decay, decay_cpu_id(decay, cpu));
	if (state->ager_tick != tick) {
		bool ended = (int32_t)(state->ager_tick - tp_load_relaxed(&state->aged)) <= 0;

		if (ended || !decay_is_recent(decay, state->ager_ms))
			state->ager = 0;
		state->ager_steps = ended ? (uint16_t)steps : 1;
		if (decay_is_recent(decay, state->aged_ms))
			state->ager_steps = 0;
		tp_store_relaxed(&state->ager_tick, tick);
	} else if (used != state->ager_uses)
		state->ager_steps = (uint16_t)tp_min(state->ager_steps, 1);
	state->ager_uses = used;
	state->ager_ms = (uint32_t)tp_clock_ms();
	if (state->ager_steps && !ager->age(ager->context, cpu, &state->ager, state->ager_steps))
		return false;
	state->aged_ms = state->ager_ms;
	tp_store_relaxed(&state->aged, tick);
	return true;
}

static void decay_cpu_start(struct tp_cpu *cpu, const struct tp_ager *ager)
{
	tp_cpu_start(cpu);
	if (ager->after)
		ager->after(ager->context);
}

/* Notes the uses of a CPU up to now, for a tick. Returns: those since it was last called. */
static uint64_t decay_uses_note(struct tp_decay_cpu *state, uint64_t now)
{
	tp_store_relaxed(&state->tick_ms, (uint32_t)tp_clock_ms());
	/* Relaxed: of two calls at once one finds the CPU idle, and may fence it. */
	return now - tp_exchange_relaxed(&state->uses_at_tick, now);
}

/* Whether a CPU owes a tick that has begun. */
static bool decay_cpu_owes(const struct tp_decay *decay, unsigned cpu_id)
{
	return tp_load_relaxed(&decay->cpus->cpu[cpu_id].slab) &&
	       tp_load_relaxed(&decay->per_cpu[cpu_id].aged) != decay_tick_now(decay);
}

/*
 * Does a piece on the caller's CPU. It is in use, so one step, however many ticks it missed.
 * Returns: whether the CPU is done.
 */
static bool decay_age_own(struct tp_decay *decay, const struct tp_ager *ager)
{
	struct tp_cpu *cpu;
	bool done;

	if (tp_likely(!decay_cpu_owes(decay, decay_own_id(decay))))
		return true;
	cpu = tp_cpus_stop_own(decay->cpus);
	if (!cpu)
		return false;
	decay_uses_note(decay_state(decay, cpu), decay_uses(decay, decay_cpu_id(decay, cpu)));
	done = decay_age_stopped(decay, cpu, decay_tick_now(decay), 1, ager);
	decay_cpu_start(cpu, ager);
	return done;
}

/* Whether nothing lies there, and there is no room for anything. */
static bool decay_cpu_is_empty(const struct tp_decay *decay, unsigned cpu_id)
{
	for (unsigned i = 0; i < decay->stacks; i++)
		if (tp_word_held(tp_stack_word(decay->cpus, cpu_id, decay->stack_index[i])))
			return false;
	return true;
}

/* What came of a look: the CPU was done in part; in whole; it was not stopped. */
enum aged { AGED_PARTLY, AGED_STOPPED, AGED_UNSTOPPED };

/* Does a tick on any CPU, or leaves it to the CPU itself if that is hard at work. */
static enum aged decay_age_cpu(
	struct tp_decay *decay, unsigned cpu_id, bool whole, const struct tp_ager *ager)
{
	struct tp_decay_cpu *state = &decay->per_cpu[cpu_id];
	uint32_t tick = decay_tick_now(decay), aged = tp_load_relaxed(&state->aged);
	struct tp_cpu *cpu;
	bool owes_two, done;
	uint64_t now, used;

	/* What is put there from now on comes after the tick. If it fails, another call did it. */
	if (decay_cpu_is_empty(decay, cpu_id)) {
		(void)tp_cas_strong_acq_rel(&state->aged, &aged, tick);
		return AGED_UNSTOPPED;
	}
	now = decay_uses(decay, cpu_id);
	owes_two = tick - aged >= 2 && !decay_is_recent(decay, tp_load_relaxed(&state->tick_ms));
	used = decay_uses_note(state, now);
	if (tp_cpu_rseq && used >= BUSY && tick - aged < 2 && cpu_id != tp_cpu_id())
		return AGED_UNSTOPPED;
	cpu = whole ? tp_cpus_stop(decay->cpus, cpu_id) : tp_cpus_try_stop(decay->cpus, cpu_id);
	if (!cpu)
		return AGED_UNSTOPPED;
	/* Only if nothing was used up to the stop: a buffer that was put just now is young. */
	owes_two = owes_two && !used && decay_uses(decay, cpu_id) == now;
	done = decay_age_stopped(decay, cpu, tick, 1 + owes_two, ager);
	decay_cpu_start(cpu, ager);
	return done ? AGED_STOPPED : AGED_PARTLY;
}

/* Whether a piece of the last tick was done there, and not the whole. */
static bool decay_is_partly_done(const struct tp_decay *decay, unsigned cpu_id)
{
	return decay_cpu_owes(decay, cpu_id) &&
	       tp_load_relaxed(&decay->per_cpu[cpu_id].ager_tick) == decay_tick_now(decay);
}

/*
 * Chooses the CPU of the next look. In the first round of a tick each CPU has one. As long as a
 * round leaves a CPU done in part, a further round follows. False: no look is left.
 */
static bool decay_sweep_next(struct tp_decay *decay, unsigned *cpu_id, bool *further_round)
{
	uint64_t swept = tp_load_acquire(&decay->swept), next;
	bool round_begun = false;

	do {
		next = swept;
		if (((uint32_t)swept & ~SWEPT_FURTHER) >= decay->cpus->count) {
			/* Acquire: pairs with decay_sweep; ager_tick is seen. */
			if (!round_begun && !(tp_load_relaxed(&decay->left) &&
						    tp_exchange_acq_rel(&decay->left, 0u)))
				return false;
			round_begun = true;
			next = (swept & ~(uint64_t)UINT32_MAX) | SWEPT_FURTHER;
		}
		/* Acquire: pairs with tp_decay_begin, if swept is of a later tick now. */
	} while (!tp_cas_strong_acq_rel(&decay->swept, &swept, next + 1));
	*further_round = next & SWEPT_FURTHER;
	/* Another call began that round first, and may be past the CPU that was left. */
	if (round_begun && (uint32_t)next != SWEPT_FURTHER)
		tp_store_release(&decay->left, 1u);
	*cpu_id = (tp_load_relaxed(&decay->first_cpu) + ((uint32_t)next & ~SWEPT_FURTHER)) %
		  decay->cpus->count;
	return true;
}

/*
 * Does a few other CPUs, from where the last call ended: so each CPU has its turn even if there are
 * few calls in a period. Returns: whether no look is left.
 */
static bool decay_sweep(struct tp_decay *decay, const struct tp_ager *ager)
{
	unsigned looks = 0, stops = 0, cpu_id;
	bool further_round;

	while (looks < PIECE_LOOKS && stops < PIECE_STOPS) {
		enum aged result;

		if (!decay_sweep_next(decay, &cpu_id, &further_round))
			return true;
		if (further_round ? !decay_is_partly_done(decay, cpu_id)
				  : !decay_cpu_owes(decay, cpu_id))
			continue;
		looks++;
		result = decay_age_cpu(decay, cpu_id, false, ager);
		stops += result == AGED_STOPPED;
		if (result == AGED_PARTLY) {
			/* Release: pairs with the exchange in decay_sweep_next. */
			tp_store_release(&decay->left, 1u);
			return false;
		}
	}
	return false;
}

bool tp_decay_some(struct tp_decay *decay, const struct tp_ager *ager)
{
	bool own = decay_age_own(decay, ager);
	bool others = decay_sweep(decay, ager);

	return !own || !others;
}

void tp_decay_all(struct tp_decay *decay, const struct tp_ager *ager)
{
	for (unsigned cpu_id = 0; cpu_id < decay->cpus->count; cpu_id++)
		if (decay_cpu_owes(decay, cpu_id))
			decay_age_cpu(decay, cpu_id, true, ager);
}

/* ---- looking at the clock ---- */

unsigned tp_decay_gap(struct tp_decay *decay, bool more)
{
	struct tp_decay_cpu *state = &decay->per_cpu[decay_own_id(decay)];
	uint32_t now = (uint32_t)tp_clock_ms(), part = tp_decay_part(decay);
	uint32_t elapsed = now - tp_load_relaxed(&state->expired_ms);
	uint64_t gap = tp_max(tp_load_relaxed(&state->gap), 1);

	if (more)
		return 1;
	/* Expiries are to come once in a part. */
	if (elapsed < part)
		gap = tp_min(2 * gap, GAP_MOST);
	else if (elapsed / 2 >= part)
		gap = tp_max(gap * part / elapsed, 1);
	/* Relaxed: if another thread does this at once, either of the two gaps will do. */
	tp_store_relaxed(&state->gap, (uint32_t)gap);
	tp_store_relaxed(&state->expired_ms, now);
	return (unsigned)gap;
}

void tp_decay_shorten(struct tp_decay *decay)
{
	struct tp_decay_cpu *state = &decay->per_cpu[decay_own_id(decay)];
	struct tp_cpu *cpu;

	/* Once in a part at most: else slow calls among many gets would make each get expire. */
	if (tp_likely(tp_load_relaxed(&state->gap) <= 2 * GAP_SOON) ||
		(uint32_t)tp_clock_ms() - tp_load_relaxed(&state->shortened_ms) <
			tp_decay_part(decay))
		return;
	cpu = tp_cpus_stop_own(decay->cpus);
	if (!cpu)
		return;
	decay_cpu_shorten(decay, cpu);
	tp_cpu_start(cpu);
}

/* ---- the reaper ---- */

/* Acquire and release, here and in tp_decay_unwatch: they pair with each other, see decay.h. */
void tp_decay_kept(struct tp_decay *decay)
{
	if (tp_unlikely(tp_exchange_acq_rel(&decay->unwatched, 0u)))
		tp_reaper_wake();
}

void tp_decay_unwatch(struct tp_decay *decay)
{
	(void)tp_exchange_acq_rel(&decay->unwatched, 1u);
}

uint64_t tp_decay_due(struct tp_decay *decay, bool any)
{
	if (!any)
		return TP_DUE_EMPTY;
	tp_store_relaxed(&decay->unwatched, 0u);
	return tp_load_relaxed(&decay->due);
}

/* ---- which CPU may be stopped ---- */

uint64_t tp_decay_moves(const struct tp_decay *decay, unsigned cpu_id)
{
	struct tp_stack_counts counts =
		tp_stack_count_on(decay->cpus, cpu_id, decay->stack_index, decay->stacks);

	return (uint64_t)(counts.pops + counts.pushes);
}

bool tp_decay_may_stop(struct tp_decay *decay, unsigned cpu_id, bool due)
{
	uint64_t moves;

	if (due || !tp_cpu_rseq || cpu_id == tp_cpu_id())
		return true;
	moves = tp_decay_moves(decay, cpu_id);
	/* Relaxed: if two ask at once, one of them may fence a CPU that is busy. */
	return tp_exchange_relaxed(&decay->per_cpu[cpu_id].moves_at_look, moves) == moves;
}

bool tp_decay_stop_due(struct tp_decay *decay)
{
	uint64_t last = tp_load_relaxed(&decay->last_stop_ms), now = tp_clock_ms();

	return now != last && tp_cas_relaxed(&decay->last_stop_ms, &last, now);
}
