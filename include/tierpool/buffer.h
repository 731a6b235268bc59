/* SPDX-License-Identifier: MIT */
/*
 * A borrowed byte buffer: what a program does with it between tierpool_get and tierpool_put. A
 * buffer is a header, the tierpool_buf, and a block, the bytes at data. It grows as it is filled,
 * by exchanging its block for a larger one of its pool.
 *
 * An encoder may borrow, append throughout, and check once at the end. Two rules make that safe:
 *
 *   - Every function takes NULL, which is what a failed get returns. Those that return int or
 *     ssize_t return -ENOMEM then, those that return a pointer NULL, and the others do nothing.
 *   - Errors stick, as in a stdio stream. After the first one each call that can fail does so with
 *     that same error, and changes nothing, until tierpool_buf_reset or tierpool_buf_clear_error. A
 *     failed call leaves the earlier content whole. What does not stick: errors of read(2), and all of
 *     write_fd and write_fd_from; EBUSY of open; ENOMEM of open and detach, if only the stream or the
 *     copy could not be had; misuse.
 *
 * So in the comments below Errors: leaves out what is common to all: -ENOMEM for a NULL buffer, the
 * error that sticks already, and -EINVAL after a misuse, if a handler was installed and returned.
 * Misuse is any of these calls on a buffer that was put back, or whose private fields were
 * overwritten, or whose len is larger than cap (but for reset, which repairs that, clear_error and
 * secret): see tierpool_on_misuse and tierpool_put in pool.h.
 *
 * Threads, signals, errno: see tierpool.h.
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

/* ---- the buffer ---- */

struct tierpool;

/*
 * The borrower may write to data + len up to data + cap, and may set len to anything from 0 to cap:
 * that is how to truncate, and how to commit bytes that were written there. data and cap are
 * read-only. data moves when the buffer grows; the tierpool_buf itself never moves.
 *
 * The 64 bytes, one cache line. data, len, cap and tp_limit are read by inline functions in
 * programs and keep their place (see ABI in tierpool.h); everything else is for the library alone.
 */
typedef struct tierpool_buf {
	char *data; /* 0: cap bytes, aligned to 64 at get; whatever the last borrower left in them */
	size_t len;               /* 8: bytes used; 0 at get */
	size_t cap;               /* 16: bytes writable at data */
	struct tierpool *tp_pool; /* 24: where it was borrowed, and goes back to */
	uint32_t tp_state;        /* 32: magic 16, state 8, age 8, from the top */
	uint32_t tp_limit;        /* 36: up to this len append need not ask further, at most */
				  /* cap; 0: append always takes the slow way */
	uint32_t tp_site_word;    /* 40: of the site that learns from this borrow; 0: none */
	uint32_t tp_high_water;   /* 44: the largest len before a reset, set or growth */
	__extension__ union {     /* 48 */
		void *tp_link;    /* without a block: the next one in a list of the pool */
		uint64_t tp_lend; /* with a block: state and limit as each get sets them */
	};
	uint16_t tp_error;        /* 56: the errno that sticks, if the state says so */
	uint8_t tp_tier;          /* 58: which tier the block belongs to */
	uint8_t tp_growths;       /* 59: if the put is recorded: growths, and 128 if sampled */
	uint32_t tp_stack_offset; /* 60: where each CPU keeps idle buffers of this tier */
#ifdef __cplusplus
	tierpool_buf(const tierpool_buf &) = delete;
	tierpool_buf &operator=(const tierpool_buf &) = delete;
#endif
} tierpool_buf;

/* ---- append, and make room ---- */

/*
 * Private: append where the bytes do not fit or tp_limit is 0. The inline functions call it.
 */
TIERPOOL_API int tierpool_buf_append_slow(tierpool_buf *b, const void *src, size_t n)
	__attribute__((__cold__));

/*
 * Makes room for extra bytes more, so that a program may write them itself at data + len. Check the
 * result before you do; before an append there is no need to reserve.
 *
 * The buffer grows through its pool: it exchanges its block for that of an idle buffer if there is
 * one that is large enough, and else for a new one. The new block is at least twice as large as the
 * old one, so that appending n bytes one by one copies fewer than 3 n; but not larger than the
 * largest tier if that suffices, and only as large as needed if there is no memory for twice.
 *
 * After:   cap - len >= extra; data may have moved.
 * Errors:  -ENOMEM: the size overflows or cannot be allocated.
 * Returns: 0, or a negative errno, which sticks.
 */
TIERPOOL_API int tierpool_buf_reserve(tierpool_buf *b, size_t extra);

