/* SPDX-License-Identifier: MIT */
/*
 * Whose a CPU's slab is: the CPU's own, or a stopper's. Owns the doors, the slab pointers that CPUs
 * show, and how a CPU is stopped; what lies in a slab is cpucache.h's.
 *
 * Synchronization between local and remote operations. A slab belongs either to its CPU or to a
 * stopper, and what the CPU shows says to whom:
 *
 *   shown == door.home     the CPU's. In rseq mode whoever runs there may enter a sequence, which
 *                          happens whole or not at all (arch/sequence.h); in locked mode whoever
 *                          holds door.lock may do the same things.
 *   shown == closed slab   a stopper's, the holder of door.lock; or there is none yet; or the pool
 *                          is being destroyed. The closed slab is all zero, depth 0 and room 0, so
 *                          that the fast path needs no test for it, and cannot be written.
 *
 * A stopper takes door.lock, shows the closed slab, and then must know that no sequence which still
 * saw home can commit. On its own CPU it knows: it shows the closed slab by a sequence of its own,
 * so at that moment it ran there, and whoever else was inside a sequence there had been preempted,
 * and aborts. Another CPU takes a fence (tp_percpu_fence), or, where fences are refused, a visit to
 * that CPU, to stop it from there. Without, a thread that read the slab pointer before would commit
 * to a word that the stopper changes as well: one buffer twice, or lost (TP_FAULT_NO_FENCE).
 */
#ifndef TP_DOOR_H
#define TP_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/spinlock.h"
#include "percpu/cpu.h"
#include "percpu/rseq.h"
#include TP_SEQUENCES_FILE

/* Bytes that a slab may have at the most: so large is the closed one. */
#define TP_SLAB_MOST ((size_t)160 << 10)

/* What a CPU's slab is guarded by; of two cache lines, since CPUs fetch them in pairs. */
struct tp_door {
	/*
	 * Points to the CPU's slab pointer, for ever. The slab pointer itself is written by the
	 * holder of lock.
	 */
	uint64_t **shown;
	uint64_t *home;  /* NULL: none yet. Set once, by the holder of lock; read by anyone */
	uint32_t lock;   /* rseq: held by a stopper. locked: by whoever is inside */
	uint32_t closed; /* for ever: the pool is being destroyed. By the holder of lock */
	/* What cpucache.h counts by: added to and read by anyone. */
	uint64_t armed, skipped, moved_in, moved_out;
	uint64_t random; /* state of the gaps between strikes */
	/* That the slab lies in; written by its installer, read by the end of the pool. */
	void *block __attribute__((aligned(TP_LINE)));
} __attribute__((aligned(TP_LINE)));

struct tp_doors {
	/*
	 * The slab pointers, one a CPU, side by side: to find the own one is one load. That CPUs
	 * share a line is of no account, since it is only read but for stops.
	 */
	uint64_t **slabs;
	struct tp_door *door; /* count of them, as of the slab pointers */
	unsigned count;
	uint32_t fence_lost; /* the system refused one; set once, read by anyone */
	uint64_t fences;     /* made so far */
};

/* Bytes for the slab pointers and the doors of so many CPUs. */
static inline size_t tp_doors_bytes(unsigned count)
{
	return tp_round_up(count * sizeof(uint64_t *), TP_LINE) + count * sizeof(struct tp_door);
}

/*
 * Makes the doors in memory of tp_doors_bytes, aligned to TP_LINE, which begins with the slab
 * pointers; every CPU shows the closed slab. 0; -ENOMEM: there is none to show. Chooses the mode.
 */
int tp_doors_init(struct tp_doors *doors, void *memory, unsigned count);

/* The next door after cpu's, all around, that nobody is inside of; entered. NULL: all busy. */
struct tp_door *tp_doors_enter_other(const struct tp_doors *doors, unsigned cpu);

/*
 * Locked mode: the caller's CPU's door, or another one when somebody is inside; entered. NULL: all
 * busy.
 */
static inline struct tp_door *tp_doors_enter(const struct tp_doors *doors)
{
	unsigned cpu = tp_percpu_current(doors->count);
	struct tp_door *door = &doors->door[cpu];

	return tp_likely(tp_locked_try(&door->lock)) ? door : tp_doors_enter_other(doors, cpu);
}

/*
 * Stops a CPU: until tp_door_publish of the door no pop, push or change of it happens, and its
 * slab (door->home) is the caller's. Waits for another stopper. NULL, and nothing is stopped: the
 * CPU has no slab, is closed, or cannot be stopped any more (doors->fence_lost).
 */
struct tp_door *tp_doors_stop(struct tp_doors *doors, unsigned cpu);

/* The same, never waiting: NULL also where somebody else has the door. */
struct tp_door *tp_doors_try_stop(struct tp_doors *doors, unsigned cpu);

/* The same for the caller's CPU, with no fence, and never waiting: NULL also where it would. */
struct tp_door *tp_doors_stop_own(struct tp_doors *doors);

void tp_door_publish(struct tp_door *door);

/*
 * Stops all CPUs at once, for one fence. False: not all that have a slab could be stopped. Those
 * that were tp_door_is_stopped tells; publish_all in either case.
 */
bool tp_doors_stop_all(struct tp_doors *doors);
bool tp_door_is_stopped(const struct tp_door *door);
void tp_doors_publish_all(struct tp_doors *doors);

/*
 * Waits for all stoppers and keeps others from coming, for fork; in rseq mode CPUs go on, in locked
 * mode they find each door busy. And lets them again.
 */
void tp_doors_lock(struct tp_doors *doors);
void tp_doors_unlock(struct tp_doors *doors);

/*
 * Claims a CPU that has no slab, to give it one with tp_door_install, all zero; until then nobody
 * else stops it or gives it one. NULL: it has a slab, or is closed.
 */
struct tp_door *tp_doors_claim(struct tp_doors *doors, unsigned cpu);
void tp_door_install(struct tp_door *door, uint64_t *slab);

/* Between stop_all and publish_all: closes all CPUs for ever. Their slabs stay as they are. */
void tp_doors_close_all(struct tp_doors *doors);

#endif
