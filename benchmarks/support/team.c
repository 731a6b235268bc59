/* SPDX-License-Identifier: MIT */
/*
 * Two threads that measure together: team.h.
 */
#include "support/team.h"

#include <errno.h>
#include <stdio.h>

#include "support/floor.h"
#include "support/measure.h"

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

int team_begin(struct team *team, void (*part)(void *context, unsigned who), void *context)
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

void team_print(const struct team *team)
{
	if (team->threads > 1)
		printf("Threads on CPU %u and %u.\n", team->cpu[0], team->cpu[1]);
	else
		printf("One thread on CPU %u; two threads skipped: only one CPU is allowed.\n",
			team->cpu[0]);
}

void team_run(struct team *team, unsigned threads)
{
	if (threads > 1)
		pthread_barrier_wait(&team->gate);
	team->part(team->context, 0);
}

static void team_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void team_meet(struct team *team)
{
	unsigned met = __atomic_load_n(&team->met, __ATOMIC_SEQ_CST);

	if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_SEQ_CST) == THREADS_MOST) {
		__atomic_store_n(&team->arrived, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&team->met, met + 1, __ATOMIC_SEQ_CST);
	} else {
		while (__atomic_load_n(&team->met, __ATOMIC_SEQ_CST) == met)
			team_pause();
	}
}

void team_end(struct team *team)
{
	if (team->threads > 1) {
		team->stop = true;
		pthread_barrier_wait(&team->gate);
		pthread_join(team->second, NULL);
		pthread_barrier_destroy(&team->gate);
	}
	floor_release();
}
