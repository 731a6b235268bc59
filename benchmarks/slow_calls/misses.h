/* SPDX-License-Identifier: MIT */
/*
 * Gets that find no idle buffer, against posix_memalign, aligned to 64 bytes as the pool's buffers
 * are, of the allocators (support/comparison.h):
 *
 *   a miss   the pool keeps nothing (TIERPOOL_RETAIN_NONE): a get allocates, its put frees; by one
 *            thread, and by two on one pool
 *   cold     many buffers are borrowed and held at once, all fresh, with a store in each page; then
 *            all are put, and a trim leaves nothing idle
 */
#ifndef MISSES_H
#define MISSES_H

/* Measures and prints the tables of misses, for so many seconds. Returns: 0; -errno. */
int misses_measure(double seconds);

/* The same of the cold gets. */
int misses_cold_measure(double seconds);

#endif
