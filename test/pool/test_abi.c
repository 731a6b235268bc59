/* SPDX-License-Identifier: MIT */
/*
 * What programs have compiled into them, and so stays for as long as the soname does: the fields
 * that inline functions read, what a site is initialised with, and the values of macros.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <tierpool.h>
#include <tierpool/chain.h>

/* Volatile, so that they are calls of the library's symbols, whatever the compiler knows. */
static int (*volatile append)(tierpool_buf *, const void *, size_t) = tierpool_buf_append;
static int (*volatile append_byte)(tierpool_buf *, char) = tierpool_buf_append_byte;
static int (*volatile chain_append)(tierpool_chain *, const void *, size_t) = tierpool_chain_append;
static tierpool_buf *(*volatile get_at)(tierpool *, size_t, tierpool_site *) = tierpool_get_at;

Test(abi, fields_that_inline_functions_use_keep_their_place_and_size)
{
	tierpool_buf b;

	cr_assert_eq(offsetof(tierpool_buf, data), 0);
	cr_assert_eq(offsetof(tierpool_buf, len), 8);
	cr_assert_eq(offsetof(tierpool_buf, cap), 16);
	cr_assert_eq(offsetof(tierpool_buf, tp_limit), 36);
	cr_assert_eq(sizeof b.data, 8);
	cr_assert_eq(sizeof b.len, 8);
	cr_assert_eq(sizeof b.cap, 8);
	cr_assert_eq(sizeof b.tp_limit, 4);
	cr_assert_eq(sizeof(tierpool_buf), 64);
	cr_assert_eq(offsetof(tierpool_chain, tp_room), 0);
	cr_assert_eq(offsetof(tierpool_chain, tp_end), 8);
	cr_assert_eq(sizeof(tierpool_chain), 128);
}

#define NOISE 0xa5

static char block[16];

/* A buffer of which only the public fields and the limit are set; all else is noise. */
static tierpool_buf noise_with_limit(uint32_t limit)
{
	tierpool_buf b;

	memset(&b, NOISE, sizeof b);
	memset(block, 0, sizeof block);
	b.data = block;
	b.len = 0;
	b.cap = sizeof block;
	b.tp_limit = limit;
	return b;
}

/* Whether it has these bytes as its content, and all else is as it was. */
static bool is_noise_with(const tierpool_buf *b, const char *content)
{
	tierpool_buf expected = noise_with_limit(b->tp_limit);

	expected.len = strlen(content);
	return !memcmp(b, &expected, sizeof expected);
}

Test(abi, inline_functions_use_no_other_field)
{
	tierpool_buf b = noise_with_limit(sizeof block);

	cr_assert_eq(tierpool_buf_append(&b, "noise", 5), 0);
	cr_assert_eq(tierpool_buf_append_byte(&b, '!'), 0);
	cr_assert_str_eq(block, "noise!");
	cr_assert(is_noise_with(&b, "noise!"));
	/* And up to the last byte that the limit allows. */
	b = noise_with_limit(6);
	cr_assert_eq(tierpool_buf_append(&b, "noise", 5), 0);
	cr_assert_eq(tierpool_buf_append_byte(&b, '!'), 0);
	cr_assert(is_noise_with(&b, "noise!"));
	b = noise_with_limit(6);
	cr_assert_eq(tierpool_buf_append(&b, "noise!", 6), 0);
	cr_assert(is_noise_with(&b, "noise!"));
}

Test(abi, the_inline_function_of_a_chain_uses_two_fields)
{
	tierpool_chain c, expected;

	for (int symbol = 0; symbol <= 1; symbol++) {
		memset(block, 0, sizeof block);
		memset(&c, NOISE, sizeof c);
		c.tp_room = 6;
		c.tp_end = block + 8;
		expected = c;
		cr_assert_eq((symbol ? chain_append : tierpool_chain_append)(&c, "nois", 4), 0);
		cr_assert_eq((symbol ? chain_append : tierpool_chain_append)(&c, "e!", 2), 0);
		cr_assert_eq(memcmp(block, "\0\0noise!\0", 9), 0);
		expected.tp_room = 0;
		cr_assert(!memcmp(&c, &expected, sizeof c));
	}
}

