/* SPDX-License-Identifier: MIT */
/*
 * One connection: it reads a request, waits for the answer, writes it, and begins again. One request at a
 * time: what a client sends ahead (pipelining) stays in the buffer, or in the socket, until the answer
 * before it is written. So a client that does not read its answers stops being read.
 *
 * epoll reports edges: that there is something to read, once, and not again until all is read. So a
 * connection remembers what was reported, and is registered once for all its life. Writing needs no memory:
 * it tries, and after EAGAIN an edge will come.
 *
 * All of this runs in the loop's thread. While a worker answers, request and answer are the worker's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

/* What a step returns. CLOSED: the connection is gone. */
enum { WAIT, GO_ON, CLOSED };

static tierpool_cache *connections;

static int connection_read(struct connection *c);
static int connection_work(struct connection *c);
static int connection_write(struct connection *c);
static int connection_drain(struct connection *c);

static int connection_close(struct connection *c)
{
	loop_forget(c);
	close(c->fd);
	tierpool_put(c->request.in);
	tierpool_put(c->answer.out);
	tierpool_cache_put(connections, c);
	return CLOSED;
}

/* Receives into size bytes at data; -EAGAIN: there is nothing. Notes when the socket is empty. */
static ssize_t connection_receive(struct connection *c, void *data, size_t size)
{
	if (!c->readable)
		return -EAGAIN;
	ssize_t n = recv(c->fd, data, size, 0);
	if (n < 0 && errno != EAGAIN)
		return -errno;
	/* Less than there was room for: that was all. But the end of the stream is no new edge. */
	if (n < (ssize_t)size)
		c->readable = n > 0 && c->hung_up;
	return n < 0 ? -EAGAIN : n;
}

static int connection_read(struct connection *c)
{
	struct request *r = &c->request;
	if (r->in && r->parsed < r->in->len && request_parse(r)) {
		c->step = connection_work;
		return GO_ON;
	}
	if (!c->readable)
		return WAIT;
	if (!r->in)
		r->in = tierpool_get(requests);
	/* At least one byte, which fills up to the next tier. An announced body: at once. */
	size_t missing = r->body_announced - (r->body_announced ? r->body_len : 0);
	if (tierpool_buf_reserve(r->in, missing ? missing : 1))
		return connection_close(c);
	ssize_t n = connection_receive(c, r->in->data + r->in->len, r->in->cap - r->in->len);
	if (n == 0 || (n < 0 && n != -EAGAIN))
		return connection_close(c);
	if (n > 0) {
		r->in->len += (size_t)n;
		loop_moved(c);
		return GO_ON;
	}
	if (r->in->len == 0) {
		tierpool_put(r->in); /* who only waits holds no buffer */
		r->in = NULL;
	}
	return WAIT;
}

/* The loop's next word about this connection is connection_answered. */
static int connection_work(struct connection *c)
{
	c->step = connection_write;
	c->route = route_find(&c->request, &c->argument);
	c->working = true;
	workers_submit(c);
	return WAIT;
}

static int connection_write(struct connection *c)
{
	struct answer *a = &c->answer;
	if (c->working)
		return WAIT;
	ssize_t n = tierpool_buf_write_fd_from(a->out, c->fd, &a->sent);
	if (n < 0 && n != -EAGAIN)
		return connection_close(c);
	if (n > 0)
		loop_moved(c);
	if (a->sent < a->out->len)
		return WAIT;
	tierpool_put(a->out);
	a->out = NULL;
	bool last = !c->request.keep_alive || loop_is_ending();
	request_end(&c->request);
	c->step = last ? connection_drain : connection_read;
	if (last)
		shutdown(c->fd, SHUT_WR);
	return GO_ON;
}

/*
 * Reads what still comes, until the client closes. A close before that would make the kernel send a reset,
 * which may overtake the answer.
 */
static int connection_drain(struct connection *c)
{
	char rest[4096];
	ssize_t n = connection_receive(c, rest, sizeof rest);
	return n > 0 ? GO_ON : n == -EAGAIN ? WAIT : connection_close(c);
}

static void connection_go_on(struct connection *c)
{
	while (c->step(c) == GO_ON)
		;
}

/* ---- what the loop calls ---- */

void connection_open(int fd)
{
	struct connection *c = tierpool_cache_get(connections);
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct connection){.fd = fd, .step = connection_read};
	request_begin(&c->request);
	if (loop_watch(c))
		connection_close(c);
	else
		count(CONNECTIONS, 1);
}

void connection_event(struct connection *c, uint32_t events)
{
	c->hung_up |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	c->readable |= c->hung_up || events & EPOLLIN;
	connection_go_on(c);
}

void connection_answered(struct connection *c)
{
	c->working = false;
	if (c->answer.out) /* else there was no memory for it */
		connection_go_on(c);
	else
		connection_close(c);
}

void connection_give_up(struct connection *c, bool if_idle)
{
	bool idle = c->step == connection_read && !c->request.in;
	if (!c->working && (idle || !if_idle))
		connection_close(c);
}

static void *connection_create(void *unused)
{
	(void)unused;
	return malloc(sizeof(struct connection));
}

static void connection_destroy(void *unused, void *c)
{
	(void)unused;
	free(c);
}

void connections_start(void)
{
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;
	options.name = "connections";
	options.create = connection_create;
	options.destroy = connection_destroy;
	int error = tierpool_cache_create(&connections, &options);
	if (error)
		fail("connections", strerror(-error));
	http_parser_set_max_header_size(REQUEST_HEAD_MAX);
}

void connections_end(void)
{
	tierpool_cache_destroy(connections);
}
