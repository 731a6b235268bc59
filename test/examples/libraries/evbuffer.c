/* SPDX-License-Identifier: MIT */
/* needs: libevent_core */
/*
 * A hand-off to libevent: an answer is made in a borrowed buffer, and the queue of a connection takes
 * it as it is, without a copy. When libevent has sent it, it calls back, and the buffer is put.
 */
#include <errno.h>
#include <sys/uio.h>

#include <event2/buffer.h>
#include <tierpool.h>

#include "ways.h"

static struct evbuffer *queue; /* what waits to be sent on a connection */

/* In place of evbuffer_write, which would measure a system call: it takes the pieces and drains them. */
static int send_queue(void)
{
	struct evbuffer_iovec pieces[16];
	int n = evbuffer_peek(queue, -1, NULL, pieces, 16);
	for (int i = 0; i < n && i < 16; i++)
		ways_output(pieces[i].iov_base, pieces[i].iov_len);
	return n > 16 || evbuffer_drain(queue, evbuffer_get_length(queue)) ? -EIO : 0;
}

/* ---- libevent: its own way ---- */

static int answer_own(size_t n)
{
	int bad =
		evbuffer_add_printf(queue, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n) < 0;
	for (size_t at = 0; at < n && !bad; at += 100)
		bad = evbuffer_add(queue, ways_text() + at, n - at < 100 ? n - at : 100);
	return bad ? -ENOMEM : send_queue();
}

/* ---- libevent: with tierpool ---- */

static void put_sent(const void *data, size_t length, void *buffer)
{
	(void)data, (void)length;
	tierpool_put(buffer);
}

static int answer_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	tierpool_buf_printf(b, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
	for (size_t at = 0; at < n; at += 100)
		tierpool_buf_append(b, ways_text() + at, n - at < 100 ? n - at : 100);
	int error = tierpool_buf_error(b);
	if (!error && evbuffer_add_reference(queue, b->data, b->len, put_sent, b) != 0)
		error = -ENOMEM;
	if (error)
		tierpool_put(b); /* libevent has not taken it */
	return error ? error : send_queue();
}

/* ---- compare ---- */

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"libevent", answer_own, answer_with_pool, 500},
		{"libevent", answer_own, answer_with_pool, 50000},
	};
	queue = evbuffer_new();
	int status = queue ? ways_main(argc, argv, ways, sizeof ways / sizeof *ways) : 1;
	evbuffer_free(queue);
	return status;
}
