/* SPDX-License-Identifier: MIT */
#include "percpu/cpu.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hand_over.h"
#include "base/inject.h"
#include "base/keep_errno.h"

/* glibc has them from 2.35 on; weak, so that the library loads without them. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/* From linux/membarrier.h, which musl's compiler does not find. */
#define QUERY 0
#define FENCE_RSEQ (1 << 7)
#define REGISTER_RSEQ (1 << 8)
#define FLAG_CPU 1

ptrdiff_t tp_cpu_rseq_area;
ptrdiff_t tp_cpu_rseq;

unsigned tp_cpu_id_of_libc(void)
{
	TP_KEEP_ERRNO;

	return (unsigned)sched_getcpu();
}

/* Calls of membarrier that fail for what may be over at the next one, before that is the answer. */
#define MEMBARRIER_TRIES 4

static int cpu_membarrier(int command, unsigned flags, int cpu_id)
{
	unsigned tries = 0;
	int answer;

	do
		answer = (int)syscall(SYS_membarrier, command, flags, cpu_id);
	while (answer < 0 && (errno == ENOMEM || errno == EAGAIN || errno == EINTR) &&
		++tries < MEMBARRIER_TRIES);
	return answer;
}

/* Why rseq mode is not possible; NULL: it is. */
static const char *cpu_rseq_obstacle(void)
{
	int commands;

	if (!TP_RSEQ_PRESENT)
		return "this build has no sequences";
	if (tp_tsan_watches())
		return "the thread sanitizer watches";
	if (!tp_cpu_rseq_area)
		return "glibc has not registered it";
	/* glibc has the area even if the kernel refused to register it; then its cpu_id is < 0. */
	if ((int)tp_cpu_id() < 0)
		return "the kernel refused glibc's registration";
	commands = cpu_membarrier(QUERY, 0, 0);
	if (commands < 0 || !(commands & FENCE_RSEQ))
		return "the kernel has no membarrier for it";
	return cpu_membarrier(REGISTER_RSEQ, 0, 0) ? "membarrier refused our registration" : NULL;
}

static void cpu_mode_choose(void)
{
	const char *wish = secure_getenv("TIERPOOL_PERCPU");
	bool wants_rseq, wants_locked;
	const char *obstacle;

	wants_rseq = wish && !strcmp(wish, "rseq");
	wants_locked = wish && !strcmp(wish, "locked");
	if (wish && *wish && !wants_rseq && !wants_locked)
		fprintf(stderr, "tierpool: TIERPOOL_PERCPU=%s: not rseq or locked; ignored\n",
			wish);
	if (wants_locked)
		return;
	obstacle = cpu_rseq_obstacle();
	if (!obstacle)
		tp_cpu_rseq = tp_cpu_rseq_area;
	else if (wants_rseq)
		fprintf(stderr, "tierpool: TIERPOOL_PERCPU=rseq: %s; locked\n", obstacle);
}

/* CPUs that an affinity set here can name: no kernel has more (NR_CPUS, arch/x86/Kconfig). */
#define SET_CPUS 8192
#define WORD_CPUS (8 * sizeof(unsigned long))

/*
 * CPUs that are configured, not only those online: one that comes up later has its entry already.
 * If the C library cannot open the file that lists them, then it counts those that this thread may
 * use, which may be fewer than their highest number. So the highest of these, and the one that the
 * caller is on, are counted in.
 */
static unsigned cpu_count_configured(void)
{
	unsigned long allowed[SET_CPUS / WORD_CPUS] = {0};
	long configured = sysconf(_SC_NPROCESSORS_CONF);
	size_t count = configured > 0 ? (size_t)configured : 1;
	unsigned here = tp_cpu_id();

	if (syscall(SYS_sched_getaffinity, 0, sizeof allowed, allowed) > 0)
		for (size_t cpu_id = count; cpu_id < SET_CPUS; cpu_id++)
			if (allowed[cpu_id / WORD_CPUS] >> cpu_id % WORD_CPUS & 1)
				count = cpu_id + 1;
	return (unsigned)(here < SET_CPUS ? tp_max(count, here + 1) : count);
}

static unsigned cpu_total;

static void cpu_start_once(void)
{
	if (&__rseq_size && &__rseq_offset && __rseq_size)
		tp_cpu_rseq_area = __rseq_offset;
	cpu_total = cpu_count_configured();
	cpu_mode_choose();
}

void tp_cpu_init(void)
{
	static pthread_once_t started = PTHREAD_ONCE_INIT;

	pthread_once(&started, cpu_start_once);
}

unsigned tp_cpu_count(void)
{
	tp_cpu_init();
	return cpu_total;
}

int tp_cpu_fence(int cpu_id)
{
	if (tp_fault(TP_FAULT_NO_FENCE))
		return 0;
	if (!cpu_membarrier(FENCE_RSEQ, cpu_id == TP_CPU_ALL ? 0 : FLAG_CPU, cpu_id))
		return 0;
	/* A CPU that is not there runs no thread. */
	return errno == ENXIO ? 0 : -errno;
}

bool tp_cpu_visit(unsigned cpu_id, bool (*call)(void *context), void *context)
{
	unsigned long before[SET_CPUS / WORD_CPUS] = {0}, only[SET_CPUS / WORD_CPUS] = {0};
	bool result;

	/* Not the C library's calls: musl's set is fixed at 1024 CPUs. */
	if (cpu_id >= SET_CPUS || syscall(SYS_sched_getaffinity, 0, sizeof before, before) < 0)
		return false;
	only[cpu_id / WORD_CPUS] = 1UL << cpu_id % WORD_CPUS;
	result = !syscall(SYS_sched_setaffinity, 0, sizeof only, only);
	if (result) {
		result = call(context);
		syscall(SYS_sched_setaffinity, 0, sizeof before, before);
	}
	return result;
}

const char *tp_cpu_mode(void)
{
	tp_cpu_init();
	return tp_cpu_rseq ? "rseq" : "locked";
}
