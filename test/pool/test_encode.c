/* SPDX-License-Identifier: MIT */
/*
 * Numbers that are appended to a buffer, against what printf writes, at every place before the end
 * of a block; and what all calls that append numbers and JSON do when a buffer is no plain one, or
 * there is no memory. JSON: test_escape.c; whether the digits of a double are right:
 * test_shortest.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer_fixture.h"
#include "cpus.h"
#include "folder.h"
#include "pool/shortest.h"
#include "random.h"

TestSuite(encode, .init = buffer_start, .timeout = 60);

/* ---- numbers, and how printf writes them ---- */

struct number {
	enum { U64, I64, HEX, DOUBLE, JSON } kind;
	uint64_t n;
	double x;
	char text[32]; /* as it is expected */
};

static int append_number(const struct number *number)
{
	switch (number->kind) {
	case U64:
		return tierpool_buf_append_u64(b, number->n);
	case I64:
		return tierpool_buf_append_i64(b, (int64_t)number->n);
	case HEX:
		return tierpool_buf_append_hex(b, number->n);
	case JSON:
		return tierpool_buf_append_json(b, "a\nb", 3);
	default:
		return tierpool_buf_append_double(b, number->x);
	}
}

/* In a block of 1 KiB of which so many bytes are left. */
static void expect_number(const struct number *number, size_t room)
{
	size_t n = strlen(number->text);

	tierpool_put(b);
	b = (tierpool_get_sized)(pool, 1000);
	cr_assert_eq(b->cap, 1024);
	tierpool_buf_append(b, text, 1024 - room);
	cr_assert_eq(append_number(number), 0);
	cr_assert(b->len == 1024 - room + n && !memcmp(b->data + 1024 - room, number->text, n),
		"%s, not %s, in %zu bytes", tierpool_buf_cstr(b) + 1024 - room, number->text, room);
	cr_assert_eq(memcmp(b->data, text, 1024 - room), 0, "the content before %s", number->text);
	cr_assert_eq(b->cap, n <= room ? 1024 : 2048, "%s in %zu bytes", number->text, room);
}

static void expect_in_every_room(const struct number *number)
{
	for (size_t room = 0; room <= 24; room++)
		expect_number(number, room);
	expect_number(number, 100);
}

static void expect_integer(uint64_t n)
{
	struct number u64 = {.kind = U64, .n = n}, i64 = {.kind = I64, .n = n};
	struct number hex = {.kind = HEX, .n = n};

	snprintf(u64.text, sizeof u64.text, "%" PRIu64, n);
	snprintf(i64.text, sizeof i64.text, "%" PRId64, (int64_t)n);
	snprintf(hex.text, sizeof hex.text, "%" PRIx64, n);
	expect_in_every_room(&u64);
	expect_in_every_room(&i64);
	expect_in_every_room(&hex);
}

Test(encode, integers_are_those_of_printf_wherever_the_block_ends)
{
	for (unsigned i = 0; i < 64; i++)
		for (uint64_t j = 0; j < 3; j++)
			expect_integer((UINT64_C(1) << i) + 1 - j);
	for (uint64_t power = 1, i = 0; i < 20; power *= 10, i++)
		for (uint64_t j = 0; j < 3; j++) {
			expect_integer(power + 1 - j);
			expect_integer(0 - (power + 1 - j));
		}
	for (uint64_t n = 0; n < 120; n++)
		expect_integer(n * 101010101010101010u);
}

