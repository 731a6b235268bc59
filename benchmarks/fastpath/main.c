/* SPDX-License-Identifier: MIT */
/*
 * fastpath: the instructions of a get, a put and a growth that find all they need on their CPU, in the mode
 * of TIERPOOL_PERCPU. It steps through them and counts, so these are the instructions that ran, and
 * the number is the same each time. In rseq mode each step would abort the sequence; there the
 * library gets an rseq area of ours, which the kernel does not know.
 *
 *   fastpath           prints a line: compiler mode get get_sized put grow
 *   fastpath GOLDEN    and compares it with the line of that compiler and mode in a file
 *
 * Exit status: 0; 1: a number is above that of the file; 77: there is nothing to compare. x86-64.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <tierpool.h>

#include "percpu/cpu.h"
#include "support/measure.h"
#include "support/program.h"

#ifdef __clang__
#define COMPILER "clang"
#define COMPILER_MAJOR __clang_major__
#else
#define COMPILER "gcc"
#define COMPILER_MAJOR __GNUC__
#endif

static int count_skip(const char *why)
{
	printf("skipped: %s\n", why);
	return SKIPPED;
}

#ifdef __x86_64__

/*
 * The function that is counted, from its first instruction until it has returned: of a get, what the
 * macros call.
 */
static uintptr_t counted, back;
static volatile unsigned steps;

static void on_step(int signal, siginfo_t *info, void *context)
{
	const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
	uintptr_t at = (uintptr_t)registers[REG_RIP];

	(void)signal, (void)info;
	if (at == counted)
		back = *(const uintptr_t *)registers[REG_RSP];
	else if (at == back)
		back = 0;
	steps += back != 0;
}

/* x86 traps after each instruction while the trap flag is set. Spares the red zone. */
#define STEPPING(operation)                                               \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" operation \
			 ", (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" :: \
				 : "memory", "cc")

#define WARM_UPS 200
#define ROUNDS 8

static tierpool *pool;
static tierpool_site place = TIERPOOL_SITE_INIT("fastpath");

static void count_from(uintptr_t function)
{
	counted = function;
	back = 0;
	steps = 0;
}

static tierpool_buf *count_get(unsigned *count)
{
	tierpool_buf *b;

	count_from((uintptr_t)tierpool_get_calibrated);
	STEPPING("orq $0x100");
	b = tierpool_get_at(pool, 0, &place);
	STEPPING("andq $~0x100");
	*count = steps;
	return b;
}

static tierpool_buf *count_get_sized(size_t n, unsigned *count)
{
	tierpool_buf *b;

	count_from((uintptr_t)tierpool_get_at_site);
	STEPPING("orq $0x100");
	b = tierpool_get_at_site(pool, n, &place);
	STEPPING("andq $~0x100");
	*count = steps;
	return b;
}

static void count_put(tierpool_buf *b, unsigned *count)
{
	count_from((uintptr_t)tierpool_put_buf);
	STEPPING("orq $0x100");
	tierpool_put(b);
	STEPPING("andq $~0x100");
	*count = steps;
}

/* To the next tier, with nothing to copy. */
static void count_grow(tierpool_buf *b, unsigned *count)
{
	size_t more = b->cap + 1;

	count_from((uintptr_t)tierpool_buf_reserve);
	STEPPING("orq $0x100");
	(void)tierpool_buf_reserve(b, more);
	STEPPING("andq $~0x100");
	*count = steps;
}

enum { GET, GET_SIZED, PUT, GROW, COUNTS };

/* Until the site is new no more. */
static void warm_up(void)
{
	for (unsigned i = 0; i < WARM_UPS; i++) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &place);

		b->len = 1000;
		tierpool_put(b);
	}
}

/* The least of some rounds: one may be sampled, or look at the clock. */
static void count_all(unsigned *least)
{
	memset(least, 0xff, COUNTS * sizeof *least);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned counts[COUNTS];
		tierpool_buf *b = count_get_sized(1000, &counts[GET_SIZED]);

		count_grow(b, &counts[GROW]);
		count_put(b, &counts[PUT]);
		count_put(count_get(&counts[GET]), &counts[PUT]);
		for (unsigned i = 0; i < COUNTS; i++)
			if (counts[i] < least[i])
				least[i] = counts[i];
	}
}

static int count_compare(
	const char *path, const char *name, const char *mode, const unsigned *counts)
{
	FILE *golden = fopen(path, "r");
	char line[256], of[64], in[64];
	unsigned most[COUNTS];
	int status = SKIPPED;

	if (!golden) {
		perror(path);
		return 1;
	}
	while (status == SKIPPED && fgets(line, sizeof line, golden))
		if (sscanf(line, "%63s %63s %u %u %u %u", of, in, &most[GET], &most[GET_SIZED],
			    &most[PUT], &most[GROW]) == 2 + COUNTS &&
			!strcmp(of, name) && !strcmp(in, mode)) {
			status = 0;
			for (unsigned i = 0; i < COUNTS; i++)
				status |= counts[i] > most[i];
		}
	fclose(golden);
	if (status == SKIPPED)
		return count_skip("there are no numbers for this compiler");
	if (status)
		printf("FAILED: %s has %u %u %u %u\n", path, most[GET], most[GET_SIZED], most[PUT],
			most[GROW]);
	return status;
}

int main(int argc, char **argv)
{
	static uint32_t area[8] __attribute__((aligned(32))); /* cpu_id 0 */
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
	unsigned counts[COUNTS];
	char name[64];
	const char *mode;

	mode = tp_cpu_mode();
	if (!strcmp(mode, "rseq")) {
		tp_cpu_rseq_area = (char *)area - (char *)__builtin_thread_pointer();
		tp_cpu_rseq = tp_cpu_rseq_area;
	}
	/* On another CPU than the last call there would be nothing to find. */
	if (pin((unsigned)sched_getcpu()) || tierpool_create(&pool, NULL) ||
		sigaction(SIGTRAP, &action, NULL))
		return 1;
	warm_up();
	count_all(counts);
	snprintf(name, sizeof name, "%s-%d", COMPILER, COMPILER_MAJOR);
	printf("%s %s %u %u %u %u\n", name, mode, counts[GET], counts[GET_SIZED], counts[PUT],
		counts[GROW]);
	return argc > 1 ? count_compare(argv[1], name, mode, counts) : 0;
}

#else

int main(void)
{
	return count_skip("only x86-64 is stepped through here");
}

#endif
