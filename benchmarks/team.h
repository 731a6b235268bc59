/* SPDX-License-Identifier: MIT */
/*
 * One or two pinned threads that measure together, each with a floor of its own (floor_stack.h).
 *
 * The second thread waits at the gate, asleep, for what needs it. The first one writes everything
 * that the other reads before it opens the gate; each writes its own results and no others, and
 * they are read after the last meeting of what both have done.
 */
#ifndef TEAM_H
#define TEAM_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "floor_stack.h"
#include "measure.h"

#define THREADS_MOST 2

struct team {
	unsigned threads; /* 2 where there are two CPUs; and these, by cpus_choose */
	unsigned cpu[THREADS_MOST];
	pthread_t second;
	pthread_barrier_t gate;
	int error; /* the second thread's, at the first gate */
	bool stop;
	struct meeting meeting;
	/* What each thread does when both are needed, who being 0 or 1; it ends with a meeting. */
	void (*part)(void *context, unsigned who);
	void *context;
};

static void *team_second(void *argument)
{
	struct team *team = argument;
	int error = pin(team->cpu[1]);

	if (!error)
		error = floor_prepare();
	team->error = error;
	pthread_barrier_wait(&team->gate);
	while (!error) {
		pthread_barrier_wait(&team->gate);
		if (team->stop)
			break;
		team->part(team->context, 1);
	}
	floor_release();
	return NULL;
}

/* With its CPUs chosen. 0; -errno, and then there is nothing to end. */
static int team_begin(struct team *team, void (*part)(void *context, unsigned who), void *context)
{
	int error;

	team->part = part;
	team->context = context;
	error = team->threads ? pin(team->cpu[0]) : -EINVAL;
	if (!error)
		error = floor_prepare();
	if (error || team->threads == 1)
		return error;
	error = -pthread_barrier_init(&team->gate, NULL, THREADS_MOST);
	if (error)
		goto no_gate;
	error = -pthread_create(&team->second, NULL, team_second, team);
	if (error)
		goto no_second;
	pthread_barrier_wait(&team->gate);
	if (!team->error)
		return 0;
	error = team->error;
	pthread_join(team->second, NULL);
no_second:
	pthread_barrier_destroy(&team->gate);
no_gate:
	floor_release();
	return error;
}

/* Does it in so many threads, the caller's among them. */
static void team_run(struct team *team, unsigned threads)
{
	if (threads > 1)
		pthread_barrier_wait(&team->gate);
	team->part(team->context, 0);
}

static void team_end(struct team *team)
{
	if (team->threads > 1) {
		team->stop = true;
		pthread_barrier_wait(&team->gate);
		pthread_join(team->second, NULL);
		pthread_barrier_destroy(&team->gate);
	}
	floor_release();
}

#endif