/*
 * Appends n bytes from src, which may lie in this buffer's content. Inline where the bytes fit.
 *
 * After:   data may have moved.
 * Errors:  -EINVAL: src is NULL and n is not 0; -ENOMEM as tierpool_buf_reserve.
 * Returns: 0, or a negative errno, which sticks.
 */
TIERPOOL_API TIERPOOL_INLINE int tierpool_buf_append(tierpool_buf *b, const void *src, size_t n)
{
	/*
	 * The limit is 0 in a buffer that is idle or secret, has a stream or an
	 * error that sticks. Then, and where the bytes do not fit, the slow way finds out what to
	 * do. If n is 0, or the sum wraps, then end is not above len: the slow way too.
	 */
	if (__builtin_expect(b && src, 1)) {
		size_t len = b->len, end = len + n;

		if (__builtin_expect(len < end && end <= b->tp_limit, 1)) {
			char *to = b->data + len;

			/* First: so nothing of b is needed behind memmove, if that is a call. */
			b->len = end;
			memmove(to, src, n);
			return 0;
		}
	}
	return tierpool_buf_append_slow(b, src, n);
}

/*
 * Appends one byte. Inline where it fits.
 *
 * After:   data may have moved.
 * Errors:  -ENOMEM as tierpool_buf_reserve.
 * Returns: 0, or a negative errno, which sticks.
 */
TIERPOOL_API TIERPOOL_INLINE int tierpool_buf_append_byte(tierpool_buf *b, char c)
{
	if (__builtin_expect(!b || b->len >= b->tp_limit, 0)) {
		char copy = c; /* of c itself the fast way too would have to store it */

		return tierpool_buf_append_slow(b, &copy, 1);
	}
	b->data[b->len++] = c;
	return 0;
}

/*
 * Appends the bytes of the string s, which may lie in this buffer's content, without its NUL. Inline where
 * they fit; the length of a literal is known when the program is compiled.
 *
 * After:   data may have moved.
 * Errors:  -EINVAL: s is NULL; -ENOMEM as tierpool_buf_reserve.
 * Returns: 0, or a negative errno, which sticks.
 */
TIERPOOL_API TIERPOOL_INLINE int tierpool_buf_append_str(tierpool_buf *b, const char *s)
{
	/* For NULL the length is 1, which append finds to be an error. */
	return tierpool_buf_append(b, s, s ? strlen(s) : 1);
}

/*
 * Appends what printf would write. If it does not fit it is formatted a second time, after the
 * buffer has grown. %m prints the errno that the caller had.
 *
 * Before:  no argument points into b, whose data may move.
 * After:   data may have moved.
 * Errors:  -EINVAL: format is NULL; -EILSEQ, -EOVERFLOW and others: what the C library says of the
 *          format or its arguments; -ENOMEM as tierpool_buf_reserve.
 * Returns: 0 (not the number of bytes), or a negative errno, which sticks.
 */
TIERPOOL_API int tierpool_buf_printf(tierpool_buf *b, const char *format, ...)
	TIERPOOL_PRINTF(2, 3);

/*
 * The same as tierpool_buf_printf with the arguments in a va_list, which the caller ends by va_end
 * and does not use again.
 */
TIERPOOL_API int tierpool_buf_vprintf(tierpool_buf *b, const char *format, va_list args)
	TIERPOOL_PRINTF(2, 0);

/* ---- numbers and JSON ---- */

/*
 * Each appends one number as text, the same in every locale. Much faster than printf.
 *
 *   u64, i64   decimal, as "%" PRIu64 and "%" PRId64
 *   hex        as "%" PRIx64: lower case, without 0x and without zeros in front
 *   double     the fewest digits that strtod reads back as the same number; if several numbers have
 *              as few, the nearest to x. The layout is that of "%.17g": below 1e-04 and from 1e+17 on
 *              with an exponent. So 0.1, 100, -0, 5e-324, 1e+23. What is not finite is inf, -inf, nan or -nan: JSON has no such numbers, so
 *              a writer of JSON asks isfinite first.
 *
 * After:   data may have moved.
 * Errors:  -ENOMEM as tierpool_buf_reserve.
 * Returns: 0, or a negative errno, which sticks.
 */
TIERPOOL_API int tierpool_buf_append_u64(tierpool_buf *b, uint64_t n);
TIERPOOL_API int tierpool_buf_append_i64(tierpool_buf *b, int64_t n);
TIERPOOL_API int tierpool_buf_append_hex(tierpool_buf *b, uint64_t n);
TIERPOOL_API int tierpool_buf_append_double(tierpool_buf *b, double x);