Test(abi, each_inline_function_is_a_symbol_that_does_the_same)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("abi");
	tierpool_buf b = noise_with_limit(sizeof block);
	tierpool *pool;
	tierpool_buf *grown;

	cr_assert_eq(append(&b, "noise", 5), 0);
	cr_assert_eq(append_byte(&b, '!'), 0);
	cr_assert_str_eq(block, "noise!");
	cr_assert(is_noise_with(&b, "noise!"));

	/* Also where the inline function would call another one: nothing there, full, failed. */
	cr_assert_eq(append(NULL, "x", 1), -ENOMEM);
	cr_assert_eq(append_byte(NULL, 'x'), -ENOMEM);
	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	for (int has_site = 0; has_site <= 1; has_site++) {
		tierpool_buf *got = get_at(pool, 3000, has_site ? &site : NULL);

		cr_assert(got && got->cap >= 3000);
		cr_assert_eq(site.tp_word != 0, has_site);
		tierpool_put(got);
		errno = 0;
		cr_assert_null(get_at(NULL, 3000, has_site ? &site : NULL));
		cr_assert_eq(errno, EINVAL);
	}
	grown = get_at(pool, 0, &site);
	cr_assert_not_null(grown);
	for (size_t at = 0, cap = grown->cap; at < 4 * cap; at += 2) {
		cr_assert_eq(append(grown, "a", 1), 0);
		cr_assert_eq(append_byte(grown, 'b'), 0);
		cr_assert(!memcmp(grown->data + at, "ab", 2) && grown->len == at + 2);
	}
	cr_assert_eq(append(grown, NULL, 1), -EINVAL);
	cr_assert_eq(append_byte(grown, 'x'), -EINVAL);
	tierpool_put(grown);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(abi, a_site_is_initialised_with_its_place_and_zeros)
{
	static tierpool_site site = TIERPOOL_SITE_INIT("label");
	unsigned line = __LINE__ - 1;
	static const char zeros[sizeof site];

	cr_assert_eq(sizeof(tierpool_site), 48);
	cr_assert_eq(offsetof(tierpool_site, tp_file), 0);
	cr_assert_eq(offsetof(tierpool_site, tp_label), 8);
	cr_assert_eq(offsetof(tierpool_site, tp_word), 16);
	cr_assert_eq(offsetof(tierpool_site, tp_line), 24);
	cr_assert_str_eq(site.tp_file, __FILE__);
	cr_assert_str_eq(site.tp_label, "label");
	cr_assert_eq(site.tp_line, line);
	cr_assert_eq(sizeof site.tp_word, 8);
	cr_assert_eq(site.tp_word, 0);
	/* What the library may use later. */
	cr_assert_eq(memcmp((char *)&site + 28, zeros, sizeof site - 28), 0);
}

Test(abi, values_that_programs_have_compiled_in)
{
	struct tierpool_options pool = TIERPOOL_OPTIONS_INIT;
	struct tierpool_cache_options cache = TIERPOOL_CACHE_OPTIONS_INIT;

	cr_assert_eq(TIERPOOL_DECAY_NEVER, UINT_MAX);
	cr_assert_eq(sizeof pool.decay_ms, sizeof TIERPOOL_DECAY_NEVER);
	cr_assert_eq(sizeof cache.decay_ms, sizeof TIERPOOL_DECAY_NEVER);
	cr_assert_eq(TIERPOOL_RETAIN_NONE, 1);
	cr_assert_eq(*(size_t *)&pool, sizeof pool);
	cr_assert_eq(*(size_t *)&cache, sizeof cache);
}

/* A number in each #if, as programs use it. */
#if TIERPOOL_VERSION_NUMBER < TIERPOOL_VERSION_MAJOR * 10000
#error "the number is not that of the major version"
#endif

Test(abi, the_version_is_one_as_a_string_and_as_a_number)
{
	char string[32];
	int n = tierpool_version_number();

	cr_assert_eq(n, TIERPOOL_VERSION_NUMBER);
	cr_assert_str_eq(tierpool_version(), TIERPOOL_VERSION);
	snprintf(string, sizeof string, "%d.%d.%d", n / 10000, n / 100 % 100, n % 100);
	cr_assert_str_eq(string, TIERPOOL_VERSION);
}
