/* SPDX-License-Identifier: MIT */
/*
 * Debian control files (deb822) cut into slices: what a stanza is, what a field is, what is wrong
 * with a malformed one. It copies no bytes: every slice points into the text, which must outlive it.
 *
 * - A line that is empty, or has only spaces and tabs, ends a stanza. Only LF ends a line: a CR is
 *   data wherever it stands.
 * - A line that begins with '#' is a comment and ignored, also between the lines of one field.
 * - A line that begins with a space or a tab continues the field before it.
 * - Any other line is "Name: value". The name is of printable ASCII, without blanks; blanks may
 *   stand before the colon. Blanks around the value of this first line are not part of it.
 * - A stanza is malformed by a line without a colon, a name that is empty or not printable ASCII, a
 *   continuation before any field, or a name that comes twice, upper and lower case being one. The
 *   first fault is reported (a second name only if nothing else is wrong), and the rest of the
 *   stanza is skipped.
 */
#ifndef PARSE_H
#define PARSE_H

#include <stddef.h>

#include <tierpool.h>

#define PIECE_BYTES ((size_t)256 << 10) /* of input, at least, for one thread at a time */

struct slice {
	const char *at;
	const char *end;
};

struct field {
	struct slice name;
	struct slice value; /* of the first line */
	struct slice more;  /* from the LF that ends the first line to the end of the last one */
};

/* A stanza is a run of fields; by number, since the array of fields moves when it grows. */
struct stanza {
	size_t first;
	size_t count;
};

struct fault {
	const char *at; /* somewhere in the line that is at fault */
	const char *why;
};

/* Three arrays, each in a buffer: struct field, struct stanza, struct fault. */
struct control {
	tierpool_buf *fields;
	tierpool_buf *stanzas;
	tierpool_buf *faults;
};

/* Borrows the three buffers. If one could not be had, control_parse returns -ENOMEM. */
void control_borrow(struct control *c, tierpool *pool);
void control_put(struct control *c);

/* Empties the buffers and parses the text into them. Returns: 0; -ENOMEM. */
int control_parse(struct control *c, struct slice text);

/* Returns: where to cut the text so that a piece has at least n bytes and only whole stanzas. */
const char *control_cut(struct slice text, size_t n);

/* ---- what was parsed ---- */

static inline const struct field *control_fields(const struct control *c, const struct stanza *s)
{
	return (const struct field *)(const void *)c->fields->data + s->first;
}

static inline const struct stanza *control_stanzas(const struct control *c)
{
	return c->stanzas ? (const struct stanza *)(const void *)c->stanzas->data : NULL;
}

static inline size_t control_count(const struct control *c)
{
	return c->stanzas ? c->stanzas->len / sizeof(struct stanza) : 0;
}

#endif
