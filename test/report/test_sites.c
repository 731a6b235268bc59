/* SPDX-License-Identifier: MIT */
/*
 * What is printed of the places that borrow from a pool, word by word.
 */
#include "pool_checks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pool/pool.h"

static char printed[4096];
static char text[256 * KIB];

/* Without decay, and on one CPU: the same samples in each run. */
#define pool_still(...) pool_new(.decay_ms = TIERPOOL_DECAY_NEVER, __VA_ARGS__)

TestSuite(sites, .init = stay_on_this_cpu);

/* A place as TIERPOOL_SITE_INIT makes one, of a file and line of its own. */
#define PLACE(file, label, line)                                        \
	(tierpool_site)                                                 \
	{                                                               \
		.tp_file = (file), .tp_label = (label), .tp_line = line \
	}

static void borrow(tierpool *pool, tierpool_site *stub, size_t n, unsigned times)
{
	while (times--) {
		tierpool_buf *b = tierpool_get_at(pool, 0, stub);

		if (tierpool_buf_append(b, text, n))
			cr_assert_fail("append");
		tierpool_put(b);
	}
}

static const char *print(tierpool *pool)
{
	FILE *out = fmemopen(printed, sizeof printed, "w");

	cr_assert_not_null(out);
	cr_assert_eq(tierpool_sites_print(pool, out), 0);
	cr_assert_eq(fclose(out), 0);
	return printed;
}

#define HEAD "        gets  default  changes  growths      p50      p95  sites of "

Test(sites, a_pool_that_nobody_borrowed_from_has_a_head_only)
{
	tierpool *pool = pool_still(.name = "quiet");

	cr_assert_str_eq(print(pool), HEAD "quiet\n");
	tierpool_destroy(pool);
}

Test(sites, a_place_has_its_gets_default_changes_growths_quantiles_name_and_steps)
{
	tierpool_site stub = PLACE("parse.c", "header", 7);
	tierpool *pool = pool_still(.name = "mix");

	borrow(pool, &stub, 200, 60);
	borrow(pool, &stub, 100000, 4);
	cr_assert_str_eq(print(pool),
		HEAD "mix\n"
		     "          64      256        1   0.0625      256     128K  parse.c:7 header, "
		     "grows to 128K\n");
	tierpool_destroy(pool);
}

Test(sites, several_steps_are_named_one_after_the_other)
{
	tierpool_site stub = PLACE("a.c", "f", 1);
	tierpool *pool = pool_still(.name = "steps", .max_size = 128 * KIB);

	for (unsigned i = 0; i < 20; i++) {
		borrow(pool, &stub, 200, 100);
		borrow(pool, &stub, 5000, 2);
		borrow(pool, &stub, i % 4 ? 10 : 200000, 1);
	}
	cr_assert_not_null(
		strstr(print(pool), "  a.c:1 f, grows to 8K, 128K, 196K\n"), "%s", printed);
	tierpool_destroy(pool);
}

Test(sites, what_was_not_outgrown_has_no_step_and_above_the_tiers_the_typical_size)
{
	tierpool_site small = PLACE("a.c", "f", 1), large = PLACE("a.c", "f", 2);
	tierpool *pool = pool_still(.name = "ends", .max_size = 4 * KIB);

	borrow(pool, &small, 3000, TP_LEARN);
	borrow(pool, &large, 200 * KIB, TP_LEARN);
	cr_assert_str_eq(print(pool),
		HEAD "ends\n"
		     "          64       4K        1   0.0156       4K       4K  a.c:1 f\n"
		     "          64       4K        1   1.0000     200K     200K  a.c:2 f, grows to "
		     "200K\n");
	tierpool_destroy(pool);
}

Test(sites, a_place_that_borrows_by_size_only_has_dashes)
{
	tierpool_site stub = PLACE("sized.c", "f", 1);
	tierpool *pool = pool_still(.name = "sized");

	tierpool_put(tierpool_get_at(pool, 100, &stub));
	cr_assert_str_eq(print(pool),
		HEAD "sized\n"
		     "           0        -        -        -        -        -  sized.c:1 f\n");
	for (unsigned i = 0; i < 5000; i++)
		tierpool_put(tierpool_get_at(pool, 100, &stub));
	cr_assert_not_null(strstr(print(pool), "        -        -        -        -        -  "));
	cr_assert_null(strstr(printed, "           0        -"), "samples were seen");
	tierpool_destroy(pool);
}

Test(sites, calls_without_a_site_are_the_first_line_if_there_were_any)
{
	tierpool_site first = PLACE("z.c", "f", 1), second = PLACE("a.c", "", 2);
	tierpool *pool = pool_still(.name = "own");

	borrow(pool, &first, 10, 2);
	borrow(pool, &second, 0, 1);
	borrow(pool, NULL, 10, 3);
	cr_assert_str_eq(print(pool),
		HEAD "own\n"
		     "           3       64        1   0.0000       64       64  (calls without a "
		     "site)\n"
		     "           2       64        1   0.0000       64       64  z.c:1 f\n"
		     "           1        -        -        -        -        -  a.c:2 \n");
	tierpool_destroy(pool);
}

/* ---- errors ---- */

Test(sites, without_a_pool_or_a_stream_it_is_EINVAL)
{
	tierpool *pool = pool_still(.name = "errors");

	cr_assert_eq(tierpool_sites_print(NULL, stderr), -EINVAL);
	cr_assert_eq(tierpool_sites_print(pool, NULL), -EINVAL);
	tierpool_destroy(pool);
}

Test(sites, of_a_pool_that_is_gone_it_is_ENOENT_and_nothing_is_printed)
{
	tierpool *pool = pool_still(.name = "gone");
	tierpool_buf *b = tierpool_get_at(pool, 0, NULL);
	FILE *out = fmemopen(printed, sizeof printed, "w");

	cr_assert_eq(tierpool_destroy(pool), 1);
	cr_assert_eq(tierpool_sites_print(pool, out), 0, "a buffer of it is borrowed");
	rewind(out);
	tierpool_put(b);
	cr_assert_eq(tierpool_sites_print(pool, out), -ENOENT);
	cr_assert_eq(ftell(out), 0);
	fclose(out);
}

static ssize_t refuse(void *cookie, const char *bytes, size_t n)
{
	(void)cookie, (void)bytes, (void)n;
	errno = ENOSPC;
	return 0;
}

Test(sites, of_a_stream_that_fails_it_is_EIO_and_the_pool_can_go)
{
	tierpool *pool = pool_still(.name = "fails");
	FILE *out = fopencookie(NULL, "w", (cookie_io_functions_t){.write = refuse});

	cr_assert_not_null(out);
	setvbuf(out, NULL, _IONBF, 0);
	cr_assert_eq(tierpool_sites_print(pool, out), -EIO);
	fclose(out);
	cr_assert_eq(tierpool_destroy(pool), 0);
	cr_assert_eq(tierpool_sites_print(pool, stderr), -ENOENT, "nothing holds it");
}