static const struct {
	double x;
	const char *text;
} doubles[] = {
	{0.0, "0"},
	{-0.0, "-0"},
	{1.0, "1"},
	{-17.0, "-17"},
	{0.1, "0.1"},
	{-0.25, "-0.25"},
	{0.1 + 0.2, "0.30000000000000004"},
	{0.3333333333333333, "0.3333333333333333"},
	{3.141592653589793, "3.141592653589793"},
	{-299792.458, "-299792.458"},
	{4.35, "4.35"},
	{99.99, "99.99"},
	{0.001, "0.001"},
	{0.0001, "0.0001"},
	{0.00012345678901234567, "0.00012345678901234567"},
	{-0.00022222222222222224, "-0.00022222222222222223"},
	{0.00001, "1e-05"},
	{9.999e-05, "9.999e-05"},
	{9.5367431640625e-07, "9.5367431640625e-07"},
	{5.684341886080802e-14, "5.684341886080802e-14"},
	{1e-10, "1e-10"},
	{5e-324, "5e-324"},
	{1e-323, "1e-323"},
	{1.5e-323, "1.5e-323"},
	{2.225073858507201e-308, "2.225073858507201e-308"},
	{2.2250738585072014e-308, "2.2250738585072014e-308"},
	{-2.2250738585072014e-308, "-2.2250738585072014e-308"},
	{1.7976931348623157e308, "1.7976931348623157e+308"},
	{9007199254740991.0, "9007199254740991"},
	{9007199254740993.0, "9007199254740992"},
	{9007199254740994.0, "9007199254740994"},
	{1e15, "1000000000000000"},
	{1e16, "10000000000000000"},
	{12345678901234568.0, "12345678901234568"},
	{99999999999999990.0, "99999999999999980"},
	{-1234567890123456.7, "-1234567890123456.8"},
	{1e17, "1e+17"},
	{123456789012345680.0, "1.2345678901234568e+17"},
	{1e22, "1e+22"},
	{1e23, "1e+23"},
	{8.41e21, "8.41e+21"},
	{2.0e100, "2e+100"},
	{-1.5e300, "-1.5e+300"},
	{INFINITY, "inf"},
	{-INFINITY, "-inf"},
};

static void expect_double(double x, const char *expected)
{
	struct number number = {.kind = DOUBLE, .x = x};

	snprintf(number.text, sizeof number.text, "%s", expected);
	expect_in_every_room(&number);
}

Test(encode, doubles_are_short_and_as_printf_lays_them_out)
{
	for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
		expect_double(doubles[i].x, doubles[i].text);
	expect_double(copysign(NAN, 1), "nan");
	expect_double(copysign(NAN, -1), "-nan");
}

/* The layout of %.17g, from the digits that it is to have. */
static void lay_out(char *to, double x)
{
	struct tp_decimal d;
	char digits[24];
	uint64_t bits;
	int count, point;

	memcpy(&bits, &x, sizeof bits);
	d = tp_shortest(bits & INT64_MAX);
	count = sprintf(digits, "%" PRIu64, d.digits);
	point = d.exponent + count;
	to += sprintf(to, "%s", signbit(x) ? "-" : "");
	if (point < -3 || point > 17)
		sprintf(to, "%.1s%s%se%+03d", digits, count > 1 ? "." : "", digits + 1, point - 1);
	else if (point <= 0)
		sprintf(to, "0.%.*s%s", -point, "000", digits);
	else if (point < count)
		sprintf(to, "%.*s.%s", point, digits, digits + point);
	else
		sprintf(to, "%s%.*s", digits, point - count, "0000000000000000");
}

static void expect_laid_out(double x)
{
	char expected[48];

	lay_out(expected, x);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_append_double(b, x), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b), expected);
	cr_assert_eq(strtod(expected, NULL), x);
}

Test(encode, each_exponent_is_laid_out_as_printf_does)
{
	uint64_t random = 1;

	for (int i = -1074; i < 1024; i++) {
		expect_laid_out(ldexp(1, i));
		for (int j = 0; j < 10; j++) {
			double x = ldexp((double)(int64_t)next_random(&random), i - 62);

			if (x != 0) /* which has no digits to lay out */
				expect_laid_out(x);
		}
	}
	for (int i = -320; i < 308; i++) {
		char number[32];

		snprintf(number, sizeof number, "%u.%ue%d", (i & 7) | 1, i & 31, i);
		expect_laid_out(strtod(number, NULL));
	}
}

