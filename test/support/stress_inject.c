/* SPDX-License-Identifier: MIT */
/*
 * What the points of lib/base/inject.h do in a stress program that is compiled with -DTP_INJECT,
 * together with the library: mostly nothing; else a spin, a yield or a sleep, by chance. Without
 * -DTP_INJECT there is nothing here.
 */
#include "base/inject.h"

#ifdef TP_INJECT

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <unistd.h>

#include "base/atomic.h"

#define INJECT_LOOPS 2000 /* inside a sequence, sometimes; about a microsecond */
#define INJECT_SPIN 2048  /* passes at the most; a power of two */
#define INJECT_SLEEP_US 50

unsigned tp_inject_loops;

/* One call in so many is held up: the fewer calls there are, the more of them. */
#define INJECT_ONE_IN 64
static const unsigned inject_one_in[TP_POINTS] = {
	[TP_POINT_HIDDEN] = 8,
	[TP_POINT_STOPPED] = 8,
	[TP_POINT_START] = 8,
	[TP_POINT_INSTALL] = 1,
	[TP_POINT_MOVE] = 32,
	[TP_POINT_GAP] = 8,
};

/* Not rand(), which takes a lock. Each thread begins elsewhere, and so does each run. */
static uint32_t inject_random(void)
{
	static __thread uint32_t random;
	static uint32_t threads;

	if (!random)
		random = ((uint32_t)(uintptr_t)&random + tp_add_relaxed(&threads, 1u)) *
				 UINT32_C(0x9e3779b1) |
			 1;
	random ^= random << 13;
	random ^= random >> 17;
	random ^= random << 5;
	return random >> 4;
}

static void inject_delay(void)
{
	uint32_t dice = inject_random();
	int error = errno;

	switch (dice % 4) {
	case 0:
		sched_yield();
		break;
	case 1:
		for (unsigned spin = dice >> 2 & (INJECT_SPIN - 1); spin; spin--)
			__asm__ volatile("");
		break;
	default:
		usleep(INJECT_SLEEP_US);
	}
	errno = error;
}

void tp_inject_point(enum tp_point point)
{
	unsigned one_in = inject_one_in[point] ? inject_one_in[point] : INJECT_ONE_IN;
	uint32_t dice = inject_random();

	/* Relaxed: how long a sequence takes is all that hangs on it. */
	if (dice >> 16 & 1)
		tp_store_relaxed(&tp_inject_loops, dice >> 17 & 15 ? 0 : INJECT_LOOPS);
	if (dice % one_in == 0)
		inject_delay();
}

#endif
