/* SPDX-License-Identifier: MIT */
/*
 * The shortest decimal number of a double: the powers of ten and the distances on which it rests,
 * each computed anew with long integers; and its numbers, judged by strtod and printf.
 */
#include "pool/shortest.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

/* ---- long integers: 32-bit digits, the lowest first ---- */

#define WORDS 26 /* 832 bits; the largest number here has 817 */

struct big {
	uint32_t word[WORDS];
};

static void big_multiply(struct big *n, uint32_t by)
{
	uint64_t carry = 0;

	for (int i = 0; i < WORDS; i++) {
		carry += (uint64_t)n->word[i] * by;
		n->word[i] = (uint32_t)carry;
		carry >>= 32;
	}
	cr_assert_eq(carry, 0, "WORDS is too small");
}

static void big_double(struct big *n, unsigned times)
{
	for (; times >= 31; times -= 31)
		big_multiply(n, UINT32_C(1) << 31);
	big_multiply(n, UINT32_C(1) << times);
}

/* n * 5^exponent */
static struct big big_fives(unsigned __int128 n, int exponent)
{
	struct big product = {
		{(uint32_t)n, (uint32_t)(n >> 32), (uint32_t)(n >> 64), (uint32_t)(n >> 96)}};

	for (; exponent > 0; exponent--)
		big_multiply(&product, 5);
	return product;
}

static int big_compare(const struct big *a, const struct big *b)
{
	for (int i = WORDS; i-- > 0;)
		if (a->word[i] != b->word[i])
			return a->word[i] < b->word[i] ? -1 : 1;
	return 0;
}

static unsigned big_bits(const struct big *n)
{
	for (unsigned i = WORDS; i-- > 0;)
		if (n->word[i])
			return 32 * (i + 1) - (unsigned)__builtin_clz(n->word[i]);
	return 0;
}

