/* SPDX-License-Identifier: MIT */
/*
 * What a get gives: a buffer of the smallest tier that holds what was asked for, or an error.
 */
#include "pool_checks.h"

#include <errno.h>
#include <string.h>

Test(get, a_get_without_a_pool_is_EINVAL)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("here");

	errno = 0;
	cr_assert_null(tierpool_get(NULL));
	cr_assert_eq(errno, EINVAL);
	errno = 0;
	cr_assert_null(tierpool_get_sized(NULL, 10));
	cr_assert_eq(errno, EINVAL);
	errno = 0;
	cr_assert_null(tierpool_get_at(NULL, 10, &site));
	cr_assert_eq(errno, EINVAL);
}

static size_t tier_for(size_t n, unsigned steps)
{
	for (size_t base = 64;; base *= 2)
		for (unsigned step = 0; step < steps; step++)
			if (base + base / steps * step >= n)
				return base + base / steps * step;
}

Test(get, get_sized_gives_the_smallest_tier_that_holds_it_aligned_to_64)
{
	for (unsigned steps = 1; steps <= 4; steps *= 2) {
		tierpool *pool = pool_new(.steps = steps, .max_size = 256 * KIB);

		for (size_t size = 1; size <= 256 * KIB; size += size / 7 + 1)
			for (unsigned again = 0; again < 2; again++) {
				tierpool_buf *b = tierpool_get_sized(pool, size);

				cr_assert_eq(b->cap, tier_for(size, steps), "%zu", size);
				cr_assert_eq((uintptr_t)b->data % 64, 0);
				cr_assert_eq(b->len, 0);
				memset(b->data, 'a', b->cap);
				b->len = b->cap;
				tierpool_put(b);
			}
		at_rest(pool);
		tierpool_destroy(pool);
	}
}

Test(get, get_sized_of_0_and_every_form_of_get_give_the_default)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("here");
	tierpool *pool = pool_new(.name = "forms");
	tierpool_buf *b[] = {tierpool_get(pool), (tierpool_get)(pool), tierpool_get_sized(pool, 0),
		(tierpool_get_sized)(pool, 0), tierpool_get_at(pool, 0, &site),
		tierpool_get_at(pool, 0, NULL), TIERPOOL_GET(pool), TIERPOOL_GET_SIZED(pool, 0)};

	for (unsigned i = 0; i < sizeof b / sizeof b[0]; i++) {
		cr_assert_eq(b[i]->cap, stats_of(pool).default_size);
		tierpool_put(b[i]);
	}
	at_rest(pool);
	tierpool_destroy(pool);
}

Test(get, a_size_that_cannot_be_had_is_ENOMEM_and_not_counted)
{
	static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 8192, SIZE_MAX / 2, SIZE_MAX / 8};
	tierpool *pool = pool_new(.name = "huge");

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		errno = 0;
		cr_assert_null(tierpool_get_sized(pool, sizes[i]));
		cr_assert_eq(errno, ENOMEM);
	}
	cr_assert_eq(at_rest(pool).gets + at_rest(pool).allocs, 0);
	tierpool_destroy(pool);
}
