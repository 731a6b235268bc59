/* SPDX-License-Identifier: MIT */
/*
 * The shortest decimal number of a double, by integers alone: after Raffaello Giulietti, "The
 * Schubfach way to render doubles" (2020).
 *
 * A double is c * 2^q. A reader takes every number of an interval around it for it: from half way
 * to the double below to half way to the one above, and both ends themselves if c is even. Let 10^k
 * be the largest power of ten that is not larger than the interval. Then at least one multiple of
 * 10^k lies in it, and at most one of 10^(k + 1), which has fewer digits and so is taken if there
 * is one. If not, the nearest of the others is one of the two neighbours of c * 2^q.
 *
 * So all there is to compute is three numbers, the ends and the middle, in units of 10^k, exact
 * enough to compare them with integers. That is: to two bits behind the point, and whether anything
 * follows. 128 bits of 10^-k suffice, since no such number of any double is nearer to such a bit
 * than 2^-66 without lying on it.
 *
 * Tests: test_shortest computes both anew with long integers, the powers and these distances.
 */
#include "pool/shortest.h"

#include "base/compiler.h"

#define FRACTION_BITS 52
#define EXPONENT_LEAST (-1074)

/* ---- powers of ten ---- */

#define BASE_LEAST (-11)
#define BASE_STEP 27

/*
 * The first 192 bits of 10^(27 * n) for n from -11 to 12, cut off: floor(10^(27 * n) * 2^s), where
 * s is such that the first bit is 1. 128 bits of such a base leave the last bits of a product
 * wrong.
 */
static const uint64_t shortest_bases[][3] = {
	{0xa76c582338ed2621, 0xaf2af2b80af6f24e, 0x657c8f4d43323a36},
	{0x873e4f75e2224e68, 0x5a7744a6e804a291, 0xcc35eddfcf0996d7},
	{0xda7f5bf590966848, 0xaf39a475506a899e, 0xa30294cc2934e662},
	{0xb080392cc4349dec, 0xbd8d794d96aacfb3, 0xfe13a5c86af64418},
	{0x8e938662882af53e, 0x547eb47b7282ee9c, 0x41b0230e1421487d},
	{0xe65829b3046b0afa, 0x0cb4a5a3112a5112, 0xa3b561b1cb208396},
	{0xba121a4650e4ddeb, 0x92f34d62616ce413, 0x21a0183e10583cd3},
	{0x964e858c91ba2655, 0x3a6a07f8d510f86f, 0xe9082f25e9c5e9ec},
	{0xf2d56790ab41c2a2, 0xfae27299423fb9c3, 0x3695dad7e8858901},
	{0xc428d05aa4751e4c, 0xaa97e14c3c26b886, 0x96842dc95323f5a8},
	{0x9e74d1b791e07e48, 0x775ea264cf55347d, 0xca49f1c05120c9c7},
	{0x8000000000000000, 0x0000000000000000, 0x0000000000000000},
	{0xcecb8f27f4200f3a, 0x0000000000000000, 0x0000000000000000},
	{0xa70c3c40a64e6c51, 0x999090b65f67d924, 0x0000000000000000},
	{0x86f0ac99b4e8dafd, 0x69a028bb3ded71a3, 0xdf9f915627c04e28},
	{0xda01ee641a708de9, 0xe80e6f4820cc9495, 0xd74baad03bc1d8d3},
	{0xb01ae745b101e9e4, 0x5ec05dcff72e7f8f, 0xc04c79ffe324301f},
	{0x8e41ade9fbebc27d, 0x14588f13be847307, 0x23bd6a2059c002f5},
	{0xe5d3ef282a242e81, 0x8f1668c8a86da5fa, 0xf0b5ccf5176ecc7c},
	{0xb9a74a0637ce2ee1, 0x6d953e2bd7173692, 0x88efb0037ac08bde},
	{0x95f83d0a1fb69cd9, 0x4abdaf101564f98e, 0x0d5a4af7b3a98e47},
	{0xf24a01a73cf2dccf, 0xbc633b39673c8cec, 0x3d9c44cd2f36917c},
	{0xc3b8358109e84f07, 0x0a862f80ec4700c8, 0x02606ea01029dc37},
	{0x9e19db92b4e31ba9, 0x6c07a2c26a8346d1, 0x4944d9f52cd0dec2},
};