/*
 * Appends n bytes of text as one JSON string (RFC 8259), with its quotes. The text may lie in this
 * buffer's content.
 *
 *   " \ and below U+0020   escaped: \" \\ \b \f \n \r \t, or \u and four digits
 *   other UTF-8            as it is
 *   what is not UTF-8      U+FFFD: one for each maximal subpart, as a browser does. Overlong forms,
 *                          surrogates, and what is above U+10FFFF are not UTF-8
 *
 * After:   data may have moved.
 * Errors:  -EINVAL: text is NULL and n is not 0; -ENOMEM as tierpool_buf_reserve.
 * Returns: 0, or a negative errno, which sticks.
 */
TIERPOOL_API int tierpool_buf_append_json(tierpool_buf *b, const char *text, size_t n);

/* ---- replace and empty ---- */

/*
 * Replaces the content by n bytes from src, which may lie in this buffer's content.
 *
 * After:   data may have moved.
 * Errors:  -EINVAL: src is NULL and n is not 0; -ENOMEM as tierpool_buf_reserve.
 * Returns: 0, or a negative errno, which sticks; the earlier content is whole then.
 */
TIERPOOL_API int tierpool_buf_set(tierpool_buf *b, const void *src, size_t n);

/*
 * Empties the buffer to use it again: len is 0, no error sticks. The whole block is kept: if content was
 * consumed, cap is again what it was before. A secret buffer stays secret.
 */
TIERPOOL_API void tierpool_buf_reset(tierpool_buf *b);

/*
 * Takes n bytes off the front of the content, for a program that parses what it has read, or has
 * written a part of it. Nothing is moved: data lies n bytes further on. The room comes back
 *   - when all is consumed;
 *   - at reset or put;
 *   - when the buffer is full: what is left is moved to the front, or the buffer grows.
 * If a program appends and consumes by turns, at most one byte is moved for each that is consumed, and
 * the block becomes no larger than four times the most that it holds at once (and as
 * tierpool_buf_read_fd makes room, if that reads).
 *
 * What was consumed is no longer content: a source of append, append_json or set must not lie there.
 *
 * After:   data is n bytes further on, aligned to nothing, and len and cap are smaller by n. If all is
 *          consumed data lies at the beginning of its block again, and cap is that of the block.
 * Errors:  -EINVAL: n is larger than len.
 * Returns: 0, or a negative errno, which sticks.
 */
TIERPOOL_API int tierpool_buf_consume(tierpool_buf *b, size_t n);

/*
 * Forgets the error that sticks, and keeps the content, which is what it was before the call that failed.
 * For a program that has found another way: a smaller piece, or the content so far.
 */
TIERPOOL_API void tierpool_buf_clear_error(tierpool_buf *b);

/* ---- take the content out ---- */

/*
 * Gives the content as a C string: a NUL stands after len, and len does not count it.
 *
 * After:   the string is valid until the next call that changes the buffer.
 * Errors:  ask tierpool_buf_error, not errno. -ENOMEM: no room for the NUL, as
 *          tierpool_buf_reserve.
 * Returns: the string, which is b's data; NULL on failure, and if an error sticks already.
 */
TIERPOOL_NODISCARD TIERPOOL_API const char *tierpool_buf_cstr(tierpool_buf *b);

/*
 * Copies the content into memory of malloc, for a receiver that frees what it is given. The buffer stays
 * the borrower's, unchanged. The copy of a secret is not wiped.
 *
 * len:     receives the number of bytes, without the NUL; may be NULL
 * After:   the copy is the caller's, to be freed by free.
 * Errors:  errno is ENOMEM; EINVAL: misuse; or the error that sticks. *len is not written.
 * Returns: the copy, with a NUL behind it; NULL with errno on failure.
 */
TIERPOOL_NODISCARD TIERPOOL_API char *tierpool_buf_detach(tierpool_buf *b, size_t *len);

/*
 * Finds a buffer by its data, for a callback that is given this pointer and nothing else: the
 * destructor of a value, free of a foreign library. It takes some 10 ns. With pools whose backing is the
 * program's own functions, and under TIERPOOL_DEBUG=unpooled, it looks at each of their buffers.
 *
 * data:    any pointer
 * Before:  no other thread puts the buffer in whose block it lies.
 * Returns: the borrowed buffer whose data this is now. NULL: there is none, and errno is as before. So it
 *          is NULL for a pointer into the middle, for data as it was before a growth or a consume, and
 *          for the data of a buffer that was put.
 */
TIERPOOL_NODISCARD TIERPOOL_API tierpool_buf *tierpool_buf_of(const void *data);

/*
 * Asks whether all went well, once after many calls.
 *
 * Returns: 0, or the first error since the get, the last reset or clear_error, a negative errno;
 *          -ENOMEM if b is NULL.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_buf_error(const tierpool_buf *b);

/* ---- descriptors ---- */

