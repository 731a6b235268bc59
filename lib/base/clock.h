/* SPDX-License-Identifier: MIT */
/*
 * The clock by which pools decay: milliseconds that only go forward, as the system's last timer
 * interrupt left them. Behind by one such interrupt at the most, 1 to 10 ms, and read without a
 * system call or a time stamp counter: 5 ns.
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
