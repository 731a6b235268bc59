/* SPDX-License-Identifier: MIT */
/* The shortest decimal number that is read back as a given double. */
#ifndef TP_SHORTEST_H
#define TP_SHORTEST_H

#include <stdint.h>

/* digits * 10^exponent; digits does not end in a zero. */
struct tp_decimal {
	uint64_t digits;
	int exponent;
};

/*
 * Of all decimal numbers that a reader which rounds to the nearest, as strtod does, takes for the
 * double with these
 * bits: one with the fewest digits, and among those the nearest. If two are as near, the even one.
 *
 * bits: of a finite double above 0
 */
struct tp_decimal tp_shortest(uint64_t bits);

/* The exponents of ten that are needed. */
#define TP_POWER_LEAST (-292)
#define TP_POWER_MOST 324

/* The first 128 bits of 10^exponent: the leading one, and what follows is cut off. */
unsigned __int128 tp_power_of_ten(int exponent);

#endif
