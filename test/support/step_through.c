/* SPDX-License-Identifier: MIT */
#include "step_through.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "cpus.h"

static void (*step_then)(unsigned step);
static volatile unsigned step_count;

#ifdef __x86_64__

static void step_trapped(int signal)
{
	(void)signal;
	step_then(++step_count);
}

/* x86 traps after each instruction while the trap flag is set. Spares the red zone. */
#define STEP_FLAG(operation)                                              \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" operation \
			 ", (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" :: \
				 : "memory", "cc")

unsigned step_through(void (*what)(void), void (*then)(unsigned step))
{
	if (under_valgrind())
		skip("Valgrind does not trap after each instruction");
	step_then = then;
	step_count = 0;
	cr_assert_neq(signal(SIGTRAP, step_trapped), SIG_ERR);
	STEP_FLAG("orq $0x100");
	what();
	STEP_FLAG("andq $~0x100");
	cr_assert_gt(step_count, 5, "nothing was stepped through");
	return step_count;
}

#else

unsigned step_through(void (*what)(void), void (*then)(unsigned step))
{
	(void)what;
	step_then = then;
	skip("only x86-64 is stepped through here");
	return step_count;
}

#endif
