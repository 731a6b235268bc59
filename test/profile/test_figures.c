/* SPDX-License-Identifier: MIT */
/*
 * Numbers and names as reports write them, word by word.
 */
#include "profile/figures.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define is(figure, expected) cr_assert_str_eq((figure).text, expected)

Test(figures, integers_are_the_nearest_and_what_is_no_number_is_0)
{
	cr_assert_eq(tp_figure_round(0.49), 0);
	cr_assert_eq(tp_figure_round(0.5), 1);
	cr_assert_eq(tp_figure_round(1234567.4), 1234567);
	cr_assert_eq(tp_figure_round(-3), 0);
	cr_assert_eq(tp_figure_round(NAN), 0);
	cr_assert_eq(tp_figure_round(INFINITY), INT64_C(1) << 62);
}

Test(figures, a_root_is_exact_to_twelve_digits_over_all_exponents)
{
	for (double x = 1e-300; x < 1e300; x *= 3.7) {
		double root = tp_figure_root(x);

		cr_assert(root * root > x * (1 - 1e-12) && root * root < x * (1 + 1e-12), "%g", x);
	}
	cr_assert_eq(tp_figure_root(0), 0);
	cr_assert_eq(tp_figure_root(-1), 0);
	cr_assert_eq(tp_figure_root(NAN), 0);
}

Test(figures, counts_have_five_digits_then_three_and_a_unit)
{
	is(tp_figure_count(0), "0");
	is(tp_figure_count(99999.4), "99999");
	is(tp_figure_count(99999.5), "100k");
	is(tp_figure_count(999499), "999k");
	is(tp_figure_count(999500), "1M");
	is(tp_figure_count(1.234e6), "1.23M");
	is(tp_figure_count(12.34e9), "12.3G");
	is(tp_figure_count(5e15), "5000T");
}

Test(figures, bytes_are_of_1024_and_zeros_at_the_end_are_left_out)
{
	is(tp_figure_bytes(1023), "1023");
	is(tp_figure_bytes(1024), "1K");
	is(tp_figure_bytes(1536), "1.5K");
	is(tp_figure_bytes(65536), "64K");
	is(tp_figure_bytes(1023.6 * 1024), "1M");
	is(tp_figure_bytes(1e9), "954M");
	is(tp_figure_size(1), "1 bytes");
	is(tp_figure_size(65536), "64 KiB");
	is(tp_figure_size(1.6e6), "1.53 MiB");
}

Test(figures, times_go_from_nanoseconds_to_days)
{
	is(tp_figure_time(430), "430ns");
	is(tp_figure_time(4100), "4.1us");
	is(tp_figure_time(999600), "1ms");
	is(tp_figure_time(61.2e9), "61.2s");
	is(tp_figure_time(120e9), "2m");
	is(tp_figure_time(7200e9), "2h");
	is(tp_figure_time(86400e9 * 3), "3d");
}

Test(figures, percent_of_nothing_is_a_dash)
{
	is(tp_figure_percent(1, 3), "33.3%");
	is(tp_figure_percent(2, 10000), "0.02%");
	is(tp_figure_percent(3, 3), "100%");
	is(tp_figure_percent(0, 0), "-");
	is(tp_figure_ratio(2.345), "2.35");
}

Test(figures, no_figure_is_longer_than_six_characters_of_what_there_is)
{
	for (double x = 0.001; x < 1e15; x *= 1.01) {
		cr_assert_leq(strlen(tp_figure_count(x).text), 6, "%f", x);
		cr_assert_leq(strlen(tp_figure_bytes(x).text), 6, "%f", x);
		cr_assert_leq(strlen(tp_figure_time(x).text), 6, "%f", x);
		cr_assert_leq(strlen(tp_figure_percent(x, 1e15).text), 6, "%f", x);
	}
}

/* Skipped where no such locale is installed. */
Test(figures, a_locale_with_a_decimal_comma_changes_nothing)
{
	const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8"};
	bool found = false;

	for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
		found = setlocale(LC_ALL, names[i]);
	if (!found)
		cr_skip_test("no locale with a decimal comma");
	is(tp_figure_bytes(1536), "1.5K");
}

/* ---- names ---- */

Test(figures, a_character_is_valid_UTF_8_in_its_shortest_form)
{
	cr_assert_eq(tp_figure_character(""), 0);
	cr_assert_eq(tp_figure_character("a"), 1);
	cr_assert_eq(tp_figure_character("\xc3\xa4"), 2);
	cr_assert_eq(tp_figure_character("\xe2\x82\xac"), 3);
	cr_assert_eq(tp_figure_character("\xf0\x9f\x98\x80"), 4);
	cr_assert_eq(tp_figure_character("\xf4\x8f\xbf\xbf"), 4);
	cr_assert_eq(tp_figure_character("\x80"), 0, "begins with a continuation");
	cr_assert_eq(tp_figure_character("\xc0\x80"), 0, "too long for NUL");
	cr_assert_eq(tp_figure_character("\xe0\x9f\xbf"), 0, "too long");
	cr_assert_eq(tp_figure_character("\xed\xa0\x80"), 0, "a surrogate");
	cr_assert_eq(tp_figure_character("\xf4\x90\x80\x80"), 0, "above U+10FFFF");
	cr_assert_eq(tp_figure_character("\xe2\x82"), 0, "ends too early");
	cr_assert_eq(tp_figure_character("\xff"), 0);
}

Test(figures, a_line_has_no_control_characters_and_is_cut_between_characters)
{
	char line[16];

	tp_figure_line(line, sizeof line, "a\nb\x1b[31m\x7f\xff");
	cr_assert_str_eq(line, "a?b?[31m??");
	tp_figure_line(line, sizeof line,
		"\xc2\x9b"
		"31m");
	cr_assert_str_eq(line, "?31m", "CSI of 8 bits");
	tp_figure_line(line, 4, "ab\xe2\x82\xac");
	cr_assert_str_eq(line, "ab");
	tp_figure_line(line, 6, "ab\xe2\x82\xac");
	cr_assert_str_eq(line, "ab\xe2\x82\xac");
}
