/* SPDX-License-Identifier: MIT */
/*
 * Whose a CPU's slab is: the CPU's own, or a stopper's. Owns the doors, the slab pointers that CPUs
 * show, and how a CPU is stopped; what lies in a slab is stack.h's.
 *
 * Synchronization between local and remote operations. A slab belongs either to its CPU or to a
 * stopper, and what the CPU shows says to whom:
 *
 *   shown == stop.home     the CPU's. In rseq mode whoever runs there may enter a sequence, which
 *                          happens whole or not at all (percpu/rseq.h); in locked mode whoever
 *                          holds door.lock may do the same things.
 *   shown == closed slab   a stopper's, the holder of door.lock; or there is none yet; or the pool
 *                          is being destroyed. The closed slab is all zero, depth 0 and room 0, so
 *                          that the fast path needs no test for it, and cannot be written.
 *
 * A stopper takes door.lock, shows the closed slab, and then must know that no sequence which still
 * saw home can commit. On its own CPU it knows: it shows the closed slab by a sequence of its own,
 * so at that moment it ran there, and whoever else was inside a sequence there had been preempted,
 * and aborts. Another CPU takes a fence (tp_cpu_fence), or, where fences are refused, a visit to
 * that CPU, to stop it from there. Without, a thread that read the slab pointer before would commit
 * to a word that the stopper changes as well: one buffer twice, or lost (TP_FAULT_NO_FENCE).
 */
#ifndef TP_STOP_H
#define TP_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/spinlock.h"
#include "percpu/cpu.h"
#include "percpu/rseq.h"

/* Bytes that a slab may have at the most: so large is the closed one. */
#define TP_SLAB_BYTES_MAX ((size_t)160 << 10)

/* What a CPU's slab is guarded by; of two cache lines, since CPUs fetch them in pairs. */
struct tp_cpu {
	/*
	 * Points to the CPU's slab pointer, for ever. The slab pointer itself is written by the
	 * holder of lock.
	 */
	uint64_t **visible;
	uint64_t *slab;  /* NULL: none yet. Set once, by the holder of lock; read by anyone */
	uint32_t lock;   /* rseq: held by a stopper. locked: by whoever is inside */
	uint32_t closed; /* for ever: the pool is being destroyed. By the holder of lock */
	/* What stack.h counts by: added to and read by anyone. */
	uint64_t armed, skipped, moved_in, moved_out;
	uint64_t random; /* state of the gaps between strikes */
	/* That the slab lies in; written by its installer, read by the end of the pool. */
	void *block __attribute__((aligned(TP_LINE)));
} __attribute__((aligned(TP_LINE)));

struct tp_cpus {
	/*
	 * The slab pointers, one a CPU, side by side: to find the own one is one load. That CPUs
	 * share a line is of no account, since it is only read but for stops.
	 */
	uint64_t **visible;
	struct tp_cpu *cpu; /* count of them, as of the slab pointers */
	unsigned count;
	uint32_t fence_lost; /* the system refused one; set once, read by anyone */
	uint64_t fences;     /* made so far */
};

/* Bytes for the slab pointers and the doors of so many CPUs. */
static inline size_t tp_cpus_bytes(unsigned count)
{
	return tp_round_up(count * sizeof(uint64_t *), TP_LINE) + count * sizeof(struct tp_cpu);
}

/*
 * Makes the doors in memory of tp_cpus_bytes, aligned to TP_LINE, which begins with the slab
 * pointers; every CPU shows the closed slab. 0; -ENOMEM: there is none to show. Chooses the mode.
 */
int tp_cpus_init(struct tp_cpus *cpus, void *memory, unsigned count);

/* The next door after cpu's, all around, that nobody is inside of; entered. NULL: all busy. */
struct tp_cpu *tp_cpus_enter_other(const struct tp_cpus *cpus, unsigned cpu_id);

/*
 * Locked mode: the caller's CPU's door, or another one when somebody is inside; entered. NULL: all
 * busy.
 */
static inline struct tp_cpu *tp_cpus_enter(const struct tp_cpus *cpus)
{
	unsigned cpu_id = tp_cpu_current(cpus->count);
	struct tp_cpu *cpu = &cpus->cpu[cpu_id];

	return tp_likely(tp_spinlock_try(&cpu->lock)) ? cpu : tp_cpus_enter_other(cpus, cpu_id);
}

/*
 * Stops a CPU: until tp_cpu_start of the door no pop, push or change of it happens, and its
 * slab (door->home) is the caller's. Waits for another stopper. NULL, and nothing is stopped: the
 * CPU has no slab, is closed, or cannot be stopped any more (doors->fence_lost).
 */
struct tp_cpu *tp_cpus_stop(struct tp_cpus *cpus, unsigned cpu_id);

/* The same, never waiting: NULL also where somebody else has the door. */
struct tp_cpu *tp_cpus_try_stop(struct tp_cpus *cpus, unsigned cpu_id);

/* The same for the caller's CPU, with no fence, and never waiting: NULL also where it would. */
struct tp_cpu *tp_cpus_stop_own(struct tp_cpus *cpus);

void tp_cpu_start(struct tp_cpu *cpu);

/*
 * Stops all CPUs at once, for one fence. False: not all that have a slab could be stopped. Those
 * that were tp_cpu_is_stopped tells; publish_all in either case.
 */
bool tp_cpus_stop_all(struct tp_cpus *cpus);
bool tp_cpu_is_stopped(const struct tp_cpu *cpu);
void tp_cpus_start_all(struct tp_cpus *cpus);

/*
 * Waits for all stoppers and keeps others from coming, for fork; in rseq mode CPUs go on, in locked
 * mode they find each door busy. And lets them again.
 */
void tp_cpus_lock(struct tp_cpus *cpus);
void tp_cpus_unlock(struct tp_cpus *cpus);

/*
 * Claims a CPU that has no slab, to give it one with tp_cpu_install, all zero; until then nobody
 * else stops it or gives it one. NULL: it has a slab, or is closed.
 */
struct tp_cpu *tp_cpus_claim(struct tp_cpus *cpus, unsigned cpu_id);
void tp_cpu_install(struct tp_cpu *cpu, uint64_t *slab);

/* Between stop_all and publish_all: closes all CPUs for ever. Their slabs stay as they are. */
void tp_cpus_close_all(struct tp_cpus *cpus);

#endif
