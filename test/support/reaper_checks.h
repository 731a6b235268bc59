/* SPDX-License-Identifier: MIT */
/*
 * For tests of the reaper: which threads of this process are one, what the kernel says of them, and
 * patience. How soon anything happens is the scheduler's affair, that it happens at all the test's.
 */
#ifndef REAPER_CHECKS_H
#define REAPER_CHECKS_H

#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 30

time_t reaper_seconds(void);

/*
 * Waits until a condition is true, once: what is idle may look like nothing while a tick has it in
 * hand. False: it did not become true in PATIENCE_S seconds.
 */
#define comes_true(condition)                                             \
	(__extension__({                                                  \
		time_t until = reaper_seconds() + PATIENCE_S;             \
		bool came;                                                \
		while (!(came = (condition)) && reaper_seconds() < until) \
			usleep(500);                                      \
		came;                                                     \
	}))

/* The reapers of this process; the first one's thread id in *tid, if there is any. */
unsigned reapers(int *tid);

/*
 * Waits until the only reaper sleeps, and nothing but a wake or memory pressure will end its sleep
 * within PATIENCE_S seconds. False: it does not come to that.
 */
bool falls_asleep(void);

#endif
