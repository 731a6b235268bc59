/* SPDX-License-Identifier: MIT */
/*
 * The encoder over each kind of scratch memory: ways.h.
 */
#include "ways.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- the doubling buffer ---- */

#define PLAIN_FIRST 1024

static __attribute__((__noinline__, __cold__)) int plain_append_slow(
	struct plain_buf *b, const void *src, size_t n)
{
	size_t cap = b->cap > PLAIN_FIRST / 2 ? b->cap * 2 : PLAIN_FIRST;
	char *data;

	while (cap - b->len < n)
		cap *= 2;
	data = b->error ? NULL : realloc(b->data, cap);
	if (!data) {
		b->cap = b->len;
		return b->error = -ENOMEM;
	}
	b->data = data;
	b->cap = cap;
	memcpy(b->data + b->len, src, n);
	b->len += n;
	return 0;
}

static inline int plain_append(struct plain_buf *b, const void *src, size_t n)
{
	if (n > b->cap - b->len)
		return plain_append_slow(b, src, n);
	memcpy(b->data + b->len, src, n);
	b->len += n;
	return 0;
}

/* ---- the encoder ---- */

static const bool json_special[256] = {
	[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true, [0x80 ... 0xff] = true};

/*
 * Returns: the length of the well-formed sequence at s, of which n bytes are there; if it is not
 * well-formed, minus the length of its maximal subpart. Table 3-7 of The Unicode Standard.
 */
static inline int json_utf8(const unsigned char *s, size_t n)
{
	unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	int length = 2 + (s[0] >= 0xe0) + (s[0] >= 0xf0);

	if (s[0] < 0xc2 || s[0] > 0xf4)
		return -1;
	for (int i = 1; i < length; i++, low = 0x80, high = 0xbf)
		if ((size_t)i == n || s[i] < low || s[i] > high)
			return -i;
	return length;
}

/*
 * Whether eight bytes are all ASCII and not special. If none has the high bit, a subtraction
 * sets it only in a byte that is too small, or in the next one.
 */
static inline bool json_clean_word(const unsigned char *s)
{
	const uint64_t each = UINT64_MAX / 0xff;
	uint64_t w;

	memcpy(&w, s, sizeof w);
	return !((w | (w - each * 0x20) | ((w ^ each * '"') - each) | ((w ^ each * '\\') - each)) &
		 each * 0x80);
}

/* How far the text can be taken over as it is. */
static __attribute__((__noinline__)) const unsigned char *json_clean(
	const unsigned char *s, const unsigned char *end)
{
	for (;;) {
		int length;

		while (end - s >= 8 && json_clean_word(s))
			s += 8;
		while (s < end && !json_special[*s])
			s++;
		if (s == end || *s < 0x80)
			return s;
		length = json_utf8(s, (size_t)(end - s));
		if (length < 0)
			return s;
		s += length;
	}
}

/*
 * One copy of the encoder for each way, neither inlined nor merged with another: with code in
 * common, one way would find the branches predicted that another has just been through.
 */
#if __has_attribute(__no_icf__)
#define JSON_APART __attribute__((__noinline__, __no_icf__))
#else
#define JSON_APART __attribute__((__noinline__))
#endif

#define JSON_NAME(function) learned_json_##function
#define JSON_BUF tierpool_buf
#define JSON_APPEND tierpool_buf_append
#include "json_template.h"

#define JSON_NAME(function) guessed_json_##function
#define JSON_BUF tierpool_buf
#define JSON_APPEND tierpool_buf_append
#include "json_template.h"

#define JSON_NAME(function) kept_json_##function
#define JSON_BUF tierpool_buf
#define JSON_APPEND tierpool_buf_append
#include "json_template.h"

#define JSON_NAME(function) reused_json_##function
#define JSON_BUF struct plain_buf
#define JSON_APPEND plain_append
#include "json_template.h"

#define JSON_NAME(function) malloced_json_##function
#define JSON_BUF struct plain_buf
#define JSON_APPEND plain_append
#include "json_template.h"

void json_stanza(tierpool_buf *b, const struct field *fields, size_t n)
{
	learned_json_stanza(b, fields, n);
}

/* ---- the ways ---- */

static inline uint64_t way_fold(uint64_t sum, const char *data, size_t len)
{
	return (sum ^ (unsigned char)data[len / 2]) * 0x9e3779b97f4a7c15 + len;
}

static int way_reused(struct scratch *scratch, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&scratch->control);
	const struct stanza *end = s + control_count(&scratch->control);
	struct plain_buf *b = &scratch->reused;

	for (; s < end; s++) {
		b->len = 0;
		reused_json_stanza(b, control_fields(&scratch->control, s), s->count);
		if (b->error)
			return b->error;
		*sum = way_fold(*sum, b->data, b->len);
	}
	return 0;
}

static int way_kept(struct scratch *scratch, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&scratch->control);
	const struct stanza *end = s + control_count(&scratch->control);
	tierpool_buf *b = scratch->kept;
	int error = 0;

	for (; s < end && !error; s++) {
		tierpool_buf_reset(b);
		kept_json_stanza(b, control_fields(&scratch->control, s), s->count);
		error = tierpool_buf_error(b);
		if (!error)
			*sum = way_fold(*sum, b->data, b->len);
	}
	return error;
}

static int way_learned(struct scratch *scratch, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&scratch->control);
	const struct stanza *end = s + control_count(&scratch->control);
	int error = 0;

	for (; s < end && !error; s++) {
		tierpool_buf *b = tierpool_get(scratch->learned);

		learned_json_stanza(b, control_fields(&scratch->control, s), s->count);
		error = tierpool_buf_error(b);
		if (!error)
			*sum = way_fold(*sum, b->data, b->len);
		tierpool_put(b);
	}
	return error;
}

static int way_guessed(struct scratch *scratch, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&scratch->control);
	const struct stanza *end = s + control_count(&scratch->control);
	int error = 0;

	for (; s < end && !error; s++) {
		const struct field *fields = control_fields(&scratch->control, s);
		tierpool_buf *b = tierpool_get_sized(scratch->guessed, json_size(fields, s->count));

		guessed_json_stanza(b, fields, s->count);
		error = tierpool_buf_error(b);
		if (!error)
			*sum = way_fold(*sum, b->data, b->len);
		tierpool_put(b);
	}
	return error;
}

static int way_malloced(struct scratch *scratch, uint64_t *sum)
{
	const struct stanza *s = control_stanzas(&scratch->control);
	const struct stanza *end = s + control_count(&scratch->control);
	int error = 0;

	for (; s < end && !error; s++) {
		const struct field *fields = control_fields(&scratch->control, s);
		size_t size = json_size(fields, s->count);
		struct plain_buf b = {.data = malloc(size)};

		b.cap = b.data ? size : 0;
		malloced_json_stanza(&b, fields, s->count);
		error = b.error;
		if (!error)
			*sum = way_fold(*sum, b.data, b.len);
		free(b.data);
	}
	return error;
}

int (*const way_encode[WAYS])(struct scratch *, uint64_t *) = {
	way_reused, way_kept, way_learned, way_guessed, way_malloced};
