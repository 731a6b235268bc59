/* SPDX-License-Identifier: MIT */
/*
 * What a borrower does with a buffer: append, format, read, write, stream. Owns the content between
 * get and put, and the error that sticks. How a buffer gets a larger block is grow.c's.
 */

/* The functions that are inline in programs are ordinary ones here: the library's symbols. */
#define TIERPOOL_INLINE
#include <tierpool/pool.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "memory/bufstate.h"
#include "pool/grow.h"
#include "pool/misuse.h"

/*
 * Bytes that read_fd makes room for when the buffer is full, if max allows: the capacity of a pipe
 * (pipe(7)), so that one read empties a full pipe.
 */
#define READ_ROOM ((size_t)64 << 10)

/* Bytes of memory that the stream of a secret has: a line of text; longer ones are written in pieces. */
#define SECRET_STREAM 1024

static int buffer_stick(tierpool_buf *b, int error)
{
	b->tp_error = (uint16_t)error;
	tp_bufstate_add(b, TP_STATE_FAILED);
	return -error;
}

/* The check that most calls begin with. Returns: 0, or the error that the call returns. */
static int buffer_refuse(const tierpool_buf *b)
{
	if (!b)
		return -ENOMEM;
	if (tp_likely(tp_bufstate_is_plain(b->tp_state) && b->len <= b->cap))
		return 0;
	if (!tp_misuse_check(b, false))
		return -EINVAL;
	return tp_bufstate_has(b, TP_STATE_FAILED) ? -(int)b->tp_error : 0;
}

/*
 * Keeps the first keep bytes of the content and puts n bytes from src behind them, in a block of at
 * least need bytes. src may lie in the old block.
 */
static int buffer_replace(tierpool_buf *b, size_t keep, const void *src, size_t n, size_t need)
{
	if (need > b->cap)
		return tp_pool_grow(b, keep, src, n, need) ? 0 : buffer_stick(b, ENOMEM);
	if (n)
		memmove(b->data + keep, src, n);
	b->len = keep + n;
	return 0;
}

int tierpool_buf_reserve(tierpool_buf *b, size_t extra)
{
	int error = buffer_refuse(b);
	size_t need;

	if (error)
		return error;
	if (__builtin_add_overflow(b->len, extra, &need))
		return buffer_stick(b, ENOMEM);
	return need <= b->cap ? 0 : buffer_replace(b, b->len, NULL, 0, need);
}

/* The same, in a block of the size that is needed; checks src and the size. */
static int buffer_copy_in(tierpool_buf *b, size_t keep, const void *src, size_t n)
{
	size_t need;

	if (!src && n)
		return buffer_stick(b, EINVAL);
	if (__builtin_add_overflow(keep, n, &need))
		return buffer_stick(b, ENOMEM);
	return buffer_replace(b, keep, src, n, need);
}

int tierpool_buf_append_slow(tierpool_buf *b, const void *src, size_t n)
{
	int error = buffer_refuse(b);

	return error ? error : buffer_copy_in(b, b->len, src, n);
}

int tierpool_buf_set(tierpool_buf *b, const void *src, size_t n)
{
	int error = buffer_refuse(b);

	if (error)
		return error;
	tp_bufstate_note_len(b);
	return buffer_copy_in(b, 0, src, n);
}

int tierpool_buf_append_str(tierpool_buf *b, const char *s)
{
	int error = buffer_refuse(b);

	/* For NULL the length is 1, so that buffer_copy_in finds the error. */
	return error ? error : buffer_copy_in(b, b->len, s, s ? strlen(s) : 1);
}

/* As vsnprintf, behind the content. with_errno: what %m prints. */
static int buffer_format(tierpool_buf *b, int with_errno, const char *format, va_list args)
{
	/* musl refuses a size above INT_MAX. */
	size_t room = tp_min(b->cap - b->len, INT_MAX);

	errno = with_errno;
	return vsnprintf(b->data + b->len, room, format, args);
}

int tierpool_buf_vprintf(tierpool_buf *b, const char *format, va_list args)
{
	int with_errno = errno;
	int error = buffer_refuse(b);
	va_list second;
	int n;

	if (error)
		return error;
	if (!format)
		return buffer_stick(b, EINVAL);
	va_copy(second, args);
	n = buffer_format(b, with_errno, format, args);
	if (n >= 0 && (size_t)n >= b->cap - b->len) {
		/* vsnprintf also writes a NUL, which is not part of the content. */
		error = tierpool_buf_reserve(b, (size_t)n + 1);
		if (!error)
			n = buffer_format(b, with_errno, format, second);
	}
	va_end(second);
	if (error)
		return error;
	if (n < 0)
		return buffer_stick(b, errno ? errno : EINVAL);
	/* INT_MAX bytes leave no place for the NUL; or an argument changed between the two. */
	if ((size_t)n >= tp_min(b->cap - b->len, INT_MAX))
		return buffer_stick(b, EOVERFLOW);
	b->len += (size_t)n;
	return 0;
}

int tierpool_buf_printf(tierpool_buf *b, const char *format, ...)
{
	va_list args;
	int error;

	va_start(args, format);
	error = tierpool_buf_vprintf(b, format, args);
	va_end(args);
	return error;
}

