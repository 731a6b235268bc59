/* SPDX-License-Identifier: MIT */
/*
 * The reaper: a thread that ticks pools and caches which nobody touches, and empties all of them
 * when memory is short. Owns the thread, its starts, and its watch on memory pressure. Of pools and
 * caches it knows what the registry says: their kind's due, tick and empty.
 *
 * It sleeps until the next tick of any entry is due. An entry that is empty wakes it when something
 * is kept there again (tp_reaper_wake), so that it sleeps for ever while all are empty.
 */
#ifndef TP_REAPER_H
#define TP_REAPER_H

#include "process/registry.h"

/*
 * Wakes the reaper, if one is started, so that it asks every entry again when it is due. A few
 * instructions if none is; else a write to a file. Called by puts.
 */
void tp_reaper_wake(void);

/* TP_FORK_PREPARE, _PARENT or _CHILD: the reaper does not run in the child. See fork.c. */
void tp_reaper_fork(enum tp_fork phase);

#endif
