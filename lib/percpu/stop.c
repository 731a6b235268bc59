/* SPDX-License-Identifier: MIT */
#include "percpu/stop.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/inject.h"

/* One for the process: all zero, and not to be written. MAP_FAILED: none could be had. */
static uint64_t *closed_slab;

static void closed_slab_map(void)
{
	closed_slab = mmap(
		NULL, TP_SLAB_MOST, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int tp_doors_init(struct tp_doors *doors, void *memory, unsigned count)
{
	static pthread_once_t mapped = PTHREAD_ONCE_INIT;

	tp_percpu_start();
	pthread_once(&mapped, closed_slab_map);
	if (closed_slab == MAP_FAILED)
		return -ENOMEM;
	memset(memory, 0, tp_doors_bytes(count));
	*doors = (struct tp_doors){.slabs = memory, .count = count};
	doors->door = (void *)((char *)memory + tp_round_up(count * sizeof *doors->slabs, TP_LINE));
	for (unsigned cpu = 0; cpu < count; cpu++) {
		doors->slabs[cpu] = closed_slab;
		doors->door[cpu].shown = &doors->slabs[cpu];
	}
	return 0;
}

tp_cold struct tp_door *tp_doors_enter_other(const struct tp_doors *doors, unsigned cpu)
{
	for (unsigned i = 1; i < doors->count; i++) {
		cpu = tp_percpu_next(cpu, doors->count);
		if (tp_locked_try(&doors->door[cpu].lock))
			return &doors->door[cpu];
	}
	return NULL;
}

/* ---- stopping ---- */

/*
 * With the lock, which in locked mode is all it takes; in rseq mode on the CPU itself: shows the
 * closed slab there. False: we are not on it.
 */
static bool shut_own(struct tp_door *door, unsigned cpu)
{
	struct tp_store store = {.cpu = cpu,
		.gate = door->shown,
		.gated = door->home,
		.target = (uint64_t *)(void *)door->shown,
		.expected = (uintptr_t)door->home,
		.desired = (uintptr_t)closed_slab};

	if (!tp_percpu_rseq) {
		tp_store_relaxed(door->shown, closed_slab);
		return true;
	}
	for (unsigned tries = 0; tries < TP_SEQUENCE_TRIES && tp_percpu_id() == cpu; tries++)
		if (tp_sequence_store(tp_percpu_rseq, &store))
			return true;
	return false;
}

struct visit {
	struct tp_door *door;
	unsigned cpu;
};

static bool shut_as_visitor(void *context)
{
	const struct visit *visit = context;

	return shut_own(visit->door, visit->cpu);
}

static bool fence(struct tp_doors *doors, int cpu)
{
	if (tp_percpu_fence(cpu)) {
		tp_store_relaxed(&doors->fence_lost, 1u);
		return false;
	}
	tp_add_relaxed(&doors->fences, 1u);
	return true;
}

/*
 * With the lock: shows the closed slab, and fences. False: refused, and the CPU's slab is its own.
 */
static bool shut_fenced(struct tp_doors *doors, struct tp_door *door, unsigned cpu)
{
	if (tp_load_relaxed(&doors->fence_lost))
		return false;
	/*
	 * Relaxed: the fence is a full barrier on both CPUs. A thread that enters a sequence there
	 * after it sees the closed slab; one that entered before it aborts.
	 */
	tp_store_relaxed(door->shown, closed_slab);
	tp_point(TP_POINT_SHUT);
	if (fence(doors, (int)cpu))
		return true;
	/* Nothing was done to the slab: it is as whole as if it had never been hidden. */
	tp_store_release(door->shown, door->home);
	return false;
}

/* With the lock: makes the slab of a CPU that has one the caller's. */
static bool shut(struct tp_doors *doors, struct tp_door *door, unsigned cpu)
{
	struct visit visit = {door, cpu};

	return shut_own(door, cpu) || shut_fenced(doors, door, cpu) ||
	       tp_percpu_visit(cpu, shut_as_visitor, &visit);
}

static bool may_be_stopped(const struct tp_door *door)
{
	return door->home && !door->closed;
}

/* With the lock, which is given back where the CPU cannot be stopped. */
static struct tp_door *stop(struct tp_doors *doors, unsigned cpu)
{
	struct tp_door *door = &doors->door[cpu];

	if (may_be_stopped(door) && shut(doors, door, cpu)) {
		tp_point(TP_POINT_STOPPED);
		return door;
	}
	tp_locked_leave(&door->lock);
	return NULL;
}

struct tp_door *tp_doors_stop(struct tp_doors *doors, unsigned cpu)
{
	tp_locked_enter(&doors->door[cpu].lock);
	return stop(doors, cpu);
}

struct tp_door *tp_doors_try_stop(struct tp_doors *doors, unsigned cpu)
{
	return tp_locked_try(&doors->door[cpu].lock) ? stop(doors, cpu) : NULL;
}

struct tp_door *tp_doors_stop_own(struct tp_doors *doors)
{
	unsigned cpu = tp_percpu_current(doors->count);
	struct tp_door *door = &doors->door[cpu];

	if (!tp_locked_try(&door->lock))
		return NULL;
	/* We may have moved since we asked which CPU it is: then it is not ours to stop. */
	if (may_be_stopped(door) && shut_own(door, cpu)) {
		tp_point(TP_POINT_STOPPED);
		return door;
	}
	tp_locked_leave(&door->lock);
	return NULL;
}

void tp_door_publish(struct tp_door *door)
{
	tp_point(TP_POINT_PUBLISH);
	/*
	 * Release: whoever sees the slab shown finds in it what the stopper left. Partner: the
	 * sequence's load of the slab pointer, on which all its other loads depend.
	 */
	if (may_be_stopped(door))
		tp_store_release(door->shown, door->home);
	tp_locked_leave(&door->lock);
}

bool tp_door_is_stopped(const struct tp_door *door)
{
	return may_be_stopped(door) && tp_load_relaxed(door->shown) != door->home;
}

/*
 * With all locks: each CPU for itself, where one fence for all was refused. Whether all are
 * stopped.
 */
static bool shut_each(struct tp_doors *doors)
{
	bool all = true;

	for (unsigned cpu = 0; cpu < doors->count; cpu++) {
		struct visit visit = {&doors->door[cpu], cpu};

		if (!may_be_stopped(visit.door))
			continue;
		tp_store_release(visit.door->shown, visit.door->home);
		all &= shut_own(visit.door, cpu) || tp_percpu_visit(cpu, shut_as_visitor, &visit);
	}
	return all;
}

bool tp_doors_stop_all(struct tp_doors *doors)
{
	tp_doors_lock(doors);
	for (unsigned cpu = 0; cpu < doors->count; cpu++)
		if (may_be_stopped(&doors->door[cpu]))
			/* As in shut_fenced; one fence for all. */
			tp_store_relaxed(&doors->slabs[cpu], closed_slab);
	tp_point(TP_POINT_SHUT);
	return !tp_percpu_rseq ||
	       (!tp_load_relaxed(&doors->fence_lost) && fence(doors, TP_PERCPU_ALL)) ||
	       shut_each(doors);
}

void tp_doors_publish_all(struct tp_doors *doors)
{
	for (unsigned cpu = 0; cpu < doors->count; cpu++)
		tp_door_publish(&doors->door[cpu]);
}

void tp_doors_lock(struct tp_doors *doors)
{
	/* In one order, so that two who want all do not wait for each other. */
	for (unsigned cpu = 0; cpu < doors->count; cpu++)
		tp_locked_enter(&doors->door[cpu].lock);
}

void tp_doors_unlock(struct tp_doors *doors)
{
	for (unsigned cpu = 0; cpu < doors->count; cpu++)
		tp_locked_leave(&doors->door[cpu].lock);
}

struct tp_door *tp_doors_claim(struct tp_doors *doors, unsigned cpu)
{
	struct tp_door *door = &doors->door[cpu];

	if (!tp_fault(TP_FAULT_RACING_INSTALL))
		tp_locked_enter(&door->lock);
	if (!door->home && !door->closed)
		return door;
	if (!tp_fault(TP_FAULT_RACING_INSTALL))
		tp_locked_leave(&door->lock);
	return NULL;
}

void tp_door_install(struct tp_door *door, uint64_t *slab)
{
	/* Release: pairs with the acquires of home; a reader sees the slab zeroed. */
	tp_store_release(&door->home, slab);
	tp_point(TP_POINT_INSTALL);
	tp_store_release(door->shown, slab);
	if (!tp_fault(TP_FAULT_RACING_INSTALL))
		tp_locked_leave(&door->lock);
}

void tp_doors_close_all(struct tp_doors *doors)
{
	for (unsigned cpu = 0; cpu < doors->count; cpu++) {
		struct tp_door *door = &doors->door[cpu];

		/*
		 * Where a CPU could not be stopped a push may slip in here, and its buffer be lost.
		 */
		tp_store_release(door->shown, closed_slab);
		tp_store_relaxed(&door->closed, 1u);
	}
}
