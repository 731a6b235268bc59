/* SPDX-License-Identifier: MIT */
#include "percpu/stop.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/inject.h"
#include "base/lock.h"

/* One for the process: all 0, and not writable. MAP_FAILED: it could not be mapped. */
static uint64_t *empty_slab;

static void stop_empty_slab_map(void)
{
	empty_slab = mmap(NULL, TP_SLAB_BYTES_MAX, PROT_READ,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int tp_cpus_init(struct tp_cpus *cpus, void *memory, unsigned count)
{
	static pthread_once_t mapped = PTHREAD_ONCE_INIT;

	tp_cpu_init();
	pthread_once(&mapped, stop_empty_slab_map);
	if (empty_slab == MAP_FAILED)
		return -ENOMEM;
	memset(memory, 0, tp_cpus_bytes(count));
	*cpus = (struct tp_cpus){.visible = memory, .count = count};
	cpus->cpu = (void *)((char *)memory + tp_round_up(count * sizeof *cpus->visible, TP_LINE));
	for (unsigned cpu_id = 0; cpu_id < count; cpu_id++) {
		cpus->visible[cpu_id] = empty_slab;
		cpus->cpu[cpu_id].visible = &cpus->visible[cpu_id];
	}
	return 0;
}

tp_cold struct tp_cpu *tp_cpus_enter_other(const struct tp_cpus *cpus, unsigned cpu_id)
{
	for (unsigned i = 1; i < cpus->count; i++) {
		cpu_id = tp_cpu_next(cpu_id, cpus->count);
		if (tp_spinlock_try(&cpus->cpu[cpu_id].lock))
			return &cpus->cpu[cpu_id];
	}
	return NULL;
}

/* ---- stopping ---- */

/* A thread that forks holds the locks of all CPUs, and passes them (base/lock.h). */
static void stop_lock(struct tp_cpu *cpu)
{
	if (!tp_lock_all_held())
		tp_spinlock_lock(&cpu->lock);
}

static bool stop_try_lock(struct tp_cpu *cpu)
{
	return tp_lock_all_held() || tp_spinlock_try(&cpu->lock);
}

static void stop_unlock(struct tp_cpu *cpu)
{
	if (!tp_lock_all_held())
		tp_spinlock_unlock(&cpu->lock);
}

/*
 * With the lock, and in rseq mode on the CPU itself: shows the empty slab there. In locked mode the
 * lock is enough. False: the caller is not on that CPU, or each try aborted.
 */
static bool stop_hide_own(struct tp_cpu *cpu, unsigned cpu_id)
{
	struct tp_rseq_store store = {.cpu_id = cpu_id,
		.visible = cpu->visible,
		.slab = cpu->slab,
		.target = (uint64_t *)(void *)cpu->visible,
		.expected = (uintptr_t)cpu->slab,
		.desired = (uintptr_t)empty_slab};

	if (!tp_cpu_rseq) {
		/* Relaxed: in locked mode only holders of the lock read it. */
		tp_store_relaxed(cpu->visible, empty_slab);
		return true;
	}
	for (unsigned tries = 0; tries < TP_RSEQ_TRIES && tp_cpu_id() == cpu_id; tries++)
		if (tp_rseq_store(tp_cpu_rseq, &store))
			return true;
	return false;
}

struct stop_visit {
	struct tp_cpu *cpu;
	unsigned cpu_id;
};

static bool stop_hide_as_visitor(void *context)
{
	const struct stop_visit *visit = context;

	return stop_hide_own(visit->cpu, visit->cpu_id);
}

static bool stop_fence(struct tp_cpus *cpus, int cpu_id)
{
	if (tp_cpu_fence(cpu_id)) {
		/* Relaxed: a stopper that does not see it asks for a fence, and is refused too. */
		tp_store_relaxed(&cpus->fence_lost, 1u);
		return false;
	}
	tp_add_relaxed(&cpus->fences, 1u);
	return true;
}

/* With the lock: shows the empty slab, and fences. False: refused; the slab is the CPU's own. */
static bool stop_hide_fenced(struct tp_cpus *cpus, struct tp_cpu *cpu, unsigned cpu_id)
{
	if (tp_load_relaxed(&cpus->fence_lost))
		return false;
	/*
	 * Relaxed: the fence is a full barrier on both CPUs. A thread that enters a sequence there
	 * after the fence sees the empty slab; one that entered before it aborts.
	 */
	tp_store_relaxed(cpu->visible, empty_slab);
	tp_point(TP_POINT_HIDDEN);
	if (stop_fence(cpus, (int)cpu_id))
		return true;
	/* The slab was not touched while it was hidden, so it may be shown again. */
	tp_store_release(cpu->visible, cpu->slab);
	return false;
}

/* With the lock of a CPU that has a slab: makes the slab the caller's. */
static bool stop_hide(struct tp_cpus *cpus, struct tp_cpu *cpu, unsigned cpu_id)
{
	struct stop_visit visit = {cpu, cpu_id};

	return stop_hide_own(cpu, cpu_id) || stop_hide_fenced(cpus, cpu, cpu_id) ||
	       tp_cpu_visit(cpu_id, stop_hide_as_visitor, &visit);
}

static bool stop_is_possible(const struct tp_cpu *cpu)
{
	return cpu->slab && !cpu->closed;
}

/* With the lock, which it gives back if the CPU cannot be stopped. */
static struct tp_cpu *stop_locked(struct tp_cpus *cpus, unsigned cpu_id)
{
	struct tp_cpu *cpu = &cpus->cpu[cpu_id];

	if (stop_is_possible(cpu) && stop_hide(cpus, cpu, cpu_id)) {
		tp_point(TP_POINT_STOPPED);
		return cpu;
	}
	stop_unlock(cpu);
	return NULL;
}

struct tp_cpu *tp_cpus_stop(struct tp_cpus *cpus, unsigned cpu_id)
{
	stop_lock(&cpus->cpu[cpu_id]);
	return stop_locked(cpus, cpu_id);
}

struct tp_cpu *tp_cpus_try_stop(struct tp_cpus *cpus, unsigned cpu_id)
{
	return stop_try_lock(&cpus->cpu[cpu_id]) ? stop_locked(cpus, cpu_id) : NULL;
}

struct tp_cpu *tp_cpus_stop_own(struct tp_cpus *cpus)
{
	unsigned cpu_id = tp_cpu_current(cpus->count);
	struct tp_cpu *cpu = &cpus->cpu[cpu_id];

	if (!stop_try_lock(cpu))
		return NULL;
	/* The caller may have migrated since cpu_id was read: then stop_hide_own fails. */
	if (stop_is_possible(cpu) && stop_hide_own(cpu, cpu_id)) {
		tp_point(TP_POINT_STOPPED);
		return cpu;
	}
	stop_unlock(cpu);
	return NULL;
}

void tp_cpu_start(struct tp_cpu *cpu)
{
	tp_point(TP_POINT_START);
	/*
	 * Release: a thread that sees this slab pointer sees what the stopper left in the slab.
	 * Partner: the sequence's load of the slab pointer, on which all its other loads depend.
	 */
	if (stop_is_possible(cpu))
		tp_store_release(cpu->visible, cpu->slab);
	stop_unlock(cpu);
}

bool tp_cpu_is_stopped(const struct tp_cpu *cpu)
{
	return stop_is_possible(cpu) && tp_load_relaxed(cpu->visible) != cpu->slab;
}

/*
 * With all locks, after one fence for all was refused: stops each CPU by itself. Returns: whether
 * all are stopped.
 */
static bool stop_hide_each(struct tp_cpus *cpus)
{
	bool all = true;

	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++) {
		struct stop_visit visit = {&cpus->cpu[cpu_id], cpu_id};

		if (!stop_is_possible(visit.cpu))
			continue;
		tp_store_release(visit.cpu->visible, visit.cpu->slab);
		all &= stop_hide_own(visit.cpu, cpu_id) ||
		       tp_cpu_visit(cpu_id, stop_hide_as_visitor, &visit);
	}
	return all;
}

bool tp_cpus_stop_all(struct tp_cpus *cpus)
{
	tp_cpus_lock(cpus);
	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++)
		if (stop_is_possible(&cpus->cpu[cpu_id]))
			/* Relaxed: as in stop_hide_fenced, with one fence for all. */
			tp_store_relaxed(&cpus->visible[cpu_id], empty_slab);
	tp_point(TP_POINT_HIDDEN);
	return !tp_cpu_rseq ||
	       (!tp_load_relaxed(&cpus->fence_lost) && stop_fence(cpus, TP_CPU_ALL)) ||
	       stop_hide_each(cpus);
}

