/* SPDX-License-Identifier: MIT */
#include "noted_misuse.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct noted_misuse noted;

static void noted_note(const char *pool, const char *what, const tierpool_buf *b)
{
	noted.count++;
	snprintf(noted.pool, sizeof noted.pool, "%s", pool);
	snprintf(noted.what, sizeof noted.what, "%s", what);
	noted.buffer = b;
}

void noted_begin(const char *value)
{
	cr_assert_eq(setenv("TIERPOOL_DEBUG", value, 1), 0);
	tierpool_on_misuse(noted_note);
}

void expect_noted(const tierpool_buf *b, const char *pool, const char *what)
{
	cr_assert_eq(noted.count, 1, "%u reports, the last one: %s", noted.count, noted.what);
	cr_assert_str_eq(noted.pool, pool);
	cr_assert_str_eq(noted.what, what);
	cr_assert(!b || noted.buffer == b, "of another buffer");
	noted.count = 0;
}

void expect_none_noted(void)
{
	cr_assert_eq(noted.count, 0, "%u reports, the last one: %s", noted.count, noted.what);
}
