/* SPDX-License-Identifier: MIT */
/*
 * Random numbers for tests: xorshift64* (Vigna 2016), its state the caller's and not 0.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

uint64_t next_random(uint64_t *state);

#endif
