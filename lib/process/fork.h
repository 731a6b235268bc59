/* SPDX-License-Identifier: MIT */
/*
 * The handlers of fork of the whole library: one registration, so that their order stands in one
 * place.
 */
#ifndef TP_FORK_H
#define TP_FORK_H

/*
 * Registers the handlers, once. Called before the first pool or cache is entered in the registry,
 * and so after jemalloc has registered its own: handlers that prepare run in reverse order, so our
 * locks are taken before jemalloc's.
 */
void tp_fork_start(void);

#endif
