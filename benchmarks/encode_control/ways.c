/* SPDX-License-Identifier: MIT */
/*
 * The encoder over each kind of scratch memory: ways.h.
 */
#include "ways.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/escape.h" /* the library's own, which is linked statically */

/* ---- the doubling buffer ---- */

#define PLAIN_FIRST 1024

static __attribute__((__noinline__, __cold__)) int plain_grow(struct plain_buf *b, size_t n)
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
	return 0;
}

static inline int plain_append(struct plain_buf *b, const void *src, size_t n)
{
	if (n > b->cap - b->len && plain_grow(b, n))
		return b->error;
	memcpy(b->data + b->len, src, n);
	b->len += n;
	return 0;
}

/* As tierpool_buf_append_json, with the same functions behind it. */
static __attribute__((__noinline__)) int plain_append_json(
	struct plain_buf *b, const char *text, size_t n)
{
	size_t plain = tp_escape_plain(text, n);
	size_t inside = plain == n ? n : tp_escape_measure(text, n, plain);
	char *to;

	if (inside + 2 > b->cap - b->len && plain_grow(b, inside + 2))
		return b->error;
	to = b->data + b->len;
	b->len += inside + 2;
	to[0] = '"';
	to[inside + 1] = '"';
	if (plain == n)
		memcpy(to + 1, text, n);
	else
		tp_escape_write(to + 1, text, n, plain);
	return 0;
}

/* ---- the encoder ---- */

/*
 * One copy of the encoder for each way, neither inlined nor merged with another: with code in
 * common, one way would find the branches predicted that another has just been through. What all
 * ways have in common is how a string is escaped: two functions of the library.
 */
#if __has_attribute(__no_icf__)
#define JSON_APART __attribute__((__noinline__, __no_icf__))
#else
#define JSON_APART __attribute__((__noinline__))
#endif

#define JSON_NAME(function) learned_json_##function
#define JSON_BUF tierpool_buf
#define JSON_APPEND tierpool_buf_append
#define JSON_STRING tierpool_buf_append_json
#include "json_template.h"

#define JSON_NAME(function) guessed_json_##function
#define JSON_BUF tierpool_buf
#define JSON_APPEND tierpool_buf_append
#define JSON_STRING tierpool_buf_append_json
#include "json_template.h"

#define JSON_NAME(function) kept_json_##function
#define JSON_BUF tierpool_buf
#define JSON_APPEND tierpool_buf_append
#define JSON_STRING tierpool_buf_append_json
#include "json_template.h"

#define JSON_NAME(function) reused_json_##function
#define JSON_BUF struct plain_buf
#define JSON_APPEND plain_append
#define JSON_STRING plain_append_json
#include "json_template.h"

#define JSON_NAME(function) malloced_json_##function
#define JSON_BUF struct plain_buf
#define JSON_APPEND plain_append
#define JSON_STRING plain_append_json
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
