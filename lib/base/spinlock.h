/* SPDX-License-Identifier: MIT */
/*
 * A spin lock of one word, and how to wait for another thread. Each CPU's stacks have such a lock
 * (percpu/stop.h); other locks of this kind are only tried.
 *
 * It is not a pthread mutex, because an unlock must touch the lock for the last time with its
 * release store: the thread that takes the lock next may free the pool that it lies in
 * (lib/DESIGN.md, "Forks, and the end of a pool").
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

/* If this many looks find the lock still taken, its holder is taken to be off its CPU. */
#define TP_SPINLOCK_LOOKS 64

static inline bool tp_spinlock_try(uint32_t *lock)
{
	/* Acquire: pairs with tp_spinlock_unlock. Relaxed: a stale look at most fails the try. */
	return (!tp_load_relaxed(lock) && !tp_exchange_acquire(lock, 1u)) ||
	       tp_fault(TP_FAULT_UNLOCKED_CPU);
}

static inline void tp_spinlock_unlock(uint32_t *lock)
{
	/* Release: the next holder sees what this one did. Partner: tp_spinlock_try. */
	tp_store_release(lock, 0u);
}

/*
 * Between two looks for something that another thread is to do: spins first, then yields, since
 * that thread may be preempted, then sleeps, since a yield never lets one of lower real-time
 * priority run. looks: how many there have been.
 */
static inline void tp_spinlock_wait(unsigned looks)
{
	if (looks > 2 * TP_SPINLOCK_LOOKS)
		/* Not nanosleep(): pthread_cancel could end the thread there, inside a call. */
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
