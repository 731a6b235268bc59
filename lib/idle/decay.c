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

void tp_decay_init(struct tp_decay *decay, void *memory, struct tp_doors *doors, const uint16_t *at,
	unsigned stacks, unsigned ms)
{
	memset(memory, 0, tp_decay_bytes(doors->count));
	*decay = (struct tp_decay){.doors = doors,
		.cpu = memory,
		.at = at,
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

static unsigned number_of(const struct tp_decay *decay, const struct tp_door *door)
{
	return (unsigned)(door - decay->doors->door);
}

static struct tp_decay_cpu *of(const struct tp_decay *decay, const struct tp_door *door)
{
	return &decay->cpu[number_of(decay, door)];
}

static unsigned own_cpu(const struct tp_decay *decay)
{
	return tp_percpu_current(decay->doors->count);
}

void tp_decay_cpu_joins(struct tp_decay *decay, const struct tp_door *door)
{
	tp_store_relaxed(&of(decay, door)->aged, (uint32_t)tp_load_relaxed(&decay->ticks));
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
			decay->doors->count);
	number = tp_add_relaxed(&decay->ticks, 1u) + 1;
	/* Release: who goes on with this tick sees that it has begun. */
	tp_store_release(
		&decay->swept, number << 32 | (tick == TP_TICK_PIECES ? 0 : decay->doors->count));
	tp_sub_acq_rel(&decay->turning, 1u);
}

/* Of 32 bits, as doors count ticks. */
static uint32_t tick_now(const struct tp_decay *decay)
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
bool tp_decay_owes(const struct tp_decay *decay, const struct tp_door *door)
{
	return tp_load_relaxed(&door->home) &&
	       (tp_load_acquire(&decay->turning) ||
		       tp_load_relaxed(&of(decay, door)->aged) != tick_now(decay));
}

bool tp_decay_owes_here(const struct tp_decay *decay)
{
	return tp_decay_owes(decay, &decay->doors->door[own_cpu(decay)]);
}

static void door_hurry(struct tp_decay *decay, struct tp_door *door)
{
	for (unsigned i = 0; i < decay->stacks; i++)
		tp_cpucache_hurry(door, door->home + decay->at[i], GAP_SOON);
	tp_store_relaxed(&of(decay, door)->gap, GAP_SOON);
	tp_store_relaxed(&of(decay, door)->hurried_ms, (uint32_t)tp_clock_ms());
}

/*
 * Whether so little time has passed since then that it is no tick's distance; never for a tick that
 * was asked for. Where ticks are as close as the clock's own, it cannot be told.
 */
static bool is_recent(const struct tp_decay *decay, uint32_t ms)
{
	uint32_t apart = tp_load_relaxed(&decay->apart_ms);

	return !tp_load_relaxed(&decay->asked) && apart >= 2 * CLOCK_MS &&
	       (uint32_t)tp_clock_ms() - ms < apart / 2;
}

/*
 * What was in use there so far: also what came otherwise than by a push, by a slow put or a growth,
 * and owes no more than if it were pushed.
 */
static uint64_t uses(const struct tp_decay *decay, unsigned cpu)
{
	return tp_decay_moves(decay, cpu) + tp_load_relaxed(&decay->doors->door[cpu].moved_in);
}

/*
 * A stopped CPU's part of a tick, which may be so many steps. Whether it is done. One that was late
 * with the tick before is not aged for this one as well, unless the program asked for it: else what
 * was used just before the late one would go right after it. Where the tick before came only to
 * door->ager, and just now, this one begins there. What was used since the first piece, or may have
 * been aged in one of a tick that did not end, owes one step.
 */
static bool door_age(struct tp_decay *decay, struct tp_door *door, uint32_t tick, unsigned steps,
	const struct tp_ager *ager)
{
	struct tp_decay_cpu *cpu = of(decay, door);
	uint32_t used;

	if ((int32_t)(tick - tp_load_relaxed(&cpu->aged)) <= 0)
		return true;
	/* Another one may have begun, and been done in part, while we came here. */
	if ((int32_t)(cpu->ager_tick - tick) > 0)
		tick = cpu->ager_tick;
	/* It is seen in time that the next one is due, however few gets there are from now on. */
	door_hurry(decay, door);
	used = (uint32_t)uses(decay, number_of(decay, door));
	if (cpu->ager_tick != tick) {
		bool ended = (int32_t)(cpu->ager_tick - tp_load_relaxed(&cpu->aged)) <= 0;

		if (ended || !is_recent(decay, cpu->ager_ms))
			cpu->ager = 0;
		cpu->ager_steps = ended ? (uint16_t)steps : 1;
		if (is_recent(decay, cpu->aged_ms))
			cpu->ager_steps = 0;
		tp_store_relaxed(&cpu->ager_tick, tick);
	} else if (used != cpu->ager_uses)
		cpu->ager_steps = (uint16_t)tp_min(cpu->ager_steps, 1);
	cpu->ager_uses = used;
	cpu->ager_ms = (uint32_t)tp_clock_ms();
	if (cpu->ager_steps && !ager->age(ager->context, door, &cpu->ager, cpu->ager_steps))
		return false;
	cpu->aged_ms = cpu->ager_ms;
	tp_store_relaxed(&cpu->aged, tick);
	return true;
}

static void door_publish(struct tp_door *door, const struct tp_ager *ager)
{
	tp_door_publish(door);
	if (ager->after)
		ager->after(ager->context);
}

/* Looks at a CPU for a tick: what was in use there since the last such look. */
static uint64_t look(struct tp_decay_cpu *cpu, uint64_t now)
{
	tp_store_relaxed(&cpu->tick_ms, (uint32_t)tp_clock_ms());
	/* Relaxed: two ticks at once age what they find, and differ in who found it busy. */
	return now - tp_exchange_relaxed(&cpu->uses_at_tick, now);
}

/* Whether there is anything to do for a tick on a CPU. */
static bool owes(const struct tp_decay *decay, unsigned cpu)
{
	return tp_load_relaxed(&decay->doors->door[cpu].home) &&
	       tp_load_relaxed(&decay->cpu[cpu].aged) != tick_now(decay);
}

/*
 * The caller's CPU, which is in use and so owes one tick, whatever was missed. Whether it is done.
 */
static bool own_age(struct tp_decay *decay, const struct tp_ager *ager)
{
	uint32_t tick = tick_now(decay);
	struct tp_door *door;
	bool done;

	if (tp_likely(!owes(decay, own_cpu(decay))))
		return true;
	door = tp_doors_stop_own(decay->doors);
	if (!door)
		return false;
	look(of(decay, door), uses(decay, number_of(decay, door)));
	done = door_age(decay, door, tick, 1, ager);
	door_publish(door, ager);
	return done;
}

/* Nothing lies there, and there is no room for anything. */
static bool is_empty(const struct tp_decay *decay, unsigned cpu)
{
	for (unsigned i = 0; i < decay->stacks; i++)
		if (tp_word_held(tp_cpucache_word(decay->doors, cpu, decay->at[i])))
			return false;
	return true;
}

/* What came of a look at a CPU: a part is left; it was stopped; or it need not be, or cannot. */
enum aged { AGED_PARTLY, AGED_STOPPED, AGED_UNSTOPPED };

/* Any CPU's part of a tick, or it is left to the CPU itself. */
static enum aged cpu_age(
	struct tp_decay *decay, unsigned cpu, bool whole, const struct tp_ager *ager)
{
	struct tp_decay_cpu *state = &decay->cpu[cpu];
	uint32_t tick = tick_now(decay), aged = tp_load_relaxed(&state->aged);
	struct tp_door *door;
	bool owes_two, done;
	uint64_t now, used;

	/* What is put there from now on was put after the tick. Else another did it just now. */
	if (is_empty(decay, cpu)) {
		(void)tp_publish(&state->aged, &aged, tick);
		return AGED_UNSTOPPED;
	}
	now = uses(decay, cpu);
	owes_two = tick - aged >= 2 && !is_recent(decay, tp_load_relaxed(&state->tick_ms));
	used = look(state, now);
	if (tp_percpu_rseq && used >= BUSY && tick - aged < 2 && cpu != tp_percpu_id())
		return AGED_UNSTOPPED;
	door = whole ? tp_doors_stop(decay->doors, cpu) : tp_doors_try_stop(decay->doors, cpu);
	if (!door)
		return AGED_UNSTOPPED;
	/* Nor since it was stopped: a buffer that was put since then owes nothing. */
	owes_two = owes_two && !used && uses(decay, cpu) == now;
	done = door_age(decay, door, tick, 1 + owes_two, ager);
	door_publish(door, ager);
	return done ? AGED_STOPPED : AGED_PARTLY;
}

/* Whether the last piece of the tick left something there. */
static bool is_partly_done(const struct tp_decay *decay, unsigned cpu)
{
	return owes(decay, cpu) && tp_load_relaxed(&decay->cpu[cpu].ager_tick) == tick_now(decay);
}

/*
 * Where the next look goes: each CPU has one in a tick; and where some were done in part all have
 * another one, for the sake of these, in as many rounds as it takes. False: all had theirs.
 */
static bool sweep_next(struct tp_decay *decay, unsigned *cpu, bool *again)
{
	uint64_t swept = tp_load_acquire(&decay->swept), next;
	bool took = false;

	do {
		next = swept;
		if (((uint32_t)swept & ~SWEPT_AGAIN) >= decay->doors->count) {
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
	*cpu = (tp_load_relaxed(&decay->first_cpu) + ((uint32_t)next & ~SWEPT_AGAIN)) %
	       decay->doors->count;
	return true;
}

/*
 * Other CPUs, a few in a call, and from where the last call came to: so that where few calls are
 * made in a period each CPU's turn comes. Whether that was all.
 */
static bool sweep(struct tp_decay *decay, const struct tp_ager *ager)
{
	unsigned looks = 0, stops = 0, cpu;
	bool again;

	while (looks < PIECE_LOOKS && stops < PIECE_STOPS) {
		enum aged result;

		if (!sweep_next(decay, &cpu, &again))
			return true;
		if (again ? !is_partly_done(decay, cpu) : !owes(decay, cpu))
			continue;
		looks++;
		result = cpu_age(decay, cpu, false, ager);
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
	bool own = own_age(decay, ager);
	bool others = sweep(decay, ager);

	return !own || !others;
}

void tp_decay_all(struct tp_decay *decay, const struct tp_ager *ager)
{
	for (unsigned cpu = 0; cpu < decay->doors->count; cpu++)
		if (owes(decay, cpu))
			cpu_age(decay, cpu, true, ager);
}

/* ---- looking at the clock ---- */

unsigned tp_decay_gap(struct tp_decay *decay, bool more)
{
	struct tp_decay_cpu *cpu = &decay->cpu[own_cpu(decay)];
	uint32_t now = (uint32_t)tp_clock_ms(), part = tp_decay_part(decay);
	uint32_t took = now - tp_load_relaxed(&cpu->struck_ms);
	uint64_t gap = tp_max(tp_load_relaxed(&cpu->gap), 1);

	if (more)
		return 1;
	if (took < part)
		gap = tp_min(2 * gap, GAP_MOST);
	else if (took / 2 >= part)
		gap = tp_max(gap * part / took, 1);
	/* Relaxed: of two threads that strike at once here, one of which has left, one is heard. */
	tp_store_relaxed(&cpu->gap, (uint32_t)gap);
	tp_store_relaxed(&cpu->struck_ms, now);
	return (unsigned)gap;
}

void tp_decay_hurry(struct tp_decay *decay)
{
	struct tp_decay_cpu *cpu = &decay->cpu[own_cpu(decay)];
	struct tp_door *door;

	/* Seldom, so that slow calls among many gets do not make strikes of all of them. */
	if (tp_likely(tp_load_relaxed(&cpu->gap) <= 2 * GAP_SOON) ||
		(uint32_t)tp_clock_ms() - tp_load_relaxed(&cpu->hurried_ms) < tp_decay_part(decay))
		return;
	door = tp_doors_stop_own(decay->doors);
	if (!door)
		return;
	door_hurry(decay, door);
	tp_door_publish(door);
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

uint64_t tp_decay_moves(const struct tp_decay *decay, unsigned cpu)
{
	struct tp_cpucache_counts counts =
		tp_cpucache_count_on(decay->doors, cpu, decay->at, decay->stacks);

	return (uint64_t)(counts.pops + counts.pushes);
}

bool tp_decay_may_stop(struct tp_decay *decay, unsigned cpu, bool due)
{
	uint64_t moves;

	if (due || !tp_percpu_rseq || cpu == tp_percpu_id())
		return true;
	moves = tp_decay_moves(decay, cpu);
	/* Relaxed: two who look at once both see it idle, or one of them looks again. */
	return tp_exchange_relaxed(&decay->cpu[cpu].moves_at_look, moves) == moves;
}

bool tp_decay_stop_due(struct tp_decay *decay)
{
	uint64_t last = tp_load_relaxed(&decay->last_stop_ms), now = tp_clock_ms();

	return now != last && tp_cas_relaxed(&decay->last_stop_ms, &last, now);
}
