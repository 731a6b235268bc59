/* SPDX-License-Identifier: MIT */
/*
 * A server's output: header, body and trailer of a response each in a buffer of its own, sent by
 * writev without copying them together.
 *
 * The header comes first on the wire and is known last, after the body. Three buffers need no
 * second pass. The socket does not block, so a writev may take any part of what it was given.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <tierpool.h>

#include "example.h"

enum { RESPONSES = 500, HEADER = 0, BODY, TRAILER, PARTS };

struct sender {
	int fd, error;
	unsigned calls;
};

static tierpool *pool;

/* Borrows the parts of a response and fills them. response_put must follow, also after an error. */
static int response_get(tierpool_buf *part[PARTS], unsigned number)
{
	unsigned lines = 1 + number * 37 % 1009;
	part[HEADER] = tierpool_get(pool);
	part[BODY] = tierpool_get(pool);
	part[TRAILER] = tierpool_get(pool);
	for (unsigned i = 0; i < lines; i++)
		tierpool_buf_printf(part[BODY], "response %u, line %u\n", number, i);
	int error = tierpool_buf_error(part[BODY]);
	if (error)
		return error;
	tierpool_buf_append_str(part[HEADER], "HTTP/1.1 200 OK\r\nTrailer: Lines\r\n");
	tierpool_buf_append_str(part[HEADER], "Transfer-Encoding: chunked\r\n\r\n");
	tierpool_buf_printf(part[HEADER], "%zx\r\n", part[BODY]->len);
	tierpool_buf_printf(part[TRAILER], "\r\n0\r\nLines: %u\r\n\r\n", lines);
	error = tierpool_buf_error(part[HEADER]);
	return error ? error : tierpool_buf_error(part[TRAILER]);
}

static void response_put(tierpool_buf *part[PARTS])
{
	for (int i = 0; i < PARTS; i++)
		tierpool_put(part[i]);
}

/* Writes all parts, in as few calls as the socket allows. 0 or -errno. */
static int response_write(struct sender *s, tierpool_buf *const part[PARTS])
{
	struct iovec iov[PARTS], *next = iov, *const end = iov + PARTS;
	for (int i = 0; i < PARTS; i++)
		iov[i] = (struct iovec){part[i]->data, part[i]->len};
	while (next < end) {
		ssize_t n = writev(s->fd, next, (int)(end - next));
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){.fd = s->fd, .events = POLLOUT}, 1, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			continue;
		s->calls++;
		size_t done = (size_t)n;
		for (; next < end && done >= next->iov_len; next++)
			done -= next->iov_len;
		if (next < end) {
			next->iov_base = (char *)next->iov_base + done;
			next->iov_len -= done;
		}
	}
	return 0;
}

static void *send_responses(void *argument)
{
	struct sender *s = argument;
	for (unsigned i = 0; i < RESPONSES && !s->error; i++) {
		tierpool_buf *part[PARTS];
		s->error = response_get(part, i);
		if (!s->error)
			s->error = response_write(s, part);
		response_put(part);
	}
	close(s->fd); /* the reader's end of file, whatever happened here */
	return NULL;
}

/* Reads what the sender sent and compares it with what it should have sent. 0 or -errno. */
static int receive_responses(int fd)
{
	tierpool_buf *in = tierpool_get(pool);
	int error = 0;
	for (unsigned i = 0; i < RESPONSES && !error; i++) {
		tierpool_buf *part[PARTS];
		error = response_get(part, i);
		for (int k = 0; k < PARTS && !error; k++) {
			tierpool_buf_reset(in);
			ssize_t n = tierpool_buf_read_fd(in, fd, part[k]->len);
			if (n < 0)
				error = (int)n;
			else if (!example_same(in, part[k]))
				error = -EBADMSG;
		}
		response_put(part);
	}
	if (!error && tierpool_buf_read_fd(in, fd, 1) != 0)
		error = -EBADMSG;
	tierpool_put(in);
	return error;
}

int main(void)
{
	int fd[2], small = 4096; /* bytes; so small that a long body takes several calls */
	signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0 ||
		setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) != 0 ||
		fcntl(fd[0], F_SETFL, O_NONBLOCK) != 0) {
		perror("gather_write: socket");
		return 1;
	}
	struct sender sender = {.fd = fd[0]};
	pthread_t thread;
	int error = tierpool_create(&pool, NULL);
	if (!error)
		error = -pthread_create(&thread, NULL, send_responses, &sender);
	if (!error) {
		error = receive_responses(fd[1]);
		close(fd[1]); /* a sender that still writes gets EPIPE */
		pthread_join(thread, NULL);
		error = sender.error && sender.error != -EPIPE ? sender.error : error;
	}
	if (!error)
		printf("%d responses in %u calls of writev\n", RESPONSES, sender.calls);
	if (!error && sender.calls <= RESPONSES)
		error = -EBADMSG;
	return example_end("gather_write", pool, error);
}
