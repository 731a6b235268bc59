/* SPDX-License-Identifier: MIT */
/*
 * The library's handlers of fork. Owns their registration and their list; what they do is the
 * profile's, the reaper's, the registry's and the pools', which add one each.
 */
#ifndef TP_ATFORK_H
#define TP_ATFORK_H

/*
 * The phases of a fork, in order.
 *
 *   PREPARE       before the fork   take all locks
 *   PARENT        in the parent     give them back
 *   CHILD_FIRST   in the child      reset what is shared with others (entries of the registry only)
 *   CHILD         in the child      count what is there, give the locks back
 */
enum tp_fork { TP_FORK_PREPARE, TP_FORK_PARENT, TP_FORK_CHILD_FIRST, TP_FORK_CHILD };

struct tp_atfork_handler {
	void (*handle)(enum tp_fork phase);
	struct tp_atfork_handler *next; /* atfork.c's */
};

/*
 * Adds a handler. Before: the library is being loaded, so that no fork ever meets only some of the
 * handlers. The one that was added last is called first.
 */
void tp_atfork_add(struct tp_atfork_handler *handler);

/*
 * Of the constructors that add them: the registry's first, so that the reaper prepares before it, and
 * the profile first of all: a start of it waits for the registry and for pools. Then they are registered.
 */
#define TP_ATFORK_ADD_REGISTRY __attribute__((constructor(101)))
#define TP_ATFORK_ADD_REAPER __attribute__((constructor(102)))
#define TP_ATFORK_ADD_PROFILE __attribute__((constructor(103)))
#define TP_ATFORK_REGISTER __attribute__((constructor(104)))

/*
 * Has all of them called around every fork, from when the library is loaded; if there was no memory
 * for that, from now on. Called before a pool, cache or budget is made, and by the first start of the
 * reaper and by that of the profile.
 *
 * Handlers that prepare run in reverse order. So our locks are taken after the program's own handlers
 * have run, and before those of the allocator. A handler that was registered earlier still, or by a program
 * that loads the library later, runs while the forking thread holds all locks, which it passes (base/lock.h).
 *
 * Returns: 0; -ENOMEM.
 */
int tp_atfork_start(void);

#endif
