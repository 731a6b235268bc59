/* SPDX-License-Identifier: MIT */
#include "idle/decay.h"

#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/inject.h"
#include "process/reaper.h"

/* Pops and pushes since the last tick from which on a CPU counts as hard at work. */
#define BUSY 4096

/*
 * Other CPUs in a piece of a tick: four fences of idle ones are 2 us, and so are sixteen looks at
 * where nothing lies.
 */
#define PIECE_STOPS 4
#define PIECE_LOOKS 16

/* In swept: this is another round, for what was done in part. */
#define SWEPT_AGAIN 0x80000000u

/* By so much the clock jumps at the most (clock.h). */
#define CLOCK_MS 10

/*
 * Gets between two strikes of a stack, on average. After a tick and after a slow call, when
 * something may have become surplus, a few; then as many as come in a part of the time between
 * ticks, but some four thousand at the most. A strike takes some 40 ns: no more often than that, so
 * that the 99.9th percentile of a get does not see it (tick_tail: 70 ns at one in 1,024, else 40).
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
		/* The reaper may be asleep, and knows nothing of what is made now. */
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

void tp_decay_cpu_joins(struct tp_decay *decay, const struct tp_cpu *cpu)
{
	tp_store_relaxed(&decay_state(decay, cpu)->aged, (uint32_t)tp_load_relaxed(&decay->ticks));
}

/* ---- ticks ---- */

bool tp_decay_claim(struct tp_decay *decay)
{
	uint64_t due = tp_load_relaxed(&decay->due), now = tp_clock_ms();

	return tp_unlikely(now >= due) && tp_cas_relaxed(&decay->due, &due, now + decay->ms);
}

void tp_decay_turn(struct tp_decay *decay)
{
	/* Acquire and release: seen by whoever finds the depots turned. */
	(void)tp_add_acq_rel(&decay->turning, 1u);
}

void tp_decay_begin(struct tp_decay *decay, enum tp_tick tick)
{
	uint64_t now = tp_clock_ms(), before = tp_exchange_relaxed(&decay->begun_ms, now), number;

	/* Of two that begin at once the earlier one may come later. */
	tp_store_relaxed(&decay->apart_ms, now > before ? (uint32_t)(now - before) : 0);
	if (decay->ms != UINT_MAX)
		tp_store_relaxed(&decay->due, now + decay->ms);
	tp_store_relaxed(&decay->asked, tick == TP_TICK_ASKED);
	/*
	 * Where the last one has come to, so that each CPU's turn comes. Relaxed: where two begin
	 * at once it is where one of them begins.
	 */
	tp_store_relaxed(&decay->first_cpu,
		(tp_load_relaxed(&decay->first_cpu) +
			((uint32_t)tp_load_relaxed(&decay->swept) & ~SWEPT_AGAIN)) %
			decay->cpus->count);
	number = tp_add_relaxed(&decay->ticks, 1u) + 1;
	/* Release: who goes on with this tick sees that it has begun. */
	tp_store_release(
		&decay->swept, number << 32 | (tick == TP_TICK_PIECES ? 0 : decay->cpus->count));
	tp_sub_acq_rel(&decay->turning, 1u);
}

/* Of 32 bits, as doors count ticks. */
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

/* Where it has no slab nothing comes to it. */
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
 * Whether so little time has passed since then that it is no tick's distance; never for a tick that
 * was asked for. Where ticks are as close as the clock's own, it cannot be told.
 */
static bool decay_is_recent(const struct tp_decay *decay, uint32_t ms)
{
	uint32_t apart = tp_load_relaxed(&decay->apart_ms);

	return !tp_load_relaxed(&decay->asked) && apart >= 2 * CLOCK_MS &&
	       (uint32_t)tp_clock_ms() - ms < apart / 2;
}

/*
 * What was in use there so far: also what came otherwise than by a push, by a slow put or a growth,
 * and owes no more than if it were pushed.
 */
static uint64_t decay_uses(const struct tp_decay *decay, unsigned cpu_id)
{
	return tp_decay_moves(decay, cpu_id) + tp_load_relaxed(&decay->cpus->cpu[cpu_id].moved_in);
}

