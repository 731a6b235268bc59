/* SPDX-License-Identifier: MIT */
#include "profile/figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MOST 4611686018427387904.0 /* 2^62 */

struct figures_unit {
	const char *name;
	double most; /* from here on the next unit is used, */
	double next; /* which is this many of these */
};

int64_t tp_figure_round(double x)
{
	if (!(x > 0))
		return 0;
	return x < MOST ? (int64_t)(x + 0.5) : (int64_t)MOST;
}

double tp_figure_root(double x)
{
	double root;
	uint64_t bits;

	if (!(x > 0))
		return 0;
	/* Half the exponent: within 7 %. Each step of Newton's then doubles the digits. */
	memcpy(&bits, &x, sizeof bits);
	bits = bits / 2 + (UINT64_C(1023) << 51);
	memcpy(&root, &bits, sizeof root);
	for (unsigned step = 0; step < 5; step++)
		root = (root + x / root) / 2;
	return root;
}

/* Of a number below 1,000, with what follows: 1.53, 12.3, 123; without zeros at the end. */
static struct tp_figure figures_digits(double x, const char *unit)
{
	struct tp_figure f;
	int64_t hundredths = tp_figure_round(x * 100);

	if (hundredths >= 10000)
		hundredths = tp_figure_round(x) * 100;
	else if (hundredths >= 1000)
		hundredths = tp_figure_round(x * 10) * 10;
	if (hundredths % 100 == 0)
		snprintf(f.text, sizeof f.text, "%" PRId64 "%s", hundredths / 100, unit);
	else if (hundredths % 10 == 0)
		snprintf(f.text, sizeof f.text, "%" PRId64 ".%d%s", hundredths / 100,
			(int)(hundredths % 100 / 10), unit);
	else
		snprintf(f.text, sizeof f.text, "%" PRId64 ".%02d%s", hundredths / 100,
			(int)(hundredths % 100), unit);
	return f;
}

static struct tp_figure figures_scaled(double x, const struct figures_unit *unit)
{
	for (; unit->most > 0 && x >= unit->most; unit++)
		x /= unit->next;
	return figures_digits(x, unit->name);
}

struct tp_figure tp_figure_count(double n)
{
	static const struct figures_unit unit[] = {{"", 999.5, 1000}, {"k", 999.5, 1000},
		{"M", 999.5, 1000}, {"G", 999.5, 1000}, {"T", 0, 0}};
	struct tp_figure f;

	if (n >= 99999.5)
		return figures_scaled(n, unit);
	snprintf(f.text, sizeof f.text, "%" PRId64, tp_figure_round(n));
	return f;
}

struct tp_figure tp_figure_bytes(double n)
{
	static const struct figures_unit unit[] = {{"", 1023.5, 1024}, {"K", 1023.5, 1024},
		{"M", 1023.5, 1024}, {"G", 1023.5, 1024}, {"T", 0, 0}};

	return n < 1023.5 ? tp_figure_count(n) : figures_scaled(n, unit);
}

struct tp_figure tp_figure_size(double n)
{
	static const struct figures_unit unit[] = {{" bytes", 1023.5, 1024}, {" KiB", 1023.5, 1024},
		{" MiB", 1023.5, 1024}, {" GiB", 1023.5, 1024}, {" TiB", 0, 0}};

	return figures_scaled(n < 1023.5 ? (double)tp_figure_round(n) : n, unit);
}

struct tp_figure tp_figure_time(double ns)
{
	static const struct figures_unit unit[] = {{"ns", 999.5, 1000}, {"us", 999.5, 1000},
		{"ms", 999.5, 1000}, {"s", 100, 60}, {"m", 100, 60}, {"h", 48, 24}, {"d", 0, 0}};

	return figures_scaled(ns, unit);
}

struct tp_figure tp_figure_percent(double part, double whole)
{
	struct tp_figure none = {"-"};

	return whole > 0 ? figures_digits(100 * part / whole, "%") : none;
}

struct tp_figure tp_figure_ratio(double ratio)
{
	return figures_digits(ratio, "");
}

/* Without encodings that are longer than need be, surrogates, and what is above U+10FFFF. */
size_t tp_figure_character(const char *s)
{
	const unsigned char *c = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf;
	size_t length = *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;

	if (*c < 0x80)
		return *c != 0;
	if (*c < 0xc2 || *c > 0xf4)
		return 0;
	switch (*c) {
	case 0xe0:
		low = 0xa0;
		break;
	case 0xed:
		high = 0x9f;
		break;
	case 0xf0:
		low = 0x90;
		break;
	case 0xf4:
		high = 0x8f;
		break;
	default:
		break;
	}
	if (c[1] < low || c[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if (c[i] < 0x80 || c[i] > 0xbf)
			return 0;
	return length;
}

/* U+0080 to U+009F are control characters too. */
static int figures_controls(const char *s)
{
	const unsigned char *c = (const unsigned char *)s;

	return *c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0);
}

void tp_figure_line(char *to, size_t size, const char *text)
{
	while (*text) {
		size_t length = tp_figure_character(text);
		const char *from = length && !figures_controls(text) ? text : "?";
		size_t n = from == text ? length : 1;

		if (n >= size)
			break;
		memcpy(to, from, n);
		to += n;
		size -= n;
		text += length ? length : 1;
	}
	if (size)
		*to = '\0';
}
