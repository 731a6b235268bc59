/* SPDX-License-Identifier: MIT */
/*
 * What programs that measure have in common: the clock, a batch of pairs, quantiles, which batches
 * the machine disturbed, and CPUs.
 *
 * What stands inside a measured loop is inline here; all else is in measure.c.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* ---- the clock: CLOCK_MONOTONIC, in nanoseconds ---- */

static inline double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Blocks: until now_ns() would return ns. */
void sleep_until(double ns);

/* ---- a batch of pairs ---- */

#define BATCH_PAIRS 40960 /* 0.2 ms of the floor; reading the clock takes 20 ns */
#define WARM_UP 16        /* a sixteenth of a batch goes before it, for caches and branches */

/* A measured loop is a function of its own, and each pair stores to the first bytes. */
#define MEASURED static __attribute__((__noinline__)) void

static inline void touch(void *data, uint64_t i)
{
	*(volatile uint64_t *)data = i;
}

/* A buffer in use: its first bytes, at most this many, are written, and perhaps read. */
#define USED ((size_t)256)

static inline size_t used_bytes(size_t n)
{
	return n < USED ? n : USED;
}

/* Writes them, 64 at a time, n being a multiple of 64; the compiler leaves nothing out. */
static inline void use_write(void *data, size_t n, uint64_t i)
{
	for (size_t at = 0; at < used_bytes(n); at += 64) {
		memset((char *)data + at, (int)i, 64);
		__asm__ volatile("" : : "r"(data) : "memory");
	}
}

/* Reads them. */
static inline void use_read(const void *data, size_t n)
{
	for (size_t at = 0; at < used_bytes(n); at += 64) {
		const uint64_t *word = (const uint64_t *)((const char *)data + at);
		uint64_t sum = word[0] + word[1] + word[2] + word[3] + word[4] + word[5] + word[6] +
			       word[7];

		__asm__ volatile("" : : "r"(sum));
	}
}

/*
 * How many bytes to put on the stack below a batch, by the number of its round.
 *
 * The place of the stack in its page is chance, and worth 9 %: the CPU compares the last 12 bits of
 * addresses, so a store to the data may look like one to a return address. So each round has its
 * stack elsewhere, in steps of 16 bytes over a page. From one round to the next it is 101 steps, so
 * that a few rounds cover the page as evenly as many do.
 */
static inline size_t stack_shift(unsigned round)
{
	return 16 * (1 + round * 101 % 256);
}

/* ---- what is made of the figures ---- */

#define ROUNDS_LEAST 20 /* if fewer batches are quiet, this many of the quietest count */
#define DISTURBED_MOST 16384

/* For qsort. */
int double_compare(const void *a, const void *b);

/*
 * Sorts the n values, n > 0. Returns: the value at that part of them (0.5: the median), between two
 * values by its distance from each.
 */
double quantile(double *values, unsigned n, double part);

/*
 * floors: what the floor took in each of n rounds; disturbed: the longest floor around each batch;
 * n is at most DISTURBED_MOST.
 * Returns: the longest floor that a batch may have around it to count. *noisy becomes true if fewer
 * than ROUNDS_LEAST batches are quiet.
 */
double disturbance_most(const double *floors, const double *disturbed, unsigned n, bool *noisy);

/* ---- CPUs ---- */

/* Binds the calling thread to one CPU. Returns: 0; -errno. */
int pin(unsigned cpu);

/*
 * Chooses two of the CPUs that this process may use, of two cores if there are two; with siblings,
 * of one core if the system knows one.
 * Returns: how many there are, 0 to 2.
 */
unsigned cpus_choose(unsigned cpus[2], bool siblings);

#endif
