/* SPDX-License-Identifier: MIT */
/*
 * The encoders of growth: encoders.h.
 */
#include "encoders.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/program.h"

static const char piece[PIECE];

static _Noreturn void encode_fail(void)
{
	fputs("growth: out of memory\n", stderr);
	exit(FAILED);
}

/* ---- by the pool ---- */

void encode_by_pool(tierpool *pool, size_t first, tierpool_site *site, size_t size, unsigned count)
{
	while (count--) {
		tierpool_buf *b = tierpool_get_at(pool, first, site);

		for (size_t n = 0; n < size; n += PIECE)
			tierpool_buf_append(b, piece, PIECE);
		if (tierpool_buf_error(b))
			encode_fail();
		tierpool_put(b);
	}
}

/* ---- by realloc ---- */

/* An encoder's own buffer, with an append as that of buffer.h. */
struct text {
	char *data;
	size_t len, cap;
	bool failed;
};

static __attribute__((__noinline__, __cold__)) void text_grow(
	struct text *t, const struct allocator *a)
{
	char *data = a->realloc(t->data, 2 * t->cap);

	if (!data) {
		t->failed = true;
		return;
	}
	t->data = data;
	t->cap *= 2;
}

static inline void text_append(struct text *t, const struct allocator *a, const void *src, size_t n)
{
	if (__builtin_expect(n > t->cap - t->len, 0)) {
		text_grow(t, a);
		if (t->failed)
			return;
	}
	memmove(t->data + t->len, src, n);
	t->len += n;
}

void encode_by_realloc(const struct allocator *a, size_t first, size_t size, unsigned count)
{
	while (count--) {
		struct text t = {.data = a->alloc(first), .cap = first};

		if (!t.data)
			encode_fail();
		for (size_t n = 0; n < size; n += PIECE)
			text_append(&t, a, piece, PIECE);
		if (t.failed)
			encode_fail();
		a->free(t.data);
	}
}