/*
 * Reads from fd and appends, until end of file or until max bytes are read, whichever comes first.
 * EINTR is retried. A full buffer is grown as by tierpool_buf_reserve(b, 64 KiB), or for what is
 * left of max if that is less. max 0 reads nothing, and returns 0 as the end of
 * file does.
 *
 * Blocks:  as read(2) does on fd, and for all of max: on a socket or pipe until max bytes have come
 *          or it is closed. A thread may be cancelled there.
 * After:   data may have moved.
 * Errors:  -errno of read(2), which does not stick (-EAGAIN: fd is non-blocking and has no bytes
 *          yet); -ENOMEM as tierpool_buf_reserve, which sticks.
 * Returns: the number of bytes appended; 0 at end of file. If anything was appended an error is not
 *          returned: the next call meets it again. If nothing was: a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API ssize_t tierpool_buf_read_fd(tierpool_buf *b, int fd, size_t max);

/*
 * Writes the whole content to fd; the buffer keeps it. EINTR and short writes are retried. A buffer
 * to which an error sticks is not written: so output with a missing piece never gets out.
 *
 * Blocks:  as write(2) does on fd. A thread may be cancelled there. SIGPIPE comes as from write(2).
 * Errors:  -errno of write(2), which does not stick (-EAGAIN: fd is non-blocking and is full);
 *          -EIO: write(2) wrote nothing and said no error.
 * Returns: the number of bytes written, n: compare it with len. It is less if fd would block, or fails,
 *          after some bytes. Then another call of this function begins at the start:
 *          tierpool_buf_write_fd_from goes on. If nothing was written: a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API ssize_t tierpool_buf_write_fd(const tierpool_buf *b, int fd);

/*
 * The same from *offset on, for a descriptor that does not block. All is written when *offset is len.
 * If it is not, wait until fd can be written, and call again. (If fd is a socket, ignore SIGPIPE, so
 * that a peer that has gone is -EPIPE.) Or take off what was written by tierpool_buf_consume, if more is
 * appended meanwhile: an offset keeps the content.
 *
 * A head that is known last, such as that of HTTP, may go first. Leave room for it in front of the body:
 *
 *     b->len = HEAD_MOST;                             // no more than cap
 *     tierpool_buf_append(b, body, n);
 *     offset = HEAD_MOST - head_length;
 *     memcpy(b->data + offset, head, head_length);
 *     sent = tierpool_buf_write_fd_from(b, fd, &offset);
 *
 * offset:  where in the content to begin; moved behind what was written, also if an error follows. NULL:
 *          from the start
 * Blocks:  as tierpool_buf_write_fd.
 * Errors:  as tierpool_buf_write_fd; -EINVAL, which does not stick: *offset is larger than len.
 * Returns: the number of bytes written; 0 if none was left. If an error came and nothing was written: a
 *          negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API ssize_t tierpool_buf_write_fd_from(
	const tierpool_buf *b, int fd, size_t *offset);

/* ---- secrets ---- */

/*
 * Marks the content as secret, until the buffer is put. Each block that leaves the buffer, because
 * the buffer grows or is put, is first wiped over its whole capacity. Every append to a secret
 * buffer takes the slow way. A stream that is opened after this call has memory of its own, which fclose
 * wipes.
 *
 * What the library cannot wipe:
 *   - registers. A program whose functions are bound at their first call (lazily) then has them all
 *     saved on its stack, with what was copied last: link it with -z now. A signal saves them too;
 *   - what the C library has on its own stack while it formats: the digits of numbers, and with some
 *     versions pieces of text that do not fit; and the digits of a double that is appended;
 *   - wide characters, which the C library converts in memory of its own.
 *
 * Before:  no stream of the buffer is open. One opened before keeps a copy of what it wrote in stdio's
 *          memory.
 */
TIERPOOL_API void tierpool_buf_secret(tierpool_buf *b);

/* ---- stdio ---- */

/*
 * Opens a stdio stream that appends to the buffer, for code that prints to a FILE. What it writes
 * is visible in the buffer after fflush or fclose. ftell says the length that the buffer will have then,
 * and fseek and fseeko go to the end, nowhere else (EINVAL). If a write fails, its error sticks to the
 * buffer: ask tierpool_buf_error after fclose, which may return 0 then.
 *
 * After:   the caller closes the stream by fclose, and puts the buffer after that, not before: a
 *          put while the stream is open is misuse.
 * Errors:  errno is ENOMEM; EBUSY: a stream of this buffer is open; EINVAL: misuse; or the error
 *          that sticks.
 * Returns: the stream; NULL with errno on failure.
 */
TIERPOOL_NODISCARD TIERPOOL_API FILE *tierpool_buf_open(tierpool_buf *b);

#ifdef __cplusplus
}
#endif

#endif
