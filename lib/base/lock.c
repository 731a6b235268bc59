/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/spinlock.h"

void *tp_lock_forking;

/* By the one thread that a child of a fork has. */
static bool lock_in_child;

void tp_lock_init(struct tp_lock *lock)
{
	pthread_mutexattr_t inherits;

	pthread_mutexattr_init(&inherits);
	/*
	 * Not with musl: it links such a mutex into a list of the thread's, which its fork leaves as it
	 * is, so that a lock that was made anew would stay there.
	 */
#ifdef __GLIBC__
	pthread_mutexattr_setprotocol(&inherits, PTHREAD_PRIO_INHERIT);
#endif
	/* Refused, if the kernel cannot: then as any other lock. */
	if (pthread_mutex_init(&lock->mutex, &inherits))
		pthread_mutex_init(&lock->mutex, NULL);
	pthread_mutexattr_destroy(&inherits);
}

void tp_lock_fini(struct tp_lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

bool tp_lock_try(struct tp_lock *lock)
{
	return tp_lock_all_held() || !pthread_mutex_trylock(&lock->mutex);
}

/* Whether the calling thread has a real-time priority. Not sched_getscheduler(): musl's refuses. */
static bool lock_is_real_time(void)
{
	long policy = syscall(SYS_sched_getscheduler, 0);

	return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

/*
 * The kernel hands a lock of this kind to who waits for it before that runs. So with threads that take it
 * in turn each turn would be two switches of threads: only those wait there that have a priority to lend.
 */
void tp_lock_take(struct tp_lock *lock)
{
	bool lends = false;

	for (unsigned looks = 1; !tp_lock_try(lock); looks++) {
		if (looks == TP_SPINLOCK_LOOKS)
			lends = lock_is_real_time();
		/* It fails if a filter has come up since that knows no FUTEX_LOCK_PI. */
		if (lends && !pthread_mutex_lock(&lock->mutex))
			return;
		tp_spinlock_wait(looks);
	}
}

void tp_lock_give(struct tp_lock *lock)
{
	if (tp_lock_all_held())
		return;
	if (tp_unlikely(lock_in_child))
		tp_lock_init(lock);
	else
		pthread_mutex_unlock(&lock->mutex);
}

/* ---- fork ---- */

void tp_lock_fork_begin(void)
{
	tp_store_relaxed(&tp_lock_forking, __builtin_thread_pointer());
}

void tp_lock_fork_give(bool in_child)
{
	tp_store_relaxed(&tp_lock_forking, (void *)NULL);
	lock_in_child = in_child;
}
