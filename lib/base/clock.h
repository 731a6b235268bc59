/* SPDX-License-Identifier: MIT */
/*
 * Two clocks that never go back, both of the same time.
 *
 *   tp_clock_ms   by which pools decay. The system's timer interrupt sets it, so it is late by one
 *                 interrupt at most, 1 to 10 ms. Reading it takes 5 ns: it needs neither a system call
 *                 nor the time stamp counter
 *   tp_clock_ns   by which things are measured; reading it takes some 25 ns
 */
#ifndef TP_CLOCK_H
#define TP_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t tp_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Of a clock of the system. */
static inline uint64_t tp_clock_ns_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t tp_clock_ns(void)
{
	return tp_clock_ns_of(CLOCK_MONOTONIC);
}

#endif
