/* SPDX-License-Identifier: MIT */
/*
 * What programs that measure have in common: the clock, quantiles, CPUs and where threads run on
 * them, options, and whose library a function is.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SKIPPED 77 /* the exit status of what cannot be had here */

static inline double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Until that time by now_ns. */
static inline void sleep_until(double ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1e9)};

	t.tv_nsec = (long)(ns - (double)t.tv_sec * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static inline void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- quantiles ---- */

static inline int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts. The value at that part of them, between two by its distance. */
static inline double quantile(double *values, unsigned n, double part)
{
	double at = part * (n - 1);
	unsigned below = (unsigned)at;

	qsort(values, n, sizeof *values, double_compare);
	if (below + 1 >= n)
		return values[n - 1];
	return values[below] + (at - below) * (values[below + 1] - values[below]);
}

/* ---- CPUs ---- */

static inline int pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/* Whether two CPUs are threads of one core, as far as the system tells. */
static inline bool same_core(unsigned one, unsigned other)
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

/* Two of the CPUs that this process may use, of two cores if possible; how many there are, or 0. */
static inline unsigned cpus_choose(unsigned cpus[2])
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
		if (!same_core(cpus[0], cpu)) {
			cpus[1] = cpu;
			break;
		}
	}
	return found;
}

/* ---- where two threads begin at once ---- */

/* On lines of their own: one thread spins on the second. */
struct meeting {
	_Alignas(64) unsigned arrived;
	_Alignas(64) unsigned held; /* meetings so far */
};

/* Both threads leave together, within the time that a cache line takes to cross. */
static inline void meet(struct meeting *m)
{
	unsigned held = __atomic_load_n(&m->held, __ATOMIC_SEQ_CST);

	if (__atomic_add_fetch(&m->arrived, 1, __ATOMIC_SEQ_CST) == 2) {
		__atomic_store_n(&m->arrived, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&m->held, held + 1, __ATOMIC_SEQ_CST);
	} else {
		while (__atomic_load_n(&m->held, __ATOMIC_SEQ_CST) == held)
			spin_pause();
	}
}

/* ---- options, files, libraries ---- */

/* An option with a value: --name VALUE, or its first letter. Either number or text is there. */
struct choice {
	const char *name;
	double *number, least, most;
	const char **text;
};

#define CHOICES_MOST 8

/* 0, or 2 after a message. */
static inline int choice_read(const char *program, const struct choice *c, const char *value)
{
	char *end;

	if (c->text) {
		*c->text = value;
		return 0;
	}
	*c->number = strtod(value, &end);
	if (end != value && !*end && *c->number >= c->least && *c->number <= c->most)
		return 0;
	fprintf(stderr, "%s: --%s: '%s' is not from %g to %g\n", program, c->name, value, c->least,
		c->most);
	return 2;
}

/* choices: n of them. 0; 2 after a message; -1 when --help was asked for and given. */
static inline int options_read(const char *program, const char *usage, const struct choice *choices,
	unsigned n, int argc, char **argv)
{
	struct option known[CHOICES_MOST + 2] = {{"help", no_argument, NULL, 'h'}};
	char letters[2 * CHOICES_MOST + 2] = "h";
	int option, error;

	for (unsigned i = 0; i < n; i++) {
		known[1 + i] = (struct option){
			choices[i].name, required_argument, NULL, choices[i].name[0]};
		letters[1 + 2 * i] = choices[i].name[0];
		letters[2 + 2 * i] = ':';
	}
	while ((option = getopt_long(argc, argv, letters, known, NULL)) != -1) {
		if (option == 'h')
			return fputs(usage, stdout) < 0 || fflush(stdout) ? 2 : -1;
		error = 2;
		for (unsigned i = 0; i < n; i++) {
			if (option == choices[i].name[0])
				error = choice_read(program, &choices[i], optarg);
		}
		if (error)
			return error;
	}
	if (optind < argc) {
		fprintf(stderr, "%s: what is '%s'? Try --help.\n", program, argv[optind]);
		return 2;
	}
	return 0;
}

/* 0; -errno: something that was written before did not get there. */
static inline int file_close(FILE *f)
{
	bool failed = ferror(f);

	if (fclose(f) || failed)
		return errno ? -errno : -EIO;
	return 0;
}

/* The file name of what is at that address; "?" where nobody knows. */
static inline const char *library_of(void *address)
{
	Dl_info info;

	if (!address || !dladdr(address, &info) || !info.dli_fname)
		return "?";
	return strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1 : info.dli_fname;
}

#endif
