/* SPDX-License-Identifier: MIT */
/*
 * Numbers and JSON strings, appended to a buffer: what an encoder writes most. Integers and strings
 * are written in their place, once it is known how many bytes they take and there is room for
 * these. The digits of a double are shortest.c's, the inside of a string escape.c's.
 */
#include <tierpool/buffer.h>

#include <endian.h>
#include <math.h>

#include "base/compiler.h"
#include "pool/escape.h"
#include "pool/shortest.h"

/* As tierpool_buf_reserve, but inline if n > 0 bytes fit: see tierpool_buf_append. */
static inline int encode_reserve(tierpool_buf *b, size_t n)
{
	if (tp_likely(b != NULL)) {
		size_t len = b->len, end = len + n;

		if (tp_likely(len < end && end <= b->tp_limit))
			return 0;
	}
	return tierpool_buf_reserve(b, n);
}

/* ---- integers ---- */

static const uint64_t encode_powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
	100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
	100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
	1000000000000000000, 10000000000000000000u};

/* How many digits n has: its bits times log10(2), rounded down, are that or one too few. */
static inline unsigned encode_count(uint64_t n)
{
	unsigned count;

	n |= 1;
	count = (64 - (unsigned)__builtin_clzll(n)) * 1233 >> 12;
	return count + (n >= encode_powers[count]);
}

/* Eight digits of n < 10^8, the first in the lowest byte: halves, their halves, and theirs. */
static inline uint64_t encode_eight(uint32_t n)
{
	uint64_t w = n / 10000 | (uint64_t)(n % 10000) << 32, high;

	high = (w * 10486 >> 20) & 0x0000007f0000007f; /* / 100 */
	w = high | (w - high * 100) << 16;
	high = (w * 103 >> 10) & 0x000f000f000f000f; /* / 10 */
	w = high | (w - high * 10) << 8;
	return w | 0x3030303030303030;
}

static inline void encode_store(char *to, uint64_t eight)
{
	eight = htole64(eight);
	memcpy(to, &eight, sizeof eight);
}

/* Writes the last count digits of n in front of end. */
static inline void encode_digits(char *end, uint64_t n, unsigned count)
{
	static const char pairs[] = "00010203040506070809"
				    "10111213141516171819"
				    "20212223242526272829"
				    "30313233343536373839"
				    "40414243444546474849"
				    "50515253545556575859"
				    "60616263646566676869"
				    "70717273747576777879"
				    "80818283848586878889"
				    "90919293949596979899";

	for (; count >= 8; count -= 8) {
		encode_store(end -= 8, encode_eight((uint32_t)(n % 100000000)));
		n /= 100000000;
	}
	for (; count >= 2; count -= 2) {
		memcpy(end -= 2, pairs + n % 100 * 2, 2);
		n /= 100;
	}
	if (count)
		end[-1] = (char)('0' + n % 10);
}

static inline int encode_integer(tierpool_buf *b, bool negative, uint64_t n)
{
	unsigned count = encode_count(n);
	int error = encode_reserve(b, count + negative);

	if (error)
		return error;
	b->data[b->len] = '-'; /* or the first digit */
	b->len += count + negative;
	encode_digits(b->data + b->len, n, count);
	return 0;
}

int tierpool_buf_append_u64(tierpool_buf *b, uint64_t n)
{
	return encode_integer(b, false, n);
}

