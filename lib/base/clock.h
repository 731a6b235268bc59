/* SPDX-License-Identifier: MIT */
/*
 * The clock by which pools decay, in milliseconds. It never goes back. The system's timer interrupt
 * sets it, so it is late by one interrupt at most, 1 to 10 ms. Reading it takes 5 ns: it needs
 * neither a system call nor the time stamp counter.
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

#endif
