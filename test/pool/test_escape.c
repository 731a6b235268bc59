/* SPDX-License-Identifier: MIT */
/*
 * JSON strings that are appended to a buffer, byte for byte against a writer that is too simple to
 * be wrong: it decodes as the WHATWG's Encoding Standard says, and escapes what comes of it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer_fixture.h"
#include "random.h"

#define MOST 300 /* bytes of a text */

TestSuite(escape, .init = buffer_start, .timeout = 60);

/* ---- the simple writer ---- */

static struct {
	char bytes[6 * MOST + 3];
	size_t len;
} expected;

static void expected_add(const char *bytes, size_t n)
{
	memcpy(expected.bytes + expected.len, bytes, n);
	expected.len += n;
}

static void expected_ascii(unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *found = c ? strchr(from, c) : NULL;
	char escape[8];

	if (found)
		snprintf(escape, sizeof escape, "\\%c", to[found - from]);
	else
		snprintf(escape, sizeof escape, c < 0x20 ? "\\u%04x" : "%c", c);
	expected_add(escape, strlen(escape));
}

/* The "UTF-8 decoder" of the standard: its names, and its steps. */
static void expected_make(const unsigned char *s, size_t n)
{
	unsigned needed = 0, seen = 0, lower = 0x80, upper = 0xbf;
	size_t begin = 0;

	expected.len = 0;
	expected_add("\"", 1);
	for (size_t i = 0; i < n; i++) {
		if (needed && (s[i] < lower || s[i] > upper)) {
			expected_add("\xef\xbf\xbd", 3);
			needed = 0;
		} else if (needed) {
			lower = 0x80;
			upper = 0xbf;
			if (++seen == needed) {
				expected_add((const char *)s + begin, i + 1 - begin);
				needed = 0;
			}
			continue;
		}
		begin = i;
		seen = 0;
		lower = s[i] == 0xe0 ? 0xa0 : s[i] == 0xf0 ? 0x90 : 0x80;
		upper = s[i] == 0xed ? 0x9f : s[i] == 0xf4 ? 0x8f : 0xbf;
		if (s[i] <= 0x7f)
			expected_ascii(s[i]);
		else if (s[i] >= 0xc2 && s[i] <= 0xdf)
			needed = 1;
		else if (s[i] >= 0xe0 && s[i] <= 0xef)
			needed = 2;
		else if (s[i] >= 0xf0 && s[i] <= 0xf4)
			needed = 3;
		else
			expected_add("\xef\xbf\xbd", 3);
	}
	if (needed)
		expected_add("\xef\xbf\xbd", 3);
	expected_add("\"", 1);
}

/* The text, in a place of its own size, so that a tool sees a read beyond it. */
static void expect_json(const void *bytes, size_t n)
{
	char *copy = malloc(n ? n : 1);

	memcpy(copy, bytes, n);
	expected_make(bytes, n);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_append_json(b, copy, n), 0);
	if (b->len != expected.len || memcmp(b->data, expected.bytes, b->len)) {
		fprintf(stderr, "of");
		for (size_t i = 0; i < n; i++)
			fprintf(stderr, " %02x", (unsigned char)copy[i]);
		cr_assert_fail(
			"%.*s, not %.*s", (int)b->len, b->data, (int)expected.len, expected.bytes);
	}
	free(copy);
}

/* ---- copys ---- */

Test(escape, escapes_are_those_of_RFC_8259)
{
	static const char special[] =
		"a\"b\\c/\b\f\n\r\t\v\x1f \x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
	static const char json[] =
		"\"\\u0000a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u000b\\u001f \x7f\xc3\xa4\xe2\x82"
		"\xac\xf0\x9f\x98\x80\"";
	char with_nul[sizeof special] = {0};

	memcpy(with_nul + 1, special, sizeof special - 1);
	cr_assert_eq(tierpool_buf_append_json(b, with_nul, sizeof special), 0);
	expect_content(json, sizeof json - 1);
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_append_json(b, NULL, 0), 0);
	cr_assert_eq(tierpool_buf_append_json(b, "", 0), 0);
	expect_content("\"\"\"\"", 4);
	cr_assert_eq(tierpool_buf_append_json(b, NULL, 1), -EINVAL);
	expect_content("\"\"\"\"", 4);
	cr_assert_eq(tierpool_buf_append_json(b, "x", 1), -EINVAL, "it sticks");
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_append_json(b, "x", SIZE_MAX), -ENOMEM);
	tierpool_buf_reset(b);
}