Test(encode, a_locale_with_a_decimal_comma_changes_nothing)
{
	bool comma;

	folder_new();
	comma = !system("printf 'LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3\n"
			"END LC_NUMERIC\n' >source && { localedef -c -i ./source ./comma; "
			"test -e comma/LC_NUMERIC; } >/dev/null 2>&1") &&
		!setenv("LOCPATH", ".", 1) && setlocale(LC_NUMERIC, "comma");
	folder_end();
	if (!comma || strcmp(localeconv()->decimal_point, ","))
		skip("no localedef, or it made no locale with a decimal comma");
	cr_assert_eq(tierpool_buf_printf(b, "%.1f", 1234.5), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b), "1234,5", "the control");
	expect_double(1234567.5, "1234567.5");
	expect_double(1.5e300, "1.5e+300");
	expect_double(-0.25, "-0.25");
	expect_integer(1234567);
}

/* ---- what holds for JSON as well ---- */

static const struct number one_of_each[] = {{.kind = U64, .n = 12345678901, .text = "12345678901"},
	{.kind = I64, .n = (uint64_t)INT64_MIN, .text = "-9223372036854775808"},
	{.kind = HEX, .n = 0xbeef, .text = "beef"}, {.kind = DOUBLE, .x = 0.1, .text = "0.1"},
	{.kind = DOUBLE, .x = 12, .text = "12"}, {.kind = DOUBLE, .x = NAN, .text = "nan"},
	{.kind = JSON, .text = "\"a\\nb\""}};

#define KINDS (sizeof one_of_each / sizeof *one_of_each)

/* The buffer has all of them behind what it had. */
static void expect_all_appended(void)
{
	size_t len = b->len;

	for (size_t i = 0; i < KINDS; i++) {
		size_t n = strlen(one_of_each[i].text);

		cr_assert_eq(append_number(&one_of_each[i]), 0);
		cr_assert(b->len == len + n && !memcmp(b->data + len, one_of_each[i].text, n), "%s",
			one_of_each[i].text);
		len = b->len;
	}
}

Test(encode, secrets_and_buffers_with_a_stream_take_them_too)
{
	FILE *stream = tierpool_buf_open(b);

	cr_assert_not_null(stream);
	expect_all_appended();
	b->len = b->cap;
	expect_all_appended();
	fclose(stream);
	tierpool_buf_secret(b);
	expect_all_appended();
	b->len = b->cap;
	expect_all_appended();
}

Test(encode, without_memory_the_content_stays_whole_and_the_error_sticks)
{
	limited.limit = 1024;
	for (size_t i = 0; i < KINDS; i++) {
		for (size_t room = 0; room < strlen(one_of_each[i].text); room++) {
			tierpool_buf_set(b, text, 1024 - room);
			cr_assert_eq(append_number(&one_of_each[i]), -ENOMEM);
			expect_content(text, 1024 - room);
			cr_assert_eq(tierpool_buf_error(b), -ENOMEM);
			for (size_t j = 0; j < KINDS; j++)
				cr_assert_eq(append_number(&one_of_each[j]), -ENOMEM);
			b->len = 0; /* with room too */
			for (size_t j = 0; j < KINDS; j++)
				cr_assert_eq(append_number(&one_of_each[j]), -ENOMEM);
			cr_assert_eq(b->len, 0);
			tierpool_buf_reset(b);
		}
		tierpool_buf_set(b, text, 1024 - strlen(one_of_each[i].text));
		cr_assert_eq(append_number(&one_of_each[i]), 0, "it fits exactly");
		cr_assert_eq(b->cap, 1024);
	}
	cr_assert_eq(tierpool_buf_append(b, NULL, 1), -EINVAL);
	for (size_t i = 0; i < KINDS; i++)
		cr_assert_eq(append_number(&one_of_each[i]), -EINVAL);
}

Test(encode, each_takes_a_null)
{
	tierpool_buf *mine = b;

	b = NULL;
	for (size_t i = 0; i < KINDS; i++)
		cr_assert_eq(append_number(&one_of_each[i]), -ENOMEM);
	cr_assert_eq(tierpool_buf_append_json(NULL, NULL, 1), -ENOMEM);
	b = mine;
}
