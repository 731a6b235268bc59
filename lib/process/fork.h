/* SPDX-License-Identifier: MIT */
/*
 * The library's handlers of fork. Owns their registration and their order: one pthread_atfork, so
 * that the order of all locks stands in one place. What they do is the registry's and the reaper's.
 */
#ifndef TP_FORK_H
#define TP_FORK_H

/*
 * Registers the handlers; once. Called before the first pool or cache is entered in the registry.
 * jemalloc has registered its own by then, and handlers that prepare run in reverse order: so our
 * locks are taken before jemalloc's.
 */
void tp_fork_start(void);

#endif