int tierpool_buf_append_i64(tierpool_buf *b, int64_t n)
{
	return encode_integer(b, n < 0, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

int tierpool_buf_append_hex(tierpool_buf *b, uint64_t n)
{
	unsigned count = (67 - (unsigned)__builtin_clzll(n | 1)) / 4;
	int error = encode_reserve(b, count);
	char *end;

	if (error)
		return error;
	b->len += count;
	end = b->data + b->len;
	do {
		*--end = "0123456789abcdef"[n & 15];
		n >>= 4;
	} while (n);
	return 0;
}

/* ---- doubles ---- */

#define FIXED_LEAST (-4) /* decimal exponents from which on, and up to which, %.17g has no e */
#define FIXED_MOST 16
#define DOUBLE_ROOM 40 /* bytes: the 24 of the longest, and what is written behind them */

/* A number as 17 digits: one, and 16 in two words. */
struct encode_number {
	char first;
	uint64_t high, low;
	unsigned count; /* of digits, without the zeros behind them */
	int point;      /* decimal exponent of the first digit */
};

static struct encode_number encode_split(struct tp_decimal d)
{
	unsigned count = encode_count(d.digits);
	uint64_t n = d.digits * encode_powers[17 - count];
	uint64_t nine = n / 100000000;

	return (struct encode_number){.first = (char)('0' + nine / 100000000),
		.high = encode_eight((uint32_t)(nine % 100000000)),
		.low = encode_eight((uint32_t)(n % 100000000)),
		.count = count,
		.point = d.exponent + (int)count - 1};
}

/* Writes d.ddde+XX, and some bytes behind it. Returns: the end. */
static char *encode_scientific(char *to, const struct encode_number *x)
{
	unsigned exponent = (unsigned)(x->point < 0 ? -x->point : x->point);
	unsigned hundreds = exponent / 100;

	to[0] = x->first;
	to[1] = '.';
	encode_store(to + 2, x->high);
	encode_store(to + 10, x->low);
	to += x->count + (x->count > 1);
	to[0] = 'e';
	to[1] = x->point < 0 ? '-' : '+';
	to[2] = (char)('0' + hundreds);
	to += 2 + (hundreds > 0);
	to[0] = (char)('0' + exponent / 10 % 10);
	to[1] = (char)('0' + exponent % 10);
	return to + 2;
}

/* Writes ddd000, ddd.ddd or 0.000ddd, and some bytes behind it. Returns: the end. */
static char *encode_fixed(char *to, const struct encode_number *x)
{
	unsigned whole = (unsigned)x->point + 1;
	unsigned __int128 fraction = (unsigned __int128)x->low << 64 | x->high;

	if (x->point < 0) {
		memcpy(to, "0.000", 5);
		to += 1 - x->point;
		whole = x->count;
	}
	to[0] = x->first;
	encode_store(to + 1, x->high);
	encode_store(to + 9, x->low);
	if (x->count <= whole)
		return to + whole;
	to[whole] = '.';
	fraction >>= (whole - 1) * 8;
	encode_store(to + whole + 1, (uint64_t)fraction);
	encode_store(to + whole + 9, (uint64_t)(fraction >> 64));
	return to + x->count + 1;
}

/* Returns: how many bytes of the DOUBLE_ROOM at to are the number. */
static size_t encode_fraction(char *to, bool negative, uint64_t bits)
{
	struct encode_number x = encode_split(tp_shortest(bits));
	char *begin = to;

	*to = '-';
	to += negative;
	to = x.point < FIXED_LEAST || x.point > FIXED_MOST ? encode_scientific(to, &x)
							   : encode_fixed(to, &x);
	return (size_t)(to - begin);
}

int tierpool_buf_append_double(tierpool_buf *b, double x)
{
	bool negative = signbit(x);
	double magnitude = fabs(x);
	char spare[DOUBLE_ROOM];
	uint64_t bits;
	int error;

	/* An integer that no other one is near to: all its digits are needed, but for zeros. */
	if (magnitude < 0x1p53 && magnitude == (double)(int64_t)magnitude)
		return encode_integer(b, negative, (uint64_t)magnitude);
	if (tp_unlikely(!isfinite(x)))
		return tierpool_buf_append(
			b, &"-inf-nan"[(isnan(x) ? 4 : 0) + !negative], 3 + negative);
	error = encode_reserve(b, 1);
	if (error)
		return error;
	memcpy(&bits, &magnitude, sizeof bits);
	if (tp_likely(b->cap - b->len >= DOUBLE_ROOM)) {
		b->len += encode_fraction(b->data + b->len, negative, bits);
		return 0;
	}
	return tierpool_buf_append(b, spare, encode_fraction(spare, negative, bits));
}

/* ---- JSON ---- */

/* Where something is escaped, the string does not fit, or there is more to ask. */
static tp_cold int encode_json(tierpool_buf *b, const char *text, size_t n)
{
	size_t plain, inside, at;
	char *to;
	int error;

	/* It has the errors of an append that cannot succeed. */
	if (!b || (!text && n) || n > PTRDIFF_MAX)
		return tierpool_buf_append_slow(b, text, n);
	if (!text)
		text = "";
	plain = tp_escape_plain(text, n);
	inside = tp_escape_measure(text, n, plain);
	at = (size_t)text - (size_t)b->data;
	error = encode_reserve(b, inside + 2);
	if (error)
		return error;
	if (at < b->len) /* the text may have moved */
		text = b->data + at;
	to = b->data + b->len;
	b->len += inside + 2;
	to[0] = '"';
	tp_escape_write(to + 1, text, n, plain);
	to[inside + 1] = '"';
	return 0;
}

int tierpool_buf_append_json(tierpool_buf *b, const char *text, size_t n)
{
	if (tp_likely(b && text && n <= PTRDIFF_MAX && tp_escape_plain(text, n) == n)) {
		size_t len = b->len, end = len + n + 2;

		if (tp_likely(len < end && end <= b->tp_limit)) {
			char *to = b->data + len;

			b->len = end;
			to[0] = '"';
			to[n + 1] = '"';
			memcpy(to + 1, text, n);
			return 0;
		}
	}
	return encode_json(b, text, n);
}
