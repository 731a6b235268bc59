/* SPDX-License-Identifier: MIT */
/*
 * Buffers up to sizes that a pool no longer keeps, against malloc and realloc of the allocators
 * (support/comparison.h), by a pool with all default options. Every byte is written. Two tables:
 *
 *   grown   a buffer of 1 KiB is filled, and doubled whenever it is full, until it has all bytes
 *   whole   a buffer of all bytes is borrowed and filled
 */
#ifndef LARGE_H
#define LARGE_H

/* Measures and prints both tables, for so many seconds. Returns: 0; -errno. */
int large_measure(double seconds);

#endif
