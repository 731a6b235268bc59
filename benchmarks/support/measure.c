/* SPDX-License-Identifier: MIT */
/*
 * The clock, quantiles, the choice of quiet batches, and CPUs: the parts of measure.h that no
 * measured loop calls.
 */
#include "support/measure.h"

#include <errno.h>
#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A batch is quiet if the floor around it took at most this many times what it usually takes. */
#define QUIET 1.03

void sleep_until(double ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1e9)};

	t.tv_nsec = (long)(ns - (double)t.tv_sec * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double quantile(double *values, unsigned n, double part)
{
	double at = part * (n - 1);
	unsigned below = (unsigned)at;

	qsort(values, n, sizeof *values, double_compare);
	if (below + 1 >= n)
		return values[n - 1];
	return values[below] + (at - below) * (values[below + 1] - values[below]);
}

/*
 * What the floor takes on a quiet machine is its first decile. The minimum would be that of a moment
 * when the CPU's clock ran faster, and almost no batch would be quiet.
 */
double disturbance_most(const double *floors, const double *disturbed, unsigned n, bool *noisy)
{
	static double sorted[DISTURBED_MOST];
	double quiet;

	if (n < ROUNDS_LEAST) {
		*noisy = true;
		return DBL_MAX;
	}
	memcpy(sorted, floors, n * sizeof *sorted);
	quiet = QUIET * quantile(sorted, n, 0.1);
	memcpy(sorted, disturbed, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, double_compare);
	if (sorted[ROUNDS_LEAST - 1] <= quiet)
		return quiet;
	*noisy = true;
	return sorted[ROUNDS_LEAST - 1];
}

int pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/* False as well if the system does not say. */
static bool cpus_share_core(unsigned one, unsigned other)
{
	char path[96], list[256] = "";
	FILE *f;
	bool same = false;

	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
		one);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(list, sizeof list, f))
		list[0] = '\0';
	fclose(f);
	/* "0-1,4" */
	for (char *at = list, *end; *at >= '0' && *at <= '9'; at = end + (*end == ',')) {
		unsigned long first = strtoul(at, &end, 10);
		unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;

		same |= first <= other && other <= last;
	}
	return same;
}

unsigned cpus_choose(unsigned cpus[2], bool siblings)
{
	cpu_set_t allowed;
	unsigned found = 0;

	if (sched_getaffinity(0, sizeof allowed, &allowed))
		return 0;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		if (!found) {
			cpus[found++] = cpu;
			continue;
		}
		if (found == 1)
			cpus[found++] = cpu;
		if (cpus_share_core(cpus[0], cpu) == siblings) {
			cpus[1] = cpu;
			break;
		}
	}
	return found;
}
