/* SPDX-License-Identifier: MIT */
/*
 * TIERPOOL_DEBUG: which words are taken, and what is said of the others.
 */
#include "base/debug.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

/* Reads a value in a child. Returns its flags, a bit each in the order of the struct; said: its stderr. */
static int flags_of(const char *value, char *said, size_t size)
{
	struct child child;
	int status;

	if (child_begin(&child)) {
		if (value ? setenv("TIERPOOL_DEBUG", value, 1) : unsetenv("TIERPOOL_DEBUG"))
			_exit(64);
		tp_debug_init();
		tp_debug_init();
		_exit(tp_debug.check | tp_debug.poison << 1 | tp_debug.leaks << 2 |
			tp_debug.unpooled << 3 | tp_debug_any() << 4);
	}
	status = child_end(&child, said, size);
	cr_assert(WIFEXITED(status), "status %#x", (unsigned)status);
	return WEXITSTATUS(status);
}

static void assert_flags(const char *value, int flags, const char *unknown)
{
	char said[400], wanted[400] = "";
	int seen = flags_of(value, said, sizeof said);

	cr_assert_eq(seen, flags, "%s: flags %#x", value, (unsigned)seen);
	if (unknown)
		snprintf(wanted, sizeof wanted,
			"tierpool: TIERPOOL_DEBUG=%s: '%s' is none of check, poison, leaks, "
			"unpooled (between commas, no spaces); ignored\n",
			value, unknown);
	cr_assert_str_eq(said, wanted);
}

enum { CHECK = 1, POISON = 2, LEAKS = 4, UNPOOLED = 8, ANY = 16 };

Test(debug, takes_its_words_in_any_order)
{
	assert_flags(NULL, 0, NULL);
	assert_flags("", 0, NULL);
	assert_flags("check", CHECK | ANY, NULL);
	assert_flags("poison", POISON | ANY, NULL);
	assert_flags("leaks", LEAKS | ANY, NULL);
	assert_flags("unpooled", UNPOOLED | ANY, NULL);
	assert_flags("poison,leaks,check", CHECK | POISON | LEAKS | ANY, NULL);
	assert_flags(",check,,check,", CHECK | ANY, NULL);
}

Test(debug, names_the_first_word_that_is_none_and_takes_the_others)
{
	assert_flags("1", 0, "1");
	assert_flags("poisoned", 0, "poisoned");
	assert_flags("check, poison,leak", CHECK | ANY, " poison");
	assert_flags("check poison", 0, "check poison");
	assert_flags("poison,Check", POISON | ANY, "Check");
}

Test(debug, where_nothing_lies_idle_there_is_nothing_to_check_or_poison)
{
	assert_flags("check,unpooled,leaks,poison", LEAKS | UNPOOLED | ANY, NULL);
}
