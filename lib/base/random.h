/* SPDX-License-Identifier: MIT */
/* Random numbers: good enough to fall into step with nothing. The same sequence in every run. */
#ifndef TP_RANDOM_H
#define TP_RANDOM_H

#include <stdint.h>

#include "base/atomic.h"

/* The next of 32 bits. *state may begin with anything; drawn from by anyone. */
static inline uint32_t tp_random(uint64_t *state)
{
	/*
	 * Weyl sequence through a multiplicative hash: Knuth, TAOCP 3, 6.4. Two threads that draw at
	 * once may draw the same.
	 */
	uint64_t random = tp_load_relaxed(state) + UINT64_C(0x9e3779b97f4a7c15);

	tp_store_relaxed(state, random);
	return (uint32_t)((random * UINT64_C(0xd1342543de82ef95)) >> 32);
}

/* A gap of 1 to 2 * mean - 1. */
static inline unsigned tp_random_gap(uint64_t *state, unsigned mean)
{
	return tp_random(state) % (2 * mean - 1) + 1;
}

/* 64 bits, independent of those before: SplitMix64 (Steele, Lea and Flood, 2014). By anyone. */
static inline uint64_t tp_random_independent(uint64_t *state)
{
	uint64_t step = UINT64_C(0x9e3779b97f4a7c15), z = tp_add_relaxed(state, step) + step;

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#endif
