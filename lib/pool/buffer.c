/* SPDX-License-Identifier: MIT */
/*
 * What a borrower does with a buffer: append, format, consume, read, write. Owns the content between
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
#include "base/keep_errno.h"
#include "memory/bufstate.h"
#include "pool/grow.h"
#include "pool/misuse.h"
#include "pool/pool.h"
#include "pool/write_out.h"

/*
 * Bytes that read_fd makes room for when the buffer is full, if max allows: the capacity of a pipe
 * (pipe(7)), so that one read empties a full pipe.
 */
#define READ_ROOM ((size_t)64 << 10)

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

/* Puts n bytes from src, which may lie in the block, behind the first keep bytes of the content: they fit. */
static int buffer_put_in(tierpool_buf *b, size_t keep, const void *src, size_t n)
{
	if (n)
		memmove(b->data + keep, src, n);
	b->len = keep + n;
	return 0;
}

/*
 * Moves the first keep bytes of the content to the beginning of the block, where content was consumed.
 * Returns: where the bytes at src are then, of the content or elsewhere.
 */
static const void *buffer_rewind(tierpool_buf *b, size_t keep, const void *src)
{
	size_t front = tp_bufstate_front(b);
	bool inside = (uintptr_t)src - (uintptr_t)b->data < keep;

	memmove(b->data - front, b->data, keep);
	tp_bufstate_front_set(b, 0);
	return inside ? (const char *)src - front : src;
}

/*
 * As buffer_replace, of more than the capacity. Where content was consumed, that room is used again if no
 * more bytes have to move than were consumed: so consume and append cost a move of each byte at most,
 * and a block becomes no larger than four times the content. And if there is no memory for more.
 */
static tp_cold int buffer_replace_consumed(
	tierpool_buf *b, size_t keep, const void *src, size_t n, size_t need)
{
	size_t front = tp_bufstate_front(b);
	size_t at = (uintptr_t)src - ((uintptr_t)b->data - front);
	/* Of a source in the block that is not all content the move would overwrite something. */
	bool whole = !keep || at >= b->cap + front || (at >= front && at - front + n <= keep);
	bool fits = whole && need <= b->cap + front;

	if (!(fits && keep <= front) && tp_pool_grow(b, keep, src, n, need))
		return 0;
	if (!fits)
		return buffer_stick(b, ENOMEM);
	src = buffer_rewind(b, keep, src);
	return buffer_put_in(b, keep, src, n);
}

/*
 * Keeps the first keep bytes of the content and puts n bytes from src behind them, in a block of at
 * least need bytes. src may lie in the old block.
 */
static int buffer_replace(tierpool_buf *b, size_t keep, const void *src, size_t n, size_t need)
{
	if (need > b->cap) {
		if (tp_unlikely(tp_bufstate_is_consumed(b)))
			return buffer_replace_consumed(b, keep, src, n, need);
		return tp_pool_grow(b, keep, src, n, need) ? 0 : buffer_stick(b, ENOMEM);
	}
	return buffer_put_in(b, keep, src, n);
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
	if (tp_bufstate_is_consumed(b))
		tp_bufstate_front_set(b, 0);
	tp_bufstate_remove(b, TP_STATE_FAILED);
}

int tierpool_buf_consume(tierpool_buf *b, size_t n)
{
	int error = buffer_refuse(b);

	if (error || !n)
		return error;
	if (n > b->len)
		return buffer_stick(b, EINVAL);
	tp_bufstate_note_len(b);
	b->len -= n;
	tp_bufstate_front_set(b, b->len ? tp_bufstate_front(b) + n : 0);
	return 0;
}

void tierpool_buf_clear_error(tierpool_buf *b)
{
	if (b && (tp_bufstate_is_plain(b->tp_state) || tp_misuse_check(b, false)))
		tp_bufstate_remove(b, TP_STATE_FAILED);
}

const char *tierpool_buf_cstr(tierpool_buf *b)
{
	if (tierpool_buf_reserve(b, 1))
		return NULL;
	b->data[b->len] = '\0';
	return b->data;
}

char *tierpool_buf_detach(tierpool_buf *b, size_t *len)
{
	int error = buffer_refuse(b);
	char *copy = error ? NULL : malloc(b->len + 1);

	if (!copy) {
		errno = error ? -error : ENOMEM;
		return NULL;
	}
	memcpy(copy, b->data, b->len);
	copy[b->len] = '\0';
	if (len)
		*len = b->len;
	return copy;
}

tierpool_buf *tierpool_buf_of(const void *data)
{
	TP_KEEP_ERRNO;

	return data ? tp_pool_find(data) : NULL;
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

/* Of a full buffer: what was consumed is room enough, if no more bytes have to move than that. */
static int buffer_room_to_read(tierpool_buf *b, size_t extra)
{
	if (tp_bufstate_front(b) < b->len || !b->len)
		return tierpool_buf_reserve(b, extra);
	buffer_rewind(b, b->len, b->data);
	return 0;
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
			error = buffer_room_to_read(b, tp_min(max - total, READ_ROOM));
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

static ssize_t buffer_write(const void *content, int fd, size_t offset)
{
	const tierpool_buf *b = content;

	return write(fd, b->data + offset, tp_min(b->len - offset, SSIZE_MAX));
}

ssize_t tierpool_buf_write_fd_from(const tierpool_buf *b, int fd, size_t *offset)
{
	int error = buffer_refuse(b);

	return tp_write_out(b, fd, offset, error ? 0 : b->len, error, buffer_write);
}

ssize_t tierpool_buf_write_fd(const tierpool_buf *b, int fd)
{
	return tierpool_buf_write_fd_from(b, fd, NULL);
}
