/* SPDX-License-Identifier: MIT */
/*
 * What tick_tail keeps its intervals in: how often each length came up, exact below 256 counts of
 * the clock and to 1 % above, so that tens of millions of them take no room and no sorting. And the
 * clock itself.
 */
#ifndef TICK_HISTOGRAM_H
#define TICK_HISTOGRAM_H

#include <limits.h>
#include <stdint.h>
#include <string.h>
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
 * The fences keep what is measured between the two readings, and what is not out: rdtsc waits for
 * nothing before it, rdtscp for no store and keeps nothing back that follows.
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

static inline unsigned bin_of(uint64_t value)
{
	unsigned shift = 0;

	if (value >= 2 * HALF_BINS)
		shift = (unsigned)(sizeof value * CHAR_BIT) - 8 - (unsigned)__builtin_clzll(value);
	return shift * HALF_BINS + (unsigned)(value >> shift);
}

/* The largest value that lies in a bin. */
static inline uint64_t bin_most(unsigned bin)
{
	unsigned shift = bin < 2 * HALF_BINS ? 0 : bin / HALF_BINS - 1;

	return (((uint64_t)bin - shift * HALF_BINS + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->bin[bin_of(value)]++;
	h->count++;
	if (value > h->most)
		h->most = value;
}

/* The value that this part of all does not exceed; the next larger one where bins are wide. */
static inline uint64_t histogram_quantile(const struct histogram *h, double part)
{
	uint64_t rank = (uint64_t)(part * (double)h->count), seen = 0;

	for (unsigned bin = 0; bin < BINS; bin++) {
		seen += h->bin[bin];
		if (seen > rank)
			return bin_most(bin) < h->most ? bin_most(bin) : h->most;
	}
	return h->most;
}

static inline void histogram_empty(struct histogram *h)
{
	memset(h, 0, sizeof *h);
}

#endif
