/* SPDX-License-Identifier: MIT */
/* needs: libuv */
/*
 * A libuv reader: each read borrows a buffer. libuv gives the memory back to a callback that knows no
 * more than its address, and tierpool_buf_of finds the buffer.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tierpool.h>
#include <uv.h>

#include "ways.h"

static uv_loop_t loop;
static uv_pipe_t reader;
static int writer;
static size_t missing; /* bytes that were written and have not been read */

/* Writes n bytes, and has the loop read them. 0 or -errno. */
static int receive(size_t n, uv_alloc_cb lend, uv_read_cb take)
{
	if (write(writer, ways_text(), n) != (ssize_t)n)
		return -EIO;
	missing = n;
	int error = uv_read_start((uv_stream_t *)&reader, lend, take);
	while (missing && !error)
		error = uv_run(&loop, UV_RUN_ONCE) ? 0 : -EPIPE;
	uv_read_stop((uv_stream_t *)&reader);
	return error;
}

static void note_read(const char *data, ssize_t n)
{
	if (n <= 0)
		return; /* 0: nothing there after all. A reader stops at UV_EOF and errors */
	ways_output(data, (size_t)n);
	missing -= (size_t)n;
}

/* ---- libuv: its own way ---- */

static void lend_own(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	(void)handle;
	*out = uv_buf_init(malloc(suggested), (unsigned)suggested);
}

static void take_own(uv_stream_t *stream, ssize_t n, const uv_buf_t *lent)
{
	(void)stream;
	note_read(lent->base, n);
	free(lent->base);
}

static int read_own(size_t n)
{
	return receive(n, lend_own, take_own);
}

/* ---- libuv: with tierpool ---- */

static void lend_buf(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	tierpool_buf *b = tierpool_get_sized(tierpool_default(), suggested);
	(void)handle;
	*out = b ? uv_buf_init(b->data, (unsigned)b->cap) : uv_buf_init(NULL, 0); /* UV_ENOBUFS */
}

static void take_buf(uv_stream_t *stream, ssize_t n, const uv_buf_t *lent)
{
	tierpool_buf *b = tierpool_buf_of(lent->base);
	(void)stream;
	if (n > 0)
		b->len = (size_t)n;
	note_read(lent->base, n);
	tierpool_put(b); /* or hands it to a worker, which puts it */
}

static int read_with_pool(size_t n)
{
	return receive(n, lend_buf, take_buf);
}

/* ---- compare ---- */

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"libuv", read_own, read_with_pool, 500},
		{"libuv", read_own, read_with_pool, 60000},
	};
	int fd[2];
	if (uv_loop_init(&loop) || uv_pipe_init(&loop, &reader, 0) ||
		socketpair(AF_UNIX, SOCK_STREAM, 0, fd) || uv_pipe_open(&reader, fd[0]))
		return 1;
	writer = fd[1];
	int status = ways_main(argc, argv, ways, sizeof ways / sizeof *ways);
	uv_close((uv_handle_t *)&reader, NULL);
	close(writer);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop) ? 1 : status;
}
