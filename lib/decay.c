/* SPDX-License-Identifier: MIT */
#include "decay.h"

#include <limits.h>

#include "clock.h"
#include "inject.h"

/* Pops and pushes since the last tick from which on a CPU counts as hard at work. */
#define BUSY 4096

/* CPUs that are looked at in a piece of a tick: four fences of idle CPUs are 2 us. */
#define PIECE_CPUS 4

/*
 * Gets between two strikes of a stack, on average. After a tick and after a slow call, when
 * something may have become surplus, a few; then as many as come in a part of the time between
 * ticks, but some four thousand at the most. A strike takes some 40 ns: no more often than that, so
 * that the 99.9th percentile of a get does not see it (tick_tail: 70 ns at one in 1,024, else 40).
 */
#define GAP_SOON 16
#define GAP_MOST 4096
#define PARTS 16

void tp_decay_init(struct tp_decay *decay, struct tp_doors *doors, const uint16_t *at,
	unsigned stacks, unsigned ms)
{
	*decay = (struct tp_decay){.doors = doors,
		.at = at,
		.stacks = stacks,
		.ms = ms,
		/* The reaper may be asleep, and knows nothing of what is made now. */
		.unwatched = 1,
		.due = ms == UINT_MAX ? TP_DUE_NEVER : tp_clock_ms() + ms};
}

/* The time between two strikes that is aimed at, in milliseconds. */
static uint32_t part_of(const struct tp_decay *decay)
{
	return (uint32_t)tp_max(decay->ms / PARTS, 1);
}

static struct tp_door *own_door(const struct tp_decay *decay)
{
	return &decay->doors->door[tp_percpu_current(decay->doors->count)];
}

/* ---- ticks ---- */

static void begin(struct tp_decay *decay, unsigned swept)
{
	uint64_t tick = tp_add_relaxed(&decay->ticks, 1u) + 1;

	/* Release: who goes on with this tick sees that it has begun. */
	tp_store_release(&decay->swept, tick << 32 | swept);
}

void tp_decay_begin(struct tp_decay *decay)
{
	begin(decay, 0);
}

bool tp_decay_begin_due(struct tp_decay *decay)
{
	uint64_t due = tp_load_relaxed(&decay->due), now = tp_clock_ms();

	if (tp_likely(now < due) || !tp_cas_relaxed(&decay->due, &due, now + decay->ms))
		return false;
	begin(decay, 0);
	return true;
}

void tp_decay_join(struct tp_decay *decay, unsigned cpu)
{
	/* Relaxed: nobody looks at it before there is a slab, whose installation is a release. */
	tp_store_relaxed(&decay->doors->door[cpu].aged, (uint32_t)tp_load_relaxed(&decay->ticks));
}

static void door_hurry(struct tp_decay *decay, struct tp_door *door)
{
	for (unsigned i = 0; i < decay->stacks; i++)
		tp_cpucache_hurry(door, door->home + decay->at[i], GAP_SOON);
	tp_store_relaxed(&door->gap, GAP_SOON);
	tp_store_relaxed(&door->hurried_ms, (uint32_t)tp_clock_ms());
}

/* A stopped CPU's part. Whether it is done. */
static bool door_age(
	struct tp_decay *decay, struct tp_door *door, unsigned ticks, const struct tp_ager *ager)
{
	uint32_t tick = (uint32_t)tp_load_relaxed(&decay->ticks);

	if (tp_load_relaxed(&door->aged) == tick)
		return true;
	/* It is seen in time that the next one is due, however few gets there are from now on. */
	door_hurry(decay, door);
	if (!ager->age(ager->context, door, ticks))
		return false;
	tp_store_relaxed(&door->aged, tick);
	return true;
}

static void door_publish(struct tp_door *door, const struct tp_ager *ager)
{
	tp_door_publish(door);
	if (ager->after)
		ager->after(ager->context);
}

