/* SPDX-License-Identifier: MIT */
/*
 * The reaper: one thread that ticks the pools and caches that nobody uses, and empties all of them
 * when memory is short. Owns the thread, the count of its starts, and its watch on memory pressure.
 * It knows no pool and no cache: it walks the registry and calls each entry's kind.
 *
 * It sleeps until the earliest due time of all entries; while anything is idle, until it has to look
 * for memory pressure. While all entries are empty it sleeps without a limit; a call that keeps
 * something in an empty entry wakes it (idle/decay.h).
 */
#ifndef TP_REAPER_H
#define TP_REAPER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Has the reaper ask every entry again when it is due. Called by puts: a few instructions if no
 * reaper is started, else an addition and a system call. It takes no lock, uses no file, and leaves
 * errno alone.
 */
void tp_reaper_wake(void);

struct tp_reaper_counts {
	bool running;
	/* In this process and those that it was forked from: ticks that were due; and how often all */
	/* entries were emptied because memory was short. */
	uint64_t ticks, pressure_trims;
};

struct tp_reaper_counts tp_reaper_count(void);

#endif
