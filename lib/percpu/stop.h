/* SPDX-License-Identifier: MIT */
/*
 * Who owns a CPU's slab: the CPU or a stopper. Owns the struct tp_cpu of each CPU, the slab pointer
 * that it shows, and how it is stopped and started. What lies in a slab is stack.h's.
 *
 * Synchronization between local and remote operations. The slab pointer says who the owner is:
 *
 *   *visible == slab         the CPU. In rseq mode a thread that runs there may enter a sequence,
 *                            which happens whole or not at all (percpu/rseq.h). In locked mode the
 *                            holder of lock may do the same.
 *   *visible == empty slab   a stopper, which holds lock; or there is no slab yet; or the pool is
 *                            being destroyed. The empty slab is all 0, depth 0 and room 0, so the
 *                            fast path needs no test for it. It cannot be written.
 *
 * A stopper must know that no sequence which has read the slab pointer before still commits:
 *
 *     take lock
 *     show the empty slab:   own CPU       by a sequence. At its commit the stopper ran there, so
 *                                          any other thread inside a sequence there was preempted,
 *                                          and aborts
 *                            another CPU   by a store and tp_cpu_fence; if that is refused, by
 *                                          tp_cpu_visit, as on its own CPU
 *     work on the slab
 *     show the slab again, unlock
 *
 * Without the fence a thread that read the slab pointer before could commit to a word that the
 * stopper changes as well: one buffer given twice, or lost (TP_FAULT_NO_FENCE).
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

/* The most bytes that a slab may have: the size of the empty one. */
#define TP_SLAB_BYTES_MAX ((size_t)160 << 10)

/* One CPU's slab and what guards it. */
struct tp_cpu {
	/* Points to the CPU's slab pointer. The holder of lock writes that; anyone reads it. */
	uint64_t **visible;
	uint64_t *slab;  /* NULL: none yet. Set once, by the holder of lock; read by anyone */
	uint32_t lock;   /* held by a stopper; in locked mode by each pop, push and change too */
	uint32_t closed; /* for ever: the pool is being destroyed. By the holder of lock */
	uint64_t random; /* of base/random.h; drawn from by anyone */
	/* Not of stack.h: as random, of idle/countdown.h; the pages of the slab may be spent. */
	uint64_t sample_random;
	uint32_t spent;
	/* So that no other CPU's lock is on the next line, since CPUs fetch lines in pairs. */
	char next_line[TP_LINE];
} __attribute__((aligned(TP_LINE)));

struct tp_stack_counters;

struct tp_cpus {
	/*
	 * The slab pointers, one for each CPU, side by side: a CPU's own one is found by one load.
	 * CPUs share these lines without harm: only stops and installs write them.
	 */
	uint64_t **visible;
	struct tp_cpu *cpu; /* count of them, and of slab pointers */
	unsigned count;
	/* Where the stacks' words lie in each slab. Set by their owner, before the first slab. */
	unsigned stacks;
	const uint16_t *stack_index;
	/* Of stack.h. By their owner, before the first slab; NULL: there is none yet, and no slab. */
	struct tp_stack_counters *counters;
	uint32_t fence_lost; /* the system refused a fence; set once, read by anyone */
	uint64_t fences;     /* made so far; added to by stoppers, read by statistics */
};

/* Bytes for the slab pointers and the struct tp_cpu of count CPUs. */
static inline size_t tp_cpus_bytes(unsigned count)
{
	return tp_round_up(count * sizeof(uint64_t *), TP_LINE) + count * sizeof(struct tp_cpu);
}

/*
 * Lays cpus out in memory of tp_cpus_bytes, aligned to TP_LINE: the slab pointers first. Each CPU
 * shows the empty slab. There are no stacks yet. Chooses the mode.
 *
 * Returns: 0; -ENOMEM: the empty slab could not be mapped.
 */
int tp_cpus_init(struct tp_cpus *cpus, void *memory, unsigned count);

/* Locks the first CPU whose lock is free, from the one after cpu_id on, all around. NULL: none. */
struct tp_cpu *tp_cpus_enter_other(const struct tp_cpus *cpus, unsigned cpu_id);

/* Locked mode: locks the caller's CPU, or another one if its lock is held. NULL: all are held. */
static inline struct tp_cpu *tp_cpus_enter(const struct tp_cpus *cpus)
{
	unsigned cpu_id = tp_cpu_current(cpus->count);
	struct tp_cpu *cpu = &cpus->cpu[cpu_id];

	return tp_likely(tp_spinlock_try(&cpu->lock)) ? cpu : tp_cpus_enter_other(cpus, cpu_id);
}

/*
 * Stops a CPU.
 *
 * Blocks:  while another thread holds the CPU's lock.
 * After:   until tp_cpu_start no pop, push or change happens there, and its slab is the caller's.
 * Returns: the CPU; NULL: it has no slab, is closed, or can no longer be stopped
 *          (cpus->fence_lost). Then nothing is stopped.
 */
struct tp_cpu *tp_cpus_stop(struct tp_cpus *cpus, unsigned cpu_id);

/* The same without blocking: NULL also if another thread holds the lock. */
struct tp_cpu *tp_cpus_try_stop(struct tp_cpus *cpus, unsigned cpu_id);

/* The same for the caller's CPU, without a fence: NULL also if the caller migrated. */
struct tp_cpu *tp_cpus_stop_own(struct tp_cpus *cpus);

/* Gives the slab of a stopped CPU back to it. */
void tp_cpu_start(struct tp_cpu *cpu);

/*
 * Stops all CPUs, with one fence. False: not all that have a slab could be stopped;
 * tp_cpu_is_stopped says which are. tp_cpus_start_all must follow in both cases.
 */
bool tp_cpus_stop_all(struct tp_cpus *cpus);
bool tp_cpu_is_stopped(const struct tp_cpu *cpu);
void tp_cpus_start_all(struct tp_cpus *cpus);

/*
 * For fork: takes the locks of all CPUs, after their stoppers have finished; and gives them back.
 * Meanwhile pops and pushes go on in rseq mode; in locked mode they find every lock held.
 */
void tp_cpus_lock(struct tp_cpus *cpus);
void tp_cpus_unlock(struct tp_cpus *cpus);

/*
 * Locks a CPU that has no slab, so that tp_cpu_install may give it one, whose stacks are empty. Until
 * then no other thread stops it or gives it one. NULL: it has a slab, is closed, or its lock is held.
 */
struct tp_cpu *tp_cpus_claim(struct tp_cpus *cpus, unsigned cpu_id);
void tp_cpu_install(struct tp_cpu *cpu, uint64_t *slab);

/* Between tp_cpus_stop_all and start_all: closes all CPUs for ever. The slabs stay as they are. */
void tp_cpus_close_all(struct tp_cpus *cpus);

#endif
