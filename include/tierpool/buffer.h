/* SPDX-License-Identifier: MIT */
/*
 * A borrowed byte buffer: what a program does with it between tierpool_get and tierpool_put.
 *
 * Every function here takes NULL, as a failed get returns it, and answers -ENOMEM, NULL or
 * nothing; so an encoder may borrow, append throughout, and check once at the end.
 *
 * reserve, append, append_str, append_byte, printf, vprintf and set stick on error, as stdio
 * streams do: after the first failure each of them returns that same error and changes nothing
 * until tierpool_buf_reset. A failed call leaves the earlier content whole. Errors of read_fd and
 * write_fd do not stick.
 *
 * Threads: a buffer belongs to one thread at a time; it may be handed to another. None of these
 * functions is async-signal-safe. Misuse, which is any of these calls on a buffer that was put
 * back: see tierpool_on_misuse.
 */
#ifndef TIERPOOL_BUFFER_H
#define TIERPOOL_BUFFER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tierpool;

/*
 * The borrower may write to data + len up to data + cap, and may set len to anything from 0 to cap:
 * that is how to truncate, and how to commit bytes written there. data and cap are read-only. data
 * moves when the buffer grows; the tierpool_buf itself never moves. The fields that begin with tp_
 * are the library's own.
 */
typedef struct tierpool_buf {
	char *data; /* cap bytes, aligned to 64; whatever the last borrower left in them */
	size_t len; /* bytes used; 0 at get */
	size_t cap; /* bytes writable at data */
	struct tierpool *tp_pool;
	uint32_t tp_state; /* magic 16, state 8, age 8 */
	uint32_t tp_limit;   /* up to cap, where append need not ask further; else 0 */
	void *tp_link;
	uint32_t tp_error; /* the errno that sticks, in a failed one */
	uint32_t tp_high_water;
	uint16_t tp_stack_index;
	uint8_t tp_tier;
	uint8_t tp_flags; /* this, the high water and the spare: reserved */
	uint32_t tp_spare;
#ifdef __cplusplus
	tierpool_buf(const tierpool_buf &) = delete;
	tierpool_buf &operator=(const tierpool_buf &) = delete;
#endif
} tierpool_buf;

/* Private: append where the bytes do not fit, or the buffer is not plain. */
TIERPOOL_API int tierpool_buf_append_slow(tierpool_buf *b, const void *src, size_t n)
	__attribute__((__cold__));

/*
 * Makes room: afterwards cap - len >= extra, in bytes. Grows through the pool, at least doubling up
 * to the largest tier, by exchanging blocks with an idle buffer where there is one.
 * 0; -ENOMEM when the size overflows or cannot be allocated (sticks); the error that sticks.
 */
TIERPOOL_API int tierpool_buf_reserve(tierpool_buf *b, size_t extra);

/*
 * Appends n bytes from src, which may lie in this same buffer.
 * 0; -EINVAL when src is NULL and n is not 0 (sticks); otherwise as tierpool_buf_reserve.
 */
static inline int tierpool_buf_append(tierpool_buf *b, const void *src, size_t n)
{
	/*
	 * The limit is 0 in a buffer that is idle, failed or special: then, and where the bytes do
	 * not fit, it is the slow way's turn. n - 1 wraps for 0: memmove may not be given a NULL.
	 */
	if (__builtin_expect(b && src && b->len < b->tp_limit && n - 1 < b->tp_limit - b->len, 1)) {
		memmove(b->data + b->len, src, n);
		b->len += n;
		return 0;
	}
	return tierpool_buf_append_slow(b, src, n);
}

/* Appends one byte. Errors as tierpool_buf_reserve. */
static inline int tierpool_buf_append_byte(tierpool_buf *b, char c)
{
	if (__builtin_expect(b && b->len < b->tp_limit, 1)) {
		b->data[b->len++] = c;
		return 0;
	}
	return tierpool_buf_append_slow(b, &c, 1);
}

/* Appends the bytes of s up to its NUL. -EINVAL for NULL; otherwise as tierpool_buf_append. */
TIERPOOL_API int tierpool_buf_append_str(tierpool_buf *b, const char *s);

/*
 * Appends as printf writes. The arguments must not point into b.
 * 0, not the count; -EINVAL for a NULL format; what the C library says of the format or its
 * arguments (-EILSEQ, -EOVERFLOW); otherwise as tierpool_buf_reserve. All of them stick.
 */
TIERPOOL_API int tierpool_buf_printf(tierpool_buf *b, const char *format, ...)
	TIERPOOL_PRINTF(2, 3);
TIERPOOL_API int tierpool_buf_vprintf(tierpool_buf *b, const char *format, va_list args)
	TIERPOOL_PRINTF(2, 0);

/* Replaces the content by n bytes from src, which may lie in b. Errors as tierpool_buf_append. */
TIERPOOL_API int tierpool_buf_set(tierpool_buf *b, const void *src, size_t n);

/* Empties the buffer: len = 0, the error cleared, the capacity kept. */
TIERPOOL_API void tierpool_buf_reset(tierpool_buf *b);

/*
 * The content as a C string: a NUL stands after len, and len does not count it. Valid until the
 * next call that changes the buffer. NULL where an error sticks or the NUL finds no room (that
 * sticks, as tierpool_buf_reserve).
 */
TIERPOOL_API const char *tierpool_buf_cstr(tierpool_buf *b);

/*
 * Reads from fd and appends, until end of file or max bytes, whichever is first.
 * The number of bytes appended, 0 at end of file. When nothing was appended: -errno of read(2)
 * (-EAGAIN for a descriptor that would block), which does not stick; or, as tierpool_buf_reserve,
 * an error that sticks. EINTR is retried.
 */
TIERPOOL_API ssize_t tierpool_buf_read_fd(tierpool_buf *b, int fd, size_t max);

/*
 * Writes the whole content to fd; the buffer keeps it. EINTR and short writes are retried.
 * The number of bytes written, fewer than len only where the descriptor would block or fails after
 * some. When nothing was written: -errno of write(2), or the error that sticks to the buffer, so
 * that an output which is missing a piece is never written.
 */
TIERPOOL_API ssize_t tierpool_buf_write_fd(const tierpool_buf *b, int fd);

/* The first error since get or reset, as a negative errno, or 0; -ENOMEM for NULL. */
TIERPOOL_API int tierpool_buf_error(const tierpool_buf *b);

/*
 * Marks the content as secret until the buffer is put: every block that leaves the buffer, by
 * growth or by put, is wiped over its whole capacity first. A secret buffer takes the slow way in
 * every append. Call it before tierpool_buf_open: the stream is unbuffered then, or stdio would
 * keep a copy.
 */
TIERPOOL_API void tierpool_buf_secret(tierpool_buf *b);

/*
 * Opens a stdio stream that appends to the buffer; what is written is visible after fflush or
 * fclose. The buffer stays the borrower's, who closes the stream before putting it: a put while
 * the stream is open is misuse. A write that fails sets the stream's error indicator.
 * The stream, to be closed by fclose; NULL with errno: ENOMEM, EBUSY when one is open already,
 * EINVAL on misuse, or the error that sticks.
 */
TIERPOOL_API FILE *tierpool_buf_open(tierpool_buf *b);

#ifdef __cplusplus
}
#endif

#endif
