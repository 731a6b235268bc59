/* SPDX-License-Identifier: MIT */
/*
 * How often each length of an interval came up: exact below 256 counts of the clock and to 1 % above,
 * so that tens of millions of intervals need no room and no sorting. And the clock for them.
 *
 * What stands between two intervals is inline here.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define HALF_BINS 128u /* of each doubling; the first two doublings' worth are exact */
#define BINS ((64 - 6) * HALF_BINS)

struct histogram {
	uint32_t bin[BINS];
	uint64_t count;
	uint64_t most; /* counts of the clock */
};

/* ---- the clock ---- */

/*
 * The fences keep the measured code between the two readings, and all other code out of there: rdtsc
 * does not wait for what stands before it; rdtscp does not wait for stores, and does not hold back
 * what follows.
 */
#if defined(__x86_64__)
#define CLOCK_NAME "rdtsc, fenced"

static inline uint64_t interval_begin(void)
{
	uint64_t now;

	_mm_lfence();
	now = __rdtsc();
	_mm_lfence();
	return now;
}

static inline uint64_t interval_end(void)
{
	unsigned cpu;
	uint64_t now = __rdtscp(&cpu);

	_mm_lfence();
	return now;
}
#else
#define CLOCK_NAME "clock_gettime(CLOCK_MONOTONIC)"

static inline uint64_t interval_begin(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t interval_end(void)
{
	return interval_begin();
}
#endif

/* ---- the histogram ---- */

static inline unsigned histogram_bin(uint64_t value)
{
	unsigned shift = 0;

	if (value >= 2 * HALF_BINS)
		shift = (unsigned)(sizeof value * CHAR_BIT) - 8 - (unsigned)__builtin_clzll(value);
	return shift * HALF_BINS + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->bin[histogram_bin(value)]++;
	h->count++;
	if (value > h->most)
		h->most = value;
}

/*
 * Returns: the value that this part of all does not exceed; where bins are wide, the largest of its
 * bin.
 */
uint64_t histogram_quantile(const struct histogram *h, double part);

#endif
