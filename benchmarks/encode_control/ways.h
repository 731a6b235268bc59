/* SPDX-License-Identifier: MIT */
/*
 * The encoder, and the five ways to give it scratch memory. Each of the five encodes every record
 * of a piece into a scratch buffer, checks for an error, folds a byte of the result into a sum that
 * must come out alike, and gives the buffer back:
 *
 *   reused   one buffer of malloc's in each thread, emptied between records: nothing is faster
 *   kept     one tierpool_buf in each thread, reset between records: its distance from learned
 *            is what the borrowing costs
 *   learned  tierpool_get and tierpool_put for each record: the size is what this place has learned
 *   guessed  tierpool_get_sized and tierpool_put for each record
 *   malloced malloc, realloc and free for each record
 *
 * guessed and malloced begin with a guess at the size of the record, json_size.
 */
#ifndef WAYS_H
#define WAYS_H

#include <stdint.h>

#include "parse.h"

enum { REUSED, KEPT, LEARNED, GUESSED, MALLOCED, WAYS };

/* The doubling buffer that every program has. An error sticks: cap is brought down to len. */
struct plain_buf {
	char *data;
	size_t len;
	size_t cap;
	int error;
};

/* What one thread encodes, and its memory that lives longer than a record. */
struct scratch {
	struct control control;
	tierpool *learned;
	tierpool *guessed; /* another pool, so that the growths of each are known */
	tierpool_buf *kept;
	struct plain_buf reused;
};

/*
 * About how long the object will be: the text itself, quotes and colons, and one in sixteen bytes
 * to escape. If this guess falls short, the buffer grows.
 */
static inline size_t json_size(const struct field *fields, size_t n)
{
	size_t text = (size_t)(fields[n - 1].more.end - fields[0].name.at);

	return text + text / 16 + 4 * n;
}

/* Appends n > 0 fields as one line of JSON, json_template.h; errors stick to the buffer. */
void json_stanza(tierpool_buf *b, const struct field *fields, size_t n);

/* Encodes all that was parsed, and adds to the sum. Returns: 0; -errno. */
extern int (*const way_encode[WAYS])(struct scratch *s, uint64_t *sum);

#endif
