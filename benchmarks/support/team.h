/* SPDX-License-Identifier: MIT */
/*
 * One or two pinned threads that measure together, each with its own floor (floor.h).
 *
 * The second thread sleeps at the gate until a job needs both. The first thread writes all that the
 * second reads before it opens the gate. Each thread writes its own results only; the first reads
 * those of both after their last meeting.
 */
#ifndef TEAM_H
#define TEAM_H

#include <pthread.h>
#include <stdbool.h>

#define THREADS_MOST 2

struct team {
	unsigned threads; /* 2 if there are two CPUs; this and cpu by cpus_choose */
	unsigned cpu[THREADS_MOST];

	pthread_t second;
	pthread_barrier_t gate;
	int error; /* the second thread's, at the first gate */
	bool stop;
	/* What each thread does, who being 0 or 1. If both do it, it ends with team_meet. */
	void (*part)(void *context, unsigned who);
	void *context;

	/* Each on a line of its own: a thread spins on the second. */
	_Alignas(64) unsigned arrived;
	_Alignas(64) unsigned met; /* meetings so far */
};

/*
 * Before:  team->threads and team->cpu are set, all else is 0.
 * Returns: 0; -errno, and then there is nothing to end.
 */
int team_begin(struct team *team, void (*part)(void *context, unsigned who), void *context);

/* Prints which CPUs it has. */
void team_print(const struct team *team);

/* Runs part in one thread, the caller, or in two. */
void team_run(struct team *team, unsigned threads);

/*
 * Blocks:  until both threads are here; it spins. Both leave within the time that a cache line takes
 *          from one CPU to the other.
 */
void team_meet(struct team *team);

void team_end(struct team *team);

#endif