static void big_subtract(struct big *a, const struct big *b)
{
	int64_t carry = 0;

	for (int i = 0; i < WORDS; i++) {
		carry += (int64_t)a->word[i] - b->word[i];
		a->word[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

/* Leaves a modulo b in a. Returns: the quotient; UINT64_MAX if it has more than 60 bits. */
static uint64_t big_divide(struct big *a, const struct big *b)
{
	unsigned a_bits = big_bits(a), b_bits = big_bits(b);
	uint64_t quotient = 0;

	if (a_bits > b_bits + 60)
		return UINT64_MAX;
	for (int shift = (int)(a_bits - b_bits); shift >= 0; shift--) {
		struct big part = *b;

		big_double(&part, (unsigned)shift);
		if (big_compare(a, &part) >= 0) {
			big_subtract(a, &part);
			quotient |= UINT64_C(1) << shift;
		}
	}
	return quotient;
}

/* ---- what it rests on ---- */

/*
 * The powers of 2 in 10^e only shift it. So of 5^e: power * 2^s <= 5^e < (power + 1) * 2^s, and if
 * e is below 0: power * 5^-e <= 2^s < (power + 1) * 5^-e, for some s.
 */
Test(shortest, each_power_of_ten_is_exact_to_its_last_bit)
{
	for (int e = TP_POWER_LEAST; e <= TP_POWER_MOST; e++) {
		unsigned __int128 power = tp_power_of_ten(e);
		struct big below = big_fives(power, -e), above = big_fives(power + 1, -e);
		struct big exact = big_fives(1, e);
		unsigned bits;

		cr_assert(power >> 127, "10^%d does not begin with a 1", e);
		bits = big_bits(&below);
		if (e < 0)
			big_double(&exact, bits);
		else if (big_bits(&exact) < bits)
			big_double(&exact, bits - big_bits(&exact));
		else {
			bits = big_bits(&exact) - bits;
			big_double(&below, bits);
			big_double(&above, bits);
		}
		cr_assert(big_compare(&below, &exact) <= 0, "10^%d is too large", e);
		cr_assert(big_compare(&exact, &above) < 0, "10^%d is too small", e);
	}
}

/*
 * The smallest distance of a product n * a / b from an integer, for 0 < n <= most and but for 0, is
 * that of a denominator n of the continued fraction of a / b. There it is the remainder of Euclid's
 * algorithm, divided by b. Returns: whether each of them is 2^-66 at least.
 */
static bool keeps_distance(struct big a, struct big b, uint64_t most)
{
	struct big whole = b, far;
	uint64_t before = 0, n = 1, quotient = big_divide(&a, &b);

	for (;;) {
		struct big swap = a;

		if (!big_bits(&a))
			return true;
		far = a;
		big_double(&far, 66);
		if (big_compare(&far, &whole) < 0)
			return false;
		a = b;
		b = swap;
		quotient = big_divide(&a, &b);
		if (quotient > (most - before) / n)
			return true;
		n = quotient * n + before;
		before = (n - before) / quotient;
	}
}

static void expect_distance(int q, int k)
{
	struct big five = big_fives(1, k < 0 ? -k : k), a = big_fives(1, 0), b = a;

	if (k > 0)
		b = five;
	else
		a = five;
	big_double(q < k ? &b : &a, (unsigned)abs(q - k));
	cr_assert(keeps_distance(a, b, (UINT64_C(1) << 55) + 2), "2^%d / 10^%d", q, k);
}

/* Of all that is multiplied: four times each c of 53 bits, and the ends of its interval. */
Test(shortest, no_product_is_so_near_to_an_integer_that_128_bits_cannot_tell)
{
	struct big sevens = big_fives(7, 200), near = sevens;

	for (int q = -1074; q <= 971; q++) {
		expect_distance(q, (int)floor(q * log10(2)));
		expect_distance(q, (int)floor(q * log10(2) + log10(0.75)));
	}
	/* The control: that near to 1/7. */
	big_multiply(&near, 7);
	big_subtract(&near, &(struct big){{1}});
	big_multiply(&sevens, 49);
	cr_assert(!keeps_distance(near, sevens, 7));
	cr_assert(keeps_distance(near, sevens, 6));
}

/* ---- its numbers ---- */

static double of_bits(uint64_t bits)
{
	double x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

static double read_back(uint64_t digits, int exponent)
{
	char text[48];

	snprintf(text, sizeof text, "%" PRIu64 "e%d", digits, exponent);
	return strtod(text, NULL);
}

/* Returns: the nearest to x of that many digits; *exponent of its last one. */
static uint64_t nearest(double x, int count, int *exponent)
{
	char text[48], digits[24];

	snprintf(text, sizeof text, "%.*e", count - 1, x);
	*exponent = atoi(strchr(text, 'e') + 1) - (count - 1);
	snprintf(digits, sizeof digits, "%c%.*s", text[0], count - 1, count > 1 ? text + 2 : "");
	return strtoull(digits, NULL, 10);
}

static void expect_shortest(uint64_t bits)
{
	double x = of_bits(bits);
	struct tp_decimal d = tp_shortest(bits);
	char text[24];
	int count = snprintf(text, sizeof text, "%" PRIu64, d.digits), exponent;
	uint64_t near = nearest(x, count, &exponent);

	cr_assert(d.digits % 10, "%a: %se%d ends in a zero", x, text, d.exponent);
	cr_assert(read_back(d.digits, d.exponent) == x, "%a: %se%d", x, text, d.exponent);
	/* Of a power of two the nearest may be outside: the double below is nearer to it. */
	if (read_back(near, exponent) == x)
		cr_assert(d.digits == near && d.exponent == exponent,
			"%a: %se%d, not %" PRIu64 "e%d", x, text, d.exponent, near, exponent);
	else
		cr_assert(!(bits << 12) && llabs((int64_t)(d.digits - near)) == 1);
	if (count == 1)
		return;
	near = nearest(x, count - 1, &exponent);
	for (uint64_t other = near - 1; other <= near + 1; other++)
		cr_assert(read_back(other, exponent) != x,
			"%a: %se%d, and %" PRIu64 "e%d is shorter", x, text, d.exponent, other,
			exponent);
}

Test(shortest, it_is_read_back_and_none_is_shorter_or_nearer, .timeout = 120)
{
	const uint64_t last = (UINT64_C(1) << 52) - 1;
	uint64_t random = 1;

	for (uint64_t exponent = 0; exponent < 0x7ff; exponent++) {
		for (uint64_t i = 0; i < 3; i++) {
			expect_shortest(exponent << 52 | (last - i));
			if (exponent || i)
				expect_shortest(exponent << 52 | i);
		}
		for (unsigned i = 0; i < 45; i++) {
			uint64_t fraction = next_random(&random) & last;

			/* Also some that end in zeros, as numbers do that were computed. */
			fraction &= i % 2 ? last : last << i;
			expect_shortest(exponent << 52 | (fraction ? fraction : i + 1));
		}
	}
}

Test(shortest, powers_of_ten_and_short_numbers_come_back)
{
	uint64_t random = 1;

	for (int e = -323; e <= 308; e++)
		for (unsigned i = 0; i < 10; i++) {
			uint64_t digits = i ? next_random(&random) % 1000000000 : 1;
			double x = read_back(digits, e - (i ? 8 : 0));
			struct tp_decimal d;
			uint64_t bits;

			while (digits % 10 == 0 && digits)
				digits /= 10;
			/* Subnormal numbers have fewer digits. */
			if (x < 1e-299 || isinf(x) || !digits)
				continue;
			memcpy(&bits, &x, sizeof bits);
			d = tp_shortest(bits);
			cr_assert_eq(
				d.digits, digits, "%" PRIu64 " for %" PRIu64, d.digits, digits);
			cr_assert(read_back(d.digits, d.exponent) == x);
		}
}
