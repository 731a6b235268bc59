/* SPDX-License-Identifier: MIT */
/*
 * The inside of a JSON string, RFC 8259. Valid UTF-8 stays as it is, but for quotes, backslashes
 * and control characters. What is not UTF-8 (overlong forms, surrogates and what is above U+10FFFF
 * included) becomes U+FFFD, one for each maximal subpart of an ill-formed sequence: section 3.9 of
 * The Unicode Standard, and what a WHATWG decoder does.
 */
#include "pool/escape.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const uint64_t escape_each = UINT64_MAX / 0xff; /* times c: eight bytes that are c */

/* The letter of a short escape. */
static const char escape_letters[0x80] = {['\b'] = 'b',
	['\f'] = 'f',
	['\n'] = 'n',
	['\r'] = 'r',
	['\t'] = 't',
	['"'] = '"',
	['\\'] = '\\'};

static inline bool escape_continues(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/*
 * Looks at the sequence at s, which is not ASCII and of which n > 0 bytes are there. Table 3-7 of
 * The Unicode Standard.
 *
 * Returns: its length; if it is not well-formed, minus the length of its maximal subpart.
 */
static inline int escape_sequence(const unsigned char *s, size_t n)
{
	unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

	if (s[0] < 0xc2 || s[0] > 0xf4 || n < 2 || s[1] < low || s[1] > high)
		return -1;
	if (s[0] < 0xe0)
		return 2;
	if (n < 3 || !escape_continues(s[2]))
		return -2;
	if (s[0] < 0xf0)
		return 3;
	return n > 3 && escape_continues(s[3]) ? 4 : -3;
}

static inline uint64_t escape_load(const unsigned char *s)
{
	uint64_t w;

	memcpy(&w, s, sizeof w);
	return le64toh(w);
}

/* The same of n bytes, 1 to 7, and letters behind them. */
static inline uint64_t escape_load_last(const unsigned char *s, size_t n)
{
	uint64_t w = escape_each * 'x' << 8 * n;
	uint32_t first, last;

	if (n < 4)
		return w | s[0] | (uint64_t)s[n / 2] << n / 2 * 8 |
		       (uint64_t)s[n - 1] << (n - 1) * 8;
	memcpy(&first, s, sizeof first);
	memcpy(&last, s + n - 4, sizeof last);
	return w | le32toh(first) | (uint64_t)le32toh(last) << (n - 4) * 8;
}

/*
 * Looks at eight bytes. A subtraction sets the high bit of a byte that is too small, and perhaps of
 * those behind it. So the lowest bit that is set is right.
 *
 * Returns: 0 if all are ASCII and stay as they are; else 8 times the place, counted from 1, of the
 *          first that is not or does not.
 */
static inline unsigned escape_find(uint64_t w)
{
	w = (w | (w - escape_each * 0x20) | ((w ^ escape_each * '"') - escape_each) |
		    ((w ^ escape_each * '\\') - escape_each)) &
	    escape_each * 0x80;
	return (unsigned)__builtin_ffsll((long long)w);
}

/* Returns: the first byte from s on that does not stay as it is; end if there is none. */
static inline const unsigned char *escape_skip(const unsigned char *s, const unsigned char *end)
{
	for (;;) {
		unsigned bit = 0;

		while (end - s >= 8 && !(bit = escape_find(escape_load(s))))
			s += 8;
		if (!bit && s < end)
			bit = escape_find(escape_load_last(s, (size_t)(end - s)));
		if (!bit)
			return end;
		s += bit / 8 - 1;
		if (*s < 0x80)
			return s;
		/* At once all that follow: in other scripts few words are ASCII. */
		do {
			int length = escape_sequence(s, (size_t)(end - s));

			if (length < 0)
				return s;
			s += length;
		} while (s < end && *s >= 0x80);
	}
}

size_t tp_escape_plain(const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;

	return (size_t)(escape_skip(s, s + n) - s);
}

size_t tp_escape_measure(const char *text, size_t n, size_t plain)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + n;
	size_t size = n;

	s += plain;
	while (s < end) {
		if (*s < 0x80) {
			size += escape_letters[*s] ? 1 : 5;
			s++;
		} else {
			int taken = -escape_sequence(s, (size_t)(end - s));

			size += (size_t)(3 - taken);
			s += taken;
		}
		s = escape_skip(s, end);
	}
	return size;
}

/* Writes what stands for the byte at s, and perhaps some behind it; moves to. Returns: the next. */
static const unsigned char *escape_replace(
	char **to, const unsigned char *s, const unsigned char *end)
{
	static const char hex[] = "0123456789abcdef";
	char *at = *to;

	if (*s >= 0x80) {
		memcpy(at, REPLACEMENT, 3);
		*to += 3;
		return s - escape_sequence(s, (size_t)(end - s));
	}
	at[0] = '\\';
	if (escape_letters[*s]) {
		at[1] = escape_letters[*s];
		*to += 2;
	} else {
		memcpy(at + 1, "u00", 3);
		at[4] = hex[*s >> 4];
		at[5] = hex[*s & 15];
		*to += 6;
	}
	return s + 1;
}

void tp_escape_write(char *to, const char *text, size_t n, size_t plain)
{
	const unsigned char *run = (const unsigned char *)text, *end = run + n, *s = run + plain;

	for (;;) {
		memcpy(to, run, (size_t)(s - run));
		to += s - run;
		if (s == end)
			return;
		run = escape_replace(&to, s, end);
		s = escape_skip(run, end);
	}
}