/*
 * A stopped CPU's part of a tick, which may be so many steps. Whether it is done. One that was late
 * with the tick before is not aged for this one as well, unless the program asked for it: else what
 * was used just before the late one would go right after it. Where the tick before came only to
 * door->ager, and just now, this one begins there. What was used since the first piece, or may have
 * been aged in one of a tick that did not end, owes one step.
 */
static bool decay_age_stopped(struct tp_decay *decay, struct tp_cpu *cpu, uint32_t tick,
	unsigned steps, const struct tp_ager *ager)
{
	struct tp_decay_cpu *state = decay_state(decay, cpu);
	uint32_t used;

	if ((int32_t)(tick - tp_load_relaxed(&state->aged)) <= 0)
		return true;
	/* Another one may have begun, and been done in part, while we came here. */
	if ((int32_t)(state->ager_tick - tick) > 0)
		tick = state->ager_tick;
	/* It is seen in time that the next one is due, however few gets there are from now on. */
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

/* Looks at a CPU for a tick: what was in use there since the last such look. */
static uint64_t decay_look(struct tp_decay_cpu *state, uint64_t now)
{
	tp_store_relaxed(&state->tick_ms, (uint32_t)tp_clock_ms());
	/* Relaxed: two ticks at once age what they find, and differ in who found it busy. */
	return now - tp_exchange_relaxed(&state->uses_at_tick, now);
}

/* Whether there is anything to do for a tick on a CPU. */
static bool decay_cpu_owes(const struct tp_decay *decay, unsigned cpu_id)
{
	return tp_load_relaxed(&decay->cpus->cpu[cpu_id].slab) &&
	       tp_load_relaxed(&decay->per_cpu[cpu_id].aged) != decay_tick_now(decay);
}

/*
 * The caller's CPU, which is in use and so owes one tick, whatever was missed. Whether it is done.
 */
static bool decay_age_own(struct tp_decay *decay, const struct tp_ager *ager)
{
	uint32_t tick = decay_tick_now(decay);
	struct tp_cpu *cpu;
	bool done;

	if (tp_likely(!decay_cpu_owes(decay, decay_own_id(decay))))
		return true;
	cpu = tp_cpus_stop_own(decay->cpus);
	if (!cpu)
		return false;
	decay_look(decay_state(decay, cpu), decay_uses(decay, decay_cpu_id(decay, cpu)));
	done = decay_age_stopped(decay, cpu, tick, 1, ager);
	decay_cpu_start(cpu, ager);
	return done;
}

/* Nothing lies there, and there is no room for anything. */
static bool decay_cpu_is_empty(const struct tp_decay *decay, unsigned cpu_id)
{
	for (unsigned i = 0; i < decay->stacks; i++)
		if (tp_word_held(tp_stack_word(decay->cpus, cpu_id, decay->stack_index[i])))
			return false;
	return true;
}

/* What came of a look at a CPU: a part is left; it was stopped; or it need not be, or cannot. */
enum aged { AGED_PARTLY, AGED_STOPPED, AGED_UNSTOPPED };

/* Any CPU's part of a tick, or it is left to the CPU itself. */
static enum aged decay_age_cpu(
	struct tp_decay *decay, unsigned cpu_id, bool whole, const struct tp_ager *ager)
{
	struct tp_decay_cpu *state = &decay->per_cpu[cpu_id];
	uint32_t tick = decay_tick_now(decay), aged = tp_load_relaxed(&state->aged);
	struct tp_cpu *cpu;
	bool owes_two, done;
	uint64_t now, used;

	/* What is put there from now on was put after the tick. Else another did it just now. */
	if (decay_cpu_is_empty(decay, cpu_id)) {
		(void)tp_publish(&state->aged, &aged, tick);
		return AGED_UNSTOPPED;
	}
	now = decay_uses(decay, cpu_id);
	owes_two = tick - aged >= 2 && !decay_is_recent(decay, tp_load_relaxed(&state->tick_ms));
	used = decay_look(state, now);
	if (tp_cpu_rseq && used >= BUSY && tick - aged < 2 && cpu_id != tp_cpu_id())
		return AGED_UNSTOPPED;
	cpu = whole ? tp_cpus_stop(decay->cpus, cpu_id) : tp_cpus_try_stop(decay->cpus, cpu_id);
	if (!cpu)
		return AGED_UNSTOPPED;
	/* Nor since it was stopped: a buffer that was put since then owes nothing. */
	owes_two = owes_two && !used && decay_uses(decay, cpu_id) == now;
	done = decay_age_stopped(decay, cpu, tick, 1 + owes_two, ager);
	decay_cpu_start(cpu, ager);
	return done ? AGED_STOPPED : AGED_PARTLY;
}

/* Whether the last piece of the tick left something there. */
static bool decay_is_partly_done(const struct tp_decay *decay, unsigned cpu_id)
{
	return decay_cpu_owes(decay, cpu_id) &&
	       tp_load_relaxed(&decay->per_cpu[cpu_id].ager_tick) == decay_tick_now(decay);
}

/*
 * Where the next look goes: each CPU has one in a tick; and where some were done in part all have
 * another one, for the sake of these, in as many rounds as it takes. False: all had theirs.
 */
static bool decay_sweep_next(struct tp_decay *decay, unsigned *cpu_id, bool *again)
{
	uint64_t swept = tp_load_acquire(&decay->swept), next;
	bool took = false;

	do {
		next = swept;
		if (((uint32_t)swept & ~SWEPT_AGAIN) >= decay->cpus->count) {
			if (!took && !(tp_load_relaxed(&decay->left) &&
					     tp_exchange_acq_rel(&decay->left, 0u)))
				return false;
			took = true;
			next = (swept & ~(uint64_t)UINT32_MAX) | SWEPT_AGAIN;
		}
		/* Acquire: of another tick, perhaps, which then is seen to have begun. */
	} while (!tp_publish(&decay->swept, &swept, next + 1));
	*again = next & SWEPT_AGAIN;
	/* Where somebody else began that round, what is left may be behind its start. */
	if (took && (uint32_t)next != SWEPT_AGAIN)
		tp_store_release(&decay->left, 1u);
	*cpu_id = (tp_load_relaxed(&decay->first_cpu) + ((uint32_t)next & ~SWEPT_AGAIN)) %
		  decay->cpus->count;
	return true;
}

/*
 * Other CPUs, a few in a call, and from where the last call came to: so that where few calls are
 * made in a period each CPU's turn comes. Whether that was all.
 */
static bool decay_sweep(struct tp_decay *decay, const struct tp_ager *ager)
{
	unsigned looks = 0, stops = 0, cpu_id;
	bool again;

	while (looks < PIECE_LOOKS && stops < PIECE_STOPS) {
		enum aged result;

		if (!decay_sweep_next(decay, &cpu_id, &again))
			return true;
		if (again ? !decay_is_partly_done(decay, cpu_id) : !decay_cpu_owes(decay, cpu_id))
			continue;
		looks++;
		result = decay_age_cpu(decay, cpu_id, false, ager);
		stops += result == AGED_STOPPED;
		if (result == AGED_PARTLY) {
			/* Release: who goes on finds how far it is. */
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
	uint32_t took = now - tp_load_relaxed(&state->expired_ms);
	uint64_t gap = tp_max(tp_load_relaxed(&state->gap), 1);

	if (more)
		return 1;
	if (took < part)
		gap = tp_min(2 * gap, GAP_MOST);
	else if (took / 2 >= part)
		gap = tp_max(gap * part / took, 1);
	/* Relaxed: of two threads that strike at once here, one of which has left, one is heard. */
	tp_store_relaxed(&state->gap, (uint32_t)gap);
	tp_store_relaxed(&state->expired_ms, now);
	return (unsigned)gap;
}

void tp_decay_shorten(struct tp_decay *decay)
{
	struct tp_decay_cpu *state = &decay->per_cpu[decay_own_id(decay)];
	struct tp_cpu *cpu;

	/* Seldom, so that slow calls among many gets do not make strikes of all of them. */
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

/*
 * Each exchange of the one is before or after the other's: either the reaper's look, which follows
 * its own, sees what was kept before; or who kept it sees here that the reaper has looked.
 */
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

/* ---- whom a stop may cost ---- */

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
	/* Relaxed: two who look at once both see it idle, or one of them looks again. */
	return tp_exchange_relaxed(&decay->per_cpu[cpu_id].moves_at_look, moves) == moves;
}

bool tp_decay_stop_due(struct tp_decay *decay)
{
	uint64_t last = tp_load_relaxed(&decay->last_stop_ms), now = tp_clock_ms();

	return now != last && tp_cas_relaxed(&decay->last_stop_ms, &last, now);
}