/* The caller's CPU, which is in use and so owes one tick, whatever was missed. Whether it is done. */
static bool own_age(struct tp_decay *decay, const struct tp_ager *ager)
{
	struct tp_door *door = own_door(decay);
	bool done;

	if (tp_likely(tp_load_relaxed(&door->aged) == (uint32_t)tp_load_relaxed(&decay->ticks)) ||
		!tp_load_relaxed(&door->home))
		return true;
	door = tp_doors_stop_own(decay->doors);
	if (!door)
		return false;
	done = door_age(decay, door, 1, ager);
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

/*
 * What was in use there so far: also what came otherwise than by a push, by a slow put or a growth, and
 * owes no more than if it were pushed.
 */
static uint64_t uses(const struct tp_decay *decay, unsigned cpu)
{
	return tp_decay_moves(decay, cpu) + tp_load_relaxed(&decay->doors->door[cpu].moved_in);
}

/* Any CPU's part; or it is left to the CPU itself. False: a piece of it is left. */
static bool cpu_age(struct tp_decay *decay, unsigned cpu, const struct tp_ager *ager)
{
	struct tp_door *door = &decay->doors->door[cpu];
	uint32_t tick = (uint32_t)tp_load_relaxed(&decay->ticks);
	uint32_t aged = tp_load_relaxed(&door->aged);
	uint64_t now, moved;
	bool owes_two, done;

	if (aged == tick)
		return true;
	/* What is put there from now on was put after the tick. Else another one did it just now. */
	if (is_empty(decay, cpu)) {
		(void)tp_publish(&door->aged, &aged, tick);
		return true;
	}
	now = uses(decay, cpu);
	/* Relaxed: two ticks at once age what they find, and differ in who found it busy. */
	moved = now - tp_exchange_relaxed(&door->moves_at_tick, now);
	owes_two = tick - aged >= 2;
	if (tp_percpu_rseq && moved >= BUSY && !owes_two && cpu != tp_percpu_id())
		return true;
	door = tp_doors_stop(decay->doors, cpu);
	/* Out of reach, or closed: then there is nothing that could be done later. */
	if (!door)
		return true;
	/* Nor since it was stopped: a buffer that was put since then owes nothing. */
	owes_two = owes_two && !moved && uses(decay, cpu) == now;
	done = door_age(decay, door, 1 + owes_two, ager);
	door_publish(door, ager);
	return done;
}

/* Other CPUs, each once in a tick, but a few in a call. Whether that was all. */
static bool sweep(struct tp_decay *decay, const struct tp_ager *ager)
{
	uint64_t swept = tp_load_acquire(&decay->swept);
	unsigned looked = 0, cpu;

	while ((cpu = (uint32_t)swept) < decay->doors->count) {
		if (looked == PIECE_CPUS)
			return false;
		if (!tp_cas_relaxed(&decay->swept, &swept, swept + 1))
			continue;
		swept++;
		if (!tp_load_relaxed(&decay->doors->door[cpu].home))
			continue;
		looked++;
		/* Where a piece of it is left, once more from here; if nobody went on meanwhile. */
		if (!cpu_age(decay, cpu, ager)) {
			(void)tp_publish(&decay->swept, &swept, swept - 1);
			return false;
		}
	}
	return true;
}

bool tp_decay_some(struct tp_decay *decay, const struct tp_ager *ager)
{
	bool own = own_age(decay, ager);
	bool others = sweep(decay, ager);

	return !own || !others;
}

void tp_decay_all(struct tp_decay *decay, const struct tp_ager *ager)
{
	unsigned count = decay->doors->count;

	if (decay->ms != UINT_MAX)
		tp_store_relaxed(&decay->due, tp_clock_ms() + decay->ms);
	begin(decay, count);
	for (unsigned cpu = 0; cpu < count; cpu++)
		if (tp_load_relaxed(&decay->doors->door[cpu].home))
			cpu_age(decay, cpu, ager);
}

/* ---- looking at the clock ---- */

unsigned tp_decay_gap(struct tp_decay *decay)
{
	struct tp_door *door = own_door(decay);
	uint32_t now = (uint32_t)tp_clock_ms(), part = part_of(decay);
	uint32_t took = now - tp_load_relaxed(&door->struck_ms);
	uint64_t gap = tp_max(tp_load_relaxed(&door->gap), 1);

	if (took < part)
		gap = tp_min(2 * gap, GAP_MOST);
	else if (took / 2 >= part)
		gap = tp_max(gap * part / took, 1);
	/* Relaxed: of two threads that strike at once here, one of which has left, one is heard. */
	tp_store_relaxed(&door->gap, (uint32_t)gap);
	tp_store_relaxed(&door->struck_ms, now);
	return (unsigned)gap;
}

void tp_decay_hurry(struct tp_decay *decay)
{
	struct tp_door *door = own_door(decay);

	/* Seldom, so that slow calls among many gets do not make strikes of all of them. */
	if (tp_likely(tp_load_relaxed(&door->gap) <= 2 * GAP_SOON) ||
		(uint32_t)tp_clock_ms() - tp_load_relaxed(&door->hurried_ms) < part_of(decay))
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

void tp_decay_watch(struct tp_decay *decay)
{
	tp_store_relaxed(&decay->unwatched, 0u);
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
	return tp_exchange_relaxed(&decay->doors->door[cpu].moves_at_look, moves) == moves;
}

bool tp_decay_stop_due(struct tp_decay *decay)
{
	uint64_t last = tp_load_relaxed(&decay->last_stop_ms), now = tp_clock_ms();

	return now != last && tp_cas_relaxed(&decay->last_stop_ms, &last, now);
}
