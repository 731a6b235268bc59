/* SPDX-License-Identifier: MIT */
/*
 * Random numbers for tests: xorshift64* (Vigna 2016), its state the caller's and not 0.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

#endif
