/* SPDX-License-Identifier: MIT */
/*
 * The server with malloc in place of its buffer pools, to compare: the second program of this folder is
 * compiled with -include of this file. Each call that the server makes stands here over malloc, realloc and
 * free, as one writes it: a get allocates, growth doubles, a put frees. The object caches stay.
 */
#ifndef BUFFERS_MALLOC_H
#define BUFFERS_MALLOC_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>
#include <tierpool/callbacks.h>

/* The server reads data, len and cap of a tierpool_buf, and no more. */
struct malloc_buf {
	tierpool_buf b;
	char *block; /* data lies in it, behind what was consumed */
	int error;
};

static inline struct malloc_buf *malloc_of(const tierpool_buf *b)
{
	return (struct malloc_buf *)(uintptr_t)b;
}

static inline tierpool_buf *malloc_get(size_t n)
{
	struct malloc_buf *m = malloc(sizeof *m);
	char *block = malloc(n ? n : 1024);
	if (!m || !block) {
		free(m);
		free(block);
		return NULL;
	}
	m->block = m->b.data = block;
	m->b.len = 0;
	m->b.cap = n ? n : 1024;
	m->error = 0;
	return &m->b;
}

static inline void malloc_put(tierpool_buf *b)
{
	if (b)
		free(malloc_of(b)->block);
	free(b);
}

static inline int malloc_error(const tierpool_buf *b)
{
	return b ? malloc_of(b)->error : -ENOMEM;
}

static inline int malloc_reserve(tierpool_buf *b, size_t extra)
{
	int error = malloc_error(b);
	if (error || b->cap - b->len >= extra)
		return error;
	struct malloc_buf *m = malloc_of(b);
	size_t front = (size_t)(b->data - m->block), size = 2 * (front + b->cap);
	if (front) { /* what was consumed is room */
		memmove(m->block, b->data, b->len);
		b->data = m->block;
		b->cap += front;
		if (b->cap - b->len >= extra)
			return 0;
	}
	if (size < b->len + extra)
		size = b->len + extra;
	char *block = realloc(m->block, size);
	if (!block)
		return m->error = -ENOMEM;
	m->block = b->data = block;
	b->cap = size;
	return 0;
}

static inline int malloc_append(tierpool_buf *b, const void *src, size_t n)
{
	int error = malloc_reserve(b, n);
	if (!error && n) {
		memcpy(b->data + b->len, src, n);
		b->len += n;
	}
	return error;
}

static inline int malloc_printf(tierpool_buf *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline int malloc_printf(tierpool_buf *b, const char *format, ...)
{
	char *text;
	va_list args;
	va_start(args, format);
	int n = vasprintf(&text, format, args), error = n < 0 ? -ENOMEM : 0;
	va_end(args);
	if (!error) {
		error = malloc_append(b, text, (size_t)n);
		free(text);
	}
	return error;
}

static inline const char *malloc_cstr(tierpool_buf *b)
{
	if (malloc_reserve(b, 1))
		return NULL;
	b->data[b->len] = 0;
	return b->data;
}

static inline void malloc_reset(tierpool_buf *b)
{
	if (!b)
		return;
	struct malloc_buf *m = malloc_of(b);
	b->cap += (size_t)(b->data - m->block);
	b->data = m->block;
	b->len = 0;
	m->error = 0;
}

static inline int malloc_consume(tierpool_buf *b, size_t n)
{
	b->data += n;
	b->len -= n;
	b->cap -= n;
	return 0;
}

static inline ssize_t malloc_write_fd_from(const tierpool_buf *b, int fd, size_t *offset)
{
	size_t before = *offset;
	while (*offset < b->len) {
		ssize_t n = write(fd, b->data + *offset, b->len - *offset);
		if (n < 0 && errno != EINTR)
			return *offset == before ? -errno : (ssize_t)(*offset - before);
		*offset += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)(*offset - before);
}

static inline ssize_t malloc_cookie_write(void *b, const char *text, size_t n)
{
	return malloc_append(b, text, n) ? -1 : (ssize_t)n;
}

static inline FILE *malloc_open(tierpool_buf *b)
{
	return fopencookie(b, "w", (cookie_io_functions_t){.write = malloc_cookie_write});
}

static inline size_t malloc_write_cb_curl(char *data, size_t size, size_t n, void *b)
{
	return malloc_append(b, data, size * n) ? 0 : size * n;
}

#undef tierpool_get
#undef tierpool_get_sized
#define tierpool_get(pool) malloc_get(0)
#define tierpool_get_sized(pool, n) malloc_get(n)
#define tierpool_get_at(pool, n, site) ((void)(site), malloc_get(n))
#define tierpool_put malloc_put
#define tierpool_buf_reserve malloc_reserve
#define tierpool_buf_append malloc_append
#define tierpool_buf_append_str(b, s) malloc_append(b, s, strlen(s))
#define tierpool_buf_printf malloc_printf
#define tierpool_buf_cstr malloc_cstr
#define tierpool_buf_reset malloc_reset
#define tierpool_buf_error malloc_error
#define tierpool_buf_consume malloc_consume
#define tierpool_buf_write_fd_from malloc_write_fd_from
#define tierpool_buf_open malloc_open
#define tierpool_write_cb_curl malloc_write_cb_curl

#endif