void tp_cpus_start_all(struct tp_cpus *cpus)
{
	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++)
		tp_cpu_start(&cpus->cpu[cpu_id]);
}

void tp_cpus_lock(struct tp_cpus *cpus)
{
	/* In one order, so that two threads that take all do not wait for each other. */
	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++)
		stop_lock(&cpus->cpu[cpu_id]);
}

void tp_cpus_unlock(struct tp_cpus *cpus)
{
	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++)
		stop_unlock(&cpus->cpu[cpu_id]);
}

struct tp_cpu *tp_cpus_claim(struct tp_cpus *cpus, unsigned cpu_id)
{
	struct tp_cpu *cpu = &cpus->cpu[cpu_id];

	if (!tp_fault(TP_FAULT_RACING_INSTALL) && !stop_try_lock(cpu))
		return NULL;
	if (!cpu->slab && !cpu->closed)
		return cpu;
	if (!tp_fault(TP_FAULT_RACING_INSTALL))
		stop_unlock(cpu);
	return NULL;
}

void tp_cpu_install(struct tp_cpu *cpu, uint64_t *slab)
{
	/* Release: pairs with each acquire of slab; a reader sees the slab zeroed. */
	tp_store_release(&cpu->slab, slab);
	tp_point(TP_POINT_INSTALL);
	/* Release: pairs with the sequence's load of the slab pointer, as in tp_cpu_start. */
	tp_store_release(cpu->visible, slab);
	if (!tp_fault(TP_FAULT_RACING_INSTALL))
		stop_unlock(cpu);
}

void tp_cpus_close_all(struct tp_cpus *cpus)
{
	for (unsigned cpu_id = 0; cpu_id < cpus->count; cpu_id++) {
		struct tp_cpu *cpu = &cpus->cpu[cpu_id];

		/*
		 * On a CPU that could not be stopped a push may still commit. What it pushes stays
		 * in the slab and is lost.
		 */
		tp_store_release(cpu->visible, empty_slab);
		tp_store_relaxed(&cpu->closed, 1u);
	}
}