/* 10^n for n from 0 to 26, shifted such that the first of 64 bits is 1; they are exact. */
static const uint64_t shortest_steps[BASE_STEP] = {0x8000000000000000, 0xa000000000000000,
	0xc800000000000000, 0xfa00000000000000, 0x9c40000000000000, 0xc350000000000000,
	0xf424000000000000, 0x9896800000000000, 0xbebc200000000000, 0xee6b280000000000,
	0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000, 0x9184e72a00000000,
	0xb5e620f480000000, 0xe35fa931a0000000, 0x8e1bc9bf04000000, 0xb1a2bc2ec5000000,
	0xde0b6b3a76400000, 0x8ac7230489e80000, 0xad78ebc5ac620000, 0xd8d726b7177a8000,
	0x878678326eac9000, 0xa968163f0a57b400, 0xd3c21bcecceda100, 0x84595161401484a0,
	0xa56fa5b99019a5c8};

unsigned __int128 tp_power_of_ten(int exponent)
{
	unsigned n = (unsigned)(exponent - BASE_LEAST * BASE_STEP);
	const uint64_t *base = shortest_bases[n / BASE_STEP];
	unsigned __int128 step = shortest_steps[n % BASE_STEP];
	unsigned __int128 low = (base[2] * step >> 64) + base[1] * step;
	unsigned __int128 high = (low >> 64) + base[0] * step;
	/* The product of two numbers that begin with a 1 begins with 1 or 01. */
	unsigned shift = !(high >> 127);

	return high << shift | ((uint64_t)low >> 63 & shift);
}

/* ---- logarithms, rounded down; right for every exponent of a double ---- */

/* Of 2^q to base 10; of 3/4 * 2^q. */
static int shortest_log10(int q, bool three_quarters)
{
	return (q * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}

/* Of 10^e to base 2. */
static int shortest_log2(int e)
{
	return (e * 1741647) >> 19;
}

/* ---- the number ---- */

/*
 * n * power / 2^128, rounded down; then the last bit is set if that was not exact, so that it
 * compares with an even number as the exact quotient does.
 *
 * power is larger than exact by at most 1, and n is below 2^60: what the product is too large by is
 * less than 2^60. An exact quotient leaves a rest that is less too, and any other one more than
 * 2^62.
 */
static uint64_t shortest_product(unsigned __int128 power, uint64_t n)
{
	unsigned __int128 low = (unsigned __int128)n * (uint64_t)power;
	unsigned __int128 high = (unsigned __int128)n * (uint64_t)(power >> 64) + (low >> 64);

	return (uint64_t)(high >> 64) | (((uint64_t)high | (uint64_t)low >> 60) != 0);
}

static inline __attribute__((always_inline)) void shortest_strip_by(
	struct tp_decimal *d, uint32_t power, int zeros)
{
	if (d->digits % power == 0) {
		d->digits /= power;
		d->exponent += zeros;
	}
}

/* Without its zeros at the end, of which 16 digits have 15 at most. */
static struct tp_decimal shortest_strip(uint64_t digits, int exponent)
{
	struct tp_decimal d = {digits, exponent};

	shortest_strip_by(&d, 100000000, 8);
	shortest_strip_by(&d, 10000, 4);
	shortest_strip_by(&d, 100, 2);
	shortest_strip_by(&d, 10, 1);
	return d;
}

struct tp_decimal tp_shortest(uint64_t bits)
{
	int biased = (int)(bits >> FRACTION_BITS);
	uint64_t fraction = bits & ((UINT64_C(1) << FRACTION_BITS) - 1);
	uint64_t c = fraction | (uint64_t)(biased > 0) << FRACTION_BITS;
	int q = EXPONENT_LEAST + (biased > 0 ? biased - 1 : 0);
	/* Below a power of two the next double is half as far as above it. */
	bool closer = fraction == 0 && biased > 1;
	int k = shortest_log10(q, closer);
	/* c * 2^q / 10^k = c * 2^shift * power / 2^128, where power has 128 bits. */
	int shift = q + shortest_log2(-k) + 1;
	unsigned __int128 power = tp_power_of_ten(-k) + 1;
	/* Of the double and the ends of its interval: four times what they are in units of 10^k. */
	uint64_t middle = shortest_product(power, 4 * c << shift);
	uint64_t left = shortest_product(power, (4 * c - 2 + closer) << shift) + (c & 1);
	uint64_t right = shortest_product(power, (4 * c + 2) << shift) - (c & 1);
	uint64_t below = middle / 4, tens = below / 10;
	/* Whether the neighbours, first those that are multiples of ten, are inside. */
	bool down = left <= 40 * tens, up = 40 * tens + 40 <= right;

	if (down != up)
		return shortest_strip(tens + up, k + 1);
	down = left <= 4 * below;
	up = 4 * below + 4 <= right;
	/* If both are inside, the nearer one, and of two that are as near the even one. */
	up &= !down | (middle > 4 * below + 2 - (below & 1));
	return (struct tp_decimal){below + up, k};
}
