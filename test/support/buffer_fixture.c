/* SPDX-License-Identifier: MIT */
#include "buffer_fixture.h"

#include <stdint.h>
#include <string.h>

struct limited_backing limited = {.limit = (size_t)1 << 40};
tierpool *pool;
tierpool_buf *b;
char text[TEXT_SIZE];

void buffer_start_with(size_t retain)
{
	struct tierpool_backing calls = limited_backing_calls(&limited);
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i + i / 256);
	options.backing = &calls;
	options.retain = retain;
	cr_assert_eq(tierpool_create(&pool, &options), 0);
	b = (tierpool_get_sized)(pool, 1000);
	cr_assert_eq(b->cap, 1024);
}

void buffer_start(void)
{
	buffer_start_with(0);
}

void expect_content(const void *wanted, size_t n)
{
	cr_assert_eq(b->len, n, "%zu bytes, not %zu", b->len, n);
	cr_assert_leq(b->len, b->cap);
	cr_assert_eq((uintptr_t)b->data % 64, 0);
	cr_assert_eq(memcmp(b->data, wanted, n), 0, "the content is not what was expected");
}
