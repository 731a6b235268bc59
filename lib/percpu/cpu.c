/* SPDX-License-Identifier: MIT */
#include "percpu/cpu.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/inject.h"

/* glibc 2.35 and later; weak, so that the library loads where they are missing. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/* Of linux/membarrier.h, which musl's compiler does not find. */
#define QUERY 0
#define FENCE_RSEQ (1 << 7)
#define REGISTER_RSEQ (1 << 8)
#define FLAG_CPU 1

ptrdiff_t tp_percpu_area;
ptrdiff_t tp_percpu_rseq;

static int membarrier(int command, unsigned flags, int cpu)
{
	return (int)syscall(SYS_membarrier, command, flags, cpu);
}

/* What stands against rseq mode; NULL: nothing. */
static const char *rseq_obstacle(void)
{
	int commands;

	if (!TP_SEQUENCES)
		return "this build has no sequences";
	if (!tp_percpu_area)
		return "glibc has not registered it";
	/* glibc knows of the area whatever the kernel said; this is what the kernel said. */
	if ((int)tp_percpu_id() < 0)
		return "the kernel refused glibc's registration";
	commands = membarrier(QUERY, 0, 0);
	if (commands < 0 || !(commands & FENCE_RSEQ))
		return "the kernel has no membarrier for it";
	return membarrier(REGISTER_RSEQ, 0, 0) ? "membarrier refused our registration" : NULL;
}

static void mode_choose(void)
{
	const char *wish = secure_getenv("TIERPOOL_PERCPU");
	bool asked, locked;
	const char *obstacle;

	asked = wish && !strcmp(wish, "rseq");
	locked = wish && !strcmp(wish, "locked");
	if (wish && *wish && !asked && !locked)
		fprintf(stderr, "tierpool: TIERPOOL_PERCPU=%s: not rseq or locked; ignored\n",
			wish);
	if (locked || (!TP_SEQUENCES_PROVEN && !asked))
		return;
	obstacle = rseq_obstacle();
	if (!obstacle)
		tp_percpu_rseq = tp_percpu_area;
	else if (asked)
		fprintf(stderr, "tierpool: TIERPOOL_PERCPU=rseq: %s; locked\n", obstacle);
}

/* CPUs that a set of ours can name: no kernel is built for more (NR_CPUS, arch/x86/Kconfig). */
#define SET_CPUS 8192
#define WORD_CPUS (8 * sizeof(unsigned long))

/*
 * Configured rather than online: a CPU that comes up later has its place already. Where the C
 * library can open no file that tells of them it counts those that this thread may use, which are
 * fewer: then the highest of these, and the one we are on, are counted in.
 */
static unsigned cpus_count(void)
{
	unsigned long allowed[SET_CPUS / WORD_CPUS] = {0};
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	size_t count = configured > 0 ? (size_t)configured : 1;
	unsigned here = tp_percpu_id();

	if (syscall(SYS_sched_getaffinity, 0, sizeof allowed, allowed) > 0)
		for (size_t cpu = count; cpu < SET_CPUS; cpu++)
			if (allowed[cpu / WORD_CPUS] >> cpu % WORD_CPUS & 1)
				count = cpu + 1;
	return (unsigned)(here < SET_CPUS ? tp_max(count, here + 1) : count);
}

static unsigned cpus;

static void start(void)
{
	if (&__rseq_size && &__rseq_offset && __rseq_size)
		tp_percpu_area = __rseq_offset;
	cpus = cpus_count();
	mode_choose();
}

void tp_percpu_start(void)
{
	static pthread_once_t started = PTHREAD_ONCE_INIT;

	pthread_once(&started, start);
}

unsigned tp_percpu_count(void)
{
	tp_percpu_start();
	return cpus;
}

int tp_percpu_fence(int cpu)
{
	if (tp_fault(TP_FAULT_NO_FENCE))
		return 0;
	if (!membarrier(FENCE_RSEQ, cpu == TP_PERCPU_ALL ? 0 : FLAG_CPU, cpu))
		return 0;
	/* A CPU that is not there runs nobody. */
	return errno == ENXIO ? 0 : -errno;
}

bool tp_percpu_visit(unsigned cpu, bool (*call)(void *context), void *context)
{
	unsigned long before[SET_CPUS / WORD_CPUS] = {0}, only[SET_CPUS / WORD_CPUS] = {0};
	int error = errno;
	bool result;

	/* Not the C library's calls: musl's set is a fixed 1024. */
	if (cpu >= SET_CPUS || syscall(SYS_sched_getaffinity, 0, sizeof before, before) < 0)
		return false;
	only[cpu / WORD_CPUS] = 1UL << cpu % WORD_CPUS;
	result = !syscall(SYS_sched_setaffinity, 0, sizeof only, only);
	if (result) {
		result = call(context);
		syscall(SYS_sched_setaffinity, 0, sizeof before, before);
	}
	errno = error;
	return result;
}

const char *tp_percpu_mode(void)
{
	tp_percpu_start();
	return tp_percpu_rseq ? "rseq" : "locked";
}
