/* SPDX-License-Identifier: MIT */
/*
 * The library's handlers of fork. Owns their registration and their list; what they do is the
 * registry's and the reaper's, which join.
 */
#ifndef TP_FORK_H
#define TP_FORK_H

#include <stdbool.h>

/*
 * The phases of a fork, in order.
 *
 *   PREPARE       before the fork   take all locks
 *   PARENT        in the parent     give them back
 *   CHILD_FIRST   in the child      reset what is shared with others (entries of the registry only)
 *   CHILD         in the child      count what is there, give the locks back
 */
enum tp_fork { TP_FORK_PREPARE, TP_FORK_PARENT, TP_FORK_CHILD_FIRST, TP_FORK_CHILD };

struct tp_fork_handler {
	void (*handle)(enum tp_fork phase);
	/* The list's, in its lock. */
	struct tp_fork_handler *next;
	bool joined;
};

/*
 * Has a handler called around every fork that begins from now on; a second time it does nothing.
 * Call it before the first use of the locks that the handler takes, and with none of them held: it
 * waits for a fork that is under way.
 *
 * The first call registers with pthread_atfork. It is made for the first pool or cache, or the first
 * start of the reaper. A jemalloc that the process has by then has registered its own, and handlers
 * that prepare run in reverse order: so our locks are taken before jemalloc's.
 */
void tp_fork_join(struct tp_fork_handler *handler);

#endif