void tierpool_buf_reset(tierpool_buf *b)
{
	if (!b || (!tp_bufstate_is_plain(b->tp_state) && !tp_misuse_check(b, false)))
		return;
	tp_bufstate_note_len(b);
	b->len = 0;
	tp_bufstate_remove(b, TP_STATE_FAILED);
}

const char *tierpool_buf_cstr(tierpool_buf *b)
{
	if (tierpool_buf_reserve(b, 1))
		return NULL;
	b->data[b->len] = '\0';
	return b->data;
}

int tierpool_buf_error(const tierpool_buf *b)
{
	return buffer_refuse(b);
}

void tierpool_buf_secret(tierpool_buf *b)
{
	if (b && (tp_bufstate_is_plain(b->tp_state) || tp_misuse_check(b, false)))
		tp_bufstate_add(b, TP_STATE_SECRET);
}

/*
 * Whether fd is a file that has been read to its end. Asked before a full buffer grows, so that a
 * file that fits exactly does not make it grow.
 */
static bool buffer_at_end_of_file(int fd)
{
	struct stat file;
	off_t position;

	if (fstat(fd, &file) || !S_ISREG(file.st_mode))
		return false;
	position = lseek(fd, 0, SEEK_CUR);
	/* A file in /proc has size 0 and is not empty. */
	return position > 0 && position >= file.st_size && file.st_size > 0;
}

ssize_t tierpool_buf_read_fd(tierpool_buf *b, int fd, size_t max)
{
	int error = buffer_refuse(b);
	size_t total = 0;

	max = tp_min(max, SSIZE_MAX);
	while (!error && total < max) {
		ssize_t n;

		if (b->len == b->cap) {
			if (buffer_at_end_of_file(fd))
				break;
			error = tierpool_buf_reserve(b, tp_min(max - total, READ_ROOM));
			continue;
		}
		n = read(fd, b->data + b->len, tp_min(b->cap - b->len, max - total));
		if (n == 0)
			break;
		if (n > 0) {
			b->len += (size_t)n;
			total += (size_t)n;
		} else if (errno != EINTR) {
			error = -errno;
		}
	}
	return total ? (ssize_t)total : error;
}

ssize_t tierpool_buf_write_fd(const tierpool_buf *b, int fd)
{
	int error = buffer_refuse(b);
	size_t total = 0;

	while (!error && total < b->len) {
		ssize_t n = write(fd, b->data + total, tp_min(b->len - total, SSIZE_MAX));

		if (n > 0)
			total += (size_t)n;
		else if (n == 0)
			error = -EIO; /* write(2) gives 0 for 0 bytes only; never loop on it */
		else if (errno != EINTR)
			error = -errno;
	}
	return total ? (ssize_t)total : error;
}

static ssize_t buffer_stream_write(void *cookie, const char *bytes, size_t n)
{
	int error = tierpool_buf_append(cookie, bytes, n);

	if (!error)
		return (ssize_t)n;
	errno = -error;
	return 0; /* fopencookie(3): how a write says that it failed */
}

static int buffer_stream_close(void *cookie)
{
	tierpool_buf *b = cookie;

	if (!tp_misuse_check(b, false)) {
		errno = EINVAL;
		return EOF;
	}
	tp_bufstate_remove(b, TP_STATE_STREAM);
	return 0;
}

/*
 * The stream of a secret, with memory of its own, which is wiped. That of stdio would keep a copy; and
 * without any, glibc formats into 8 KiB on the stack, which nobody wipes.
 */
struct buffer_secret_stream {
	tierpool_buf *b;
	char bytes[SECRET_STREAM];
};

static ssize_t buffer_secret_write(void *cookie, const char *bytes, size_t n)
{
	struct buffer_secret_stream *secret = cookie;

	return buffer_stream_write(secret->b, bytes, n);
}

static int buffer_secret_close(void *cookie)
{
	struct buffer_secret_stream *secret = cookie;
	tierpool_buf *b = secret->b;

	explicit_bzero(secret->bytes, sizeof secret->bytes);
	free(secret);
	return buffer_stream_close(b);
}

static FILE *buffer_secret_open(tierpool_buf *b)
{
	struct buffer_secret_stream *secret = malloc(sizeof *secret);
	FILE *stream = NULL;

	if (secret)
		stream = fopencookie(secret, "w",
			(cookie_io_functions_t){
				.write = buffer_secret_write, .close = buffer_secret_close});
	if (!stream) {
		free(secret);
		return NULL;
	}
	secret->b = b;
	setvbuf(stream, secret->bytes, _IOFBF, sizeof secret->bytes);
	return stream;
}

static FILE *buffer_plain_open(tierpool_buf *b)
{
	return fopencookie(b, "w",
		(cookie_io_functions_t){
			.write = buffer_stream_write, .close = buffer_stream_close});
}

FILE *tierpool_buf_open(tierpool_buf *b)
{
	int error = buffer_refuse(b);
	FILE *stream;

	if (!error && tp_bufstate_has(b, TP_STATE_STREAM))
		error = -EBUSY;
	if (error) {
		errno = -error;
		return NULL;
	}
	stream = tp_bufstate_has(b, TP_STATE_SECRET) ? buffer_secret_open(b) : buffer_plain_open(b);
	if (!stream) {
		errno = ENOMEM;
		return NULL;
	}
	tp_bufstate_add(b, TP_STATE_STREAM);
	return stream;
}
