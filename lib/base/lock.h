/* SPDX-License-Identifier: MIT */
/*
 * A lock that calls wait for: gets and puts where their CPU cannot serve them, and forks.
 *
 * With glibc, a thread of real-time priority that waits lends that to the holder (PTHREAD_PRIO_INHERIT).
 * So only what is done in the lock delays it, not threads of a priority in between. Other threads
 * look again and again; so do all with musl.
 *
 * A fork takes all of these locks. Handlers of the program's own that run then, in the same thread,
 * may get and put: the thread that forks passes each lock as one that it holds.
 */
#ifndef TP_LOCK_H
#define TP_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "base/atomic.h"
#include "base/compiler.h"

struct tp_lock {
	pthread_mutex_t mutex;
};

/* Of a static lock, until tp_lock_init, which a function that runs at load calls: its holder inherits nothing. */
#define TP_LOCK_INIT                      \
	{                                 \
		PTHREAD_MUTEX_INITIALIZER \
	}
#define TP_LOCK_AT_LOAD __attribute__((constructor(101)))

void tp_lock_init(struct tp_lock *lock);
void tp_lock_fini(struct tp_lock *lock);

void tp_lock_take(struct tp_lock *lock);
bool tp_lock_try(struct tp_lock *lock); /* false: another thread holds it */

/* In the child of a fork it makes the lock anew: that would still name the parent's thread as its holder. */
void tp_lock_give(struct tp_lock *lock);

/* ---- fork ---- */

/* The thread that holds all locks for a fork, by its thread pointer; NULL: none. Of lock.c. */
extern tp_hidden void *tp_lock_forking;

/* Whether the caller holds all locks for a fork. */
static inline bool tp_lock_all_held(void)
{
	/* Relaxed: a thread finds its own pointer only if it stored that itself. */
	return tp_unlikely(tp_load_relaxed(&tp_lock_forking) == __builtin_thread_pointer());
}

/*
 * begin: the caller has taken all locks, and forks. give: it is about to give them back, one by one. In
 * the child it says false at the end.
 */
void tp_lock_fork_begin(void);
void tp_lock_fork_give(bool in_child);

#endif
