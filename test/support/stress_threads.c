/* SPDX-License-Identifier: MIT */
#include "stress_threads.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"

#define SIGNAL_US 200

static cpu_set_t allowed; /* where this program may run */
static struct timespec signal_gap;
static uint64_t signals;

unsigned below(uint64_t *random, unsigned n)
{
	return (unsigned)(next_random(random) >> 8) % n;
}

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_alarm(int signal)
{
	(void)signal;
	tp_add_relaxed(&signals, 1u);
}

bool disturbances_init(void)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	const char *asked = getenv("STRESS_SIGNAL_US");
	long us = asked ? atol(asked) : SIGNAL_US;

	signal_gap = (struct timespec){us / 1000000, us % 1000000 * 1000};
	return !sched_getaffinity(0, sizeof allowed, &allowed) &&
	       !sigaction(SIGALRM, &action, NULL);
}

uint64_t alarms_seen(void)
{
	return tp_load_relaxed(&signals);
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid /* glibc has it under this name only */
#endif

bool alarms_start(timer_t *timer)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
	struct itimerspec times = {signal_gap, signal_gap};

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	return !timer_create(CLOCK_MONOTONIC, &event, timer) &&
	       !timer_settime(*timer, 0, &times, NULL);
}

bool migrate(uint64_t *random)
{
	unsigned skip = below(random, (unsigned)CPU_COUNT(&allowed) + 1);
	cpu_set_t set = allowed;

	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && !skip--) {
			CPU_ZERO(&set);
			CPU_SET(cpu, &set);
		}
	return !sched_setaffinity(0, sizeof set, &set);
}

void thread_start(pthread_t *id, void *(*run)(void *), void *argument)
{
	int error = pthread_create(id, NULL, run, argument);

	if (!error)
		return;
	fprintf(stderr, "%s: no thread: %s\n", program_invocation_short_name, strerror(error));
	exit(2);
}
