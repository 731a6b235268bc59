/* SPDX-License-Identifier: MIT */
/*
 * CPUs: how many there may be, and that the one we are on is always one of them.
 */
#include "percpu.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <tierpool/stats.h>

Test(percpu, the_count_covers_every_cpu_that_may_come_and_stays)
{
	unsigned count = tp_percpu_count();

	cr_assert_geq(count, 1);
	cr_assert_geq((long)count, sysconf(_SC_NPROCESSORS_ONLN));
	for (int i = 0; i < 100; i++)
		cr_assert_eq(tp_percpu_count(), count);
}

Test(percpu, the_current_cpu_is_below_any_count)
{
	for (unsigned count = 1; count < 100; count++)
		cr_assert_lt(tp_percpu_current(count), count);
}

static void *wander(void *unused)
{
	cpu_set_t allowed, one;
	unsigned seen = 0;

	(void)unused;
	sched_getaffinity(0, sizeof allowed, &allowed);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		/* Where that is refused, or undone at once, nothing can be said. */
		if (sched_setaffinity(0, sizeof one, &one))
			continue;
		if (tp_percpu_current(CPU_SETSIZE) != cpu || tp_percpu_current(cpu + 1) != cpu ||
			tp_percpu_current(1) != 0)
			return "not the CPU that the thread was bound to";
		if (cpu >= tp_percpu_count())
			return "a CPU beyond the count";
		seen++;
	}
	return seen ? NULL : "no CPU to be bound to";
}

Test(percpu, a_thread_bound_to_a_cpu_is_on_that_one)
{
	pthread_t thread;
	void *complaint;

	cr_assert_eq(pthread_create(&thread, NULL, wander, NULL), 0);
	pthread_join(thread, &complaint);
	cr_assert_null(complaint, "%s", (char *)complaint);
}

Test(percpu, statistics_report_the_mode)
{
	struct tierpool_stats stats = {.size = sizeof stats};
	tierpool *pool;

	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	cr_assert_eq(tierpool_stats_read(pool, &stats), 0);
	cr_assert_str_eq(stats.percpu, tp_percpu_mode());
	cr_assert(!strcmp(stats.percpu, "locked") || !strcmp(stats.percpu, "rseq"));
	tierpool_destroy(pool);
}