Test(escape, all_pairs_of_bytes_and_all_sequences_of_edges)
{
	/* Each first byte and bound of Table 3-7 of The Unicode Standard, and its neighbour. */
	static const unsigned char edges[] = {'a', '"', 0x1f, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
		0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3,
		0xf4, 0xf5, 0xff};
	const size_t count = sizeof edges;

	for (unsigned i = 0; i < 65536; i++)
		expect_json((unsigned char[]){(unsigned char)(i >> 8), (unsigned char)i}, 2);
	for (size_t i = 0; i < count * count * count * count; i++) {
		unsigned char s[] = {edges[i / count / count / count],
			edges[i / count / count % count], edges[i / count % count],
			edges[i % count]};

		if (s[0] >= 0xe0)
			expect_json(s, 4);
	}
}

/* At each place of a word, between others, and cut off at each of its bytes. */
Test(escape, sequences_are_whole_or_replaced_wherever_they_stand)
{
	static const char *const sequences[] = {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x9f\xbf", "\xc0\xaf",
		"\"", "\x01"};
	static const char *const after[] = {"", "x", "\"", "\xc3\xa4", "\x80", "xxxxxxxxx"};
	char s[32];

	for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
		for (size_t cut = 1; cut <= strlen(sequences[i]); cut++)
			for (size_t j = 0; j < sizeof after / sizeof *after; j++)
				for (int before = 0; before < 17; before++)
					expect_json(s, (size_t)snprintf(s, sizeof s, "%.*s%.*s%s",
							       before, "xxxxxxxxxxxxxxxxx",
							       (int)cut, sequences[i], after[j]));
}

/* Mostly letters; the other bytes come as often as one in 2, 4 ... 128. */
Test(escape, random_texts_of_every_length)
{
	uint64_t random = 1;
	unsigned char s[MOST];

	for (size_t n = 0; n < MOST; n = n < 70 ? n + 1 : n + 13)
		for (unsigned round = 0; round < 140; round++) {
			for (size_t i = 0; i < n; i++) {
				uint64_t r = next_random(&random);

				s[i] = (unsigned char)(r >> 32);
				if (r % (2u << round % 7))
					s[i] = (unsigned char)('a' + s[i] % 26);
			}
			expect_json(s, n);
		}
}

/* ---- the buffer ---- */

/* Nothing is kept: the block that a growth leaves is overwritten. */
Test(escape, the_text_may_lie_in_the_same_buffer_which_grows, .init = NULL)
{
	buffer_start_with(TIERPOOL_RETAIN_NONE);
	for (size_t room = 0; room < 500; room += 5) {
		/* Consumed bytes are room too: then the content moves in its block. */
		size_t consumed = room % 2 ? 100 : room % 3 ? 3 : 0, len = 1024 - room - consumed;

		tierpool_put(b);
		b = (tierpool_get_sized)(pool, 1000);
		tierpool_buf_append(b, text, 1024 - room);
		tierpool_buf_consume(b, consumed);
		for (size_t n = 1; n < 300; n += 298) {
			cr_assert_eq(tierpool_buf_append_json(b, b->data + 20, n), 0);
			expected_make((unsigned char *)text + consumed + 20, n);
			cr_assert_eq(b->len, len + expected.len);
			cr_assert_eq(memcmp(b->data, text + consumed, 1024 - room - consumed), 0);
			cr_assert_eq(memcmp(b->data + len, expected.bytes, expected.len), 0);
			len = b->len;
		}
	}
}

Test(escape, it_fits_to_its_last_byte)
{
	for (size_t n = 0; n < 40; n++)
		for (size_t room = n ? n - 1 : 0; room < n + 10; room++) {
			tierpool_put(b);
			b = (tierpool_get_sized)(pool, 1000);
			b->len = 1024 - room;
			memset(b->data, 'x', b->len);
			cr_assert_eq(tierpool_buf_append_json(b, &text['A'], n), 0);
			expected_make((unsigned char *)&text['A'], n);
			cr_assert_eq(
				memcmp(b->data + 1024 - room, expected.bytes, expected.len), 0);
			cr_assert_eq(b->cap, expected.len <= room ? 1024 : 2048);
		}
}
