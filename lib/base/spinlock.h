/* SPDX-License-Identifier: MIT */
/*
 * The locked mode of the per-CPU cache: each CPU's door carries a lock, taken for the few
 * instructions of a pop or a push and by whoever stops that CPU.
 *
 * The lock is a word of our own and not a pthread mutex, because after the release store of an
 * unlock nothing of the lock is touched any more: the pool that holds it may be gone by then, freed
 * by the thread that took the lock next (lib/DESIGN.md, "The end of a pool").
 */
#ifndef TP_SPINLOCK_H
#define TP_SPINLOCK_H

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/inject.h"

/* A holder is off its CPU when this many looks find the lock still taken. */
#define TP_SPINLOCK_LOOKS 64

static inline bool tp_spinlock_try(uint32_t *lock)
{
	/* Acquire: pairs with the release in tp_spinlock_unlock of the last holder. */
	return (!tp_load_relaxed(lock) && !tp_exchange_acquire(lock, 1u)) ||
	       tp_fault(TP_FAULT_UNLOCKED_CPU);
}

static inline void tp_spinlock_unlock(uint32_t *lock)
{
	/* Release: what was done inside is seen by whoever enters next. */
	tp_store_release(lock, 0u);
}

/*
 * What to do after so many looks in vain for what another thread is to do. Yields to one that was
 * preempted; sleeps at last, because a yield alone never lets one of lower real-time priority run.
 */
static inline void tp_spinlock_wait(unsigned looks)
{
	if (looks > 2 * TP_SPINLOCK_LOOKS)
		/* Not nanosleep(), where pthread_cancel would end us amid our work. */
		syscall(SYS_nanosleep, &(struct timespec){.tv_nsec = 50000}, NULL);
	else if (looks > TP_SPINLOCK_LOOKS)
		sched_yield();
}

static inline void tp_spinlock_lock(uint32_t *lock)
{
	for (unsigned looks = 1; !tp_spinlock_try(lock); looks++)
		tp_spinlock_wait(looks);
}

#endif
