/* SPDX-License-Identifier: MIT */
/*
 * The stdio stream of a buffer. Owns the memory of a secret's stream; what is written goes the way of
 * tierpool_buf_append.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool/buffer.h>

#include "memory/bufstate.h"
#include "pool/misuse.h"

/* Bytes of memory that the stream of a secret has: a line of text; longer ones are written in pieces. */
#define SECRET_STREAM 1024

static ssize_t stream_write(void *cookie, const char *bytes, size_t n)
{
	int error = tierpool_buf_append(cookie, bytes, n);

	if (!error)
		return (ssize_t)n;
	errno = -error;
	return 0; /* fopencookie(3): how a write says that it failed */
}

/* ftell, and a seek to the end, where the stream always is. */
static int stream_seek(void *cookie, off_t *offset, int whence)
{
	const tierpool_buf *b = cookie;
	off_t end;

	if (!tp_misuse_check(b, false)) {
		errno = EINVAL;
		return -1;
	}
	end = (off_t)b->len;
	if (*offset != (whence == SEEK_SET ? end : 0)) {
		errno = EINVAL;
		return -1;
	}
	*offset = end;
	return 0;
}

static int stream_close(void *cookie)
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
struct stream_secret {
	tierpool_buf *b;
	char bytes[SECRET_STREAM];
};

static ssize_t stream_secret_write(void *cookie, const char *bytes, size_t n)
{
	struct stream_secret *secret = cookie;

	return stream_write(secret->b, bytes, n);
}

static int stream_secret_seek(void *cookie, off_t *offset, int whence)
{
	struct stream_secret *secret = cookie;

	return stream_seek(secret->b, offset, whence);
}

static int stream_secret_close(void *cookie)
{
	struct stream_secret *secret = cookie;
	tierpool_buf *b = secret->b;

	explicit_bzero(secret->bytes, sizeof secret->bytes);
	free(secret);
	return stream_close(b);
}

static FILE *stream_secret_open(tierpool_buf *b)
{
	struct stream_secret *secret = malloc(sizeof *secret);
	FILE *stream = NULL;

	if (secret)
		stream = fopencookie(secret, "a",
			(cookie_io_functions_t){.write = stream_secret_write,
				.seek = stream_secret_seek,
				.close = stream_secret_close});
	if (!stream) {
		free(secret);
		return NULL;
	}
	secret->b = b;
	setvbuf(stream, secret->bytes, _IOFBF, sizeof secret->bytes);
	return stream;
}

static FILE *stream_plain_open(tierpool_buf *b)
{
	return fopencookie(b, "a",
		(cookie_io_functions_t){
			.write = stream_write, .seek = stream_seek, .close = stream_close});
}

FILE *tierpool_buf_open(tierpool_buf *b)
{
	int error = tierpool_buf_error(b);
	FILE *stream;

	if (!error && tp_bufstate_has(b, TP_STATE_STREAM))
		error = -EBUSY;
	if (error) {
		errno = -error;
		return NULL;
	}
	stream = tp_bufstate_has(b, TP_STATE_SECRET) ? stream_secret_open(b) : stream_plain_open(b);
	if (!stream) {
		errno = ENOMEM;
		return NULL;
	}
	tp_bufstate_add(b, TP_STATE_STREAM);
	return stream;
}
