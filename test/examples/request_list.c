/* SPDX-License-Identifier: MIT */
/*
 * A server that takes its requests from a list, as Go's net/rpc does.
 *
 * The reader takes a request for each message and queues it; a worker serves it, replies, and puts
 * it back from its own thread. Requests all have one size, so they come from a cache of objects.
 * Their texts have any length, so each request borrows a buffer while it is served. A request that
 * is not used any more is freed after two ticks; net/rpc keeps it.
 */
#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <tierpool.h>

#include "example.h"

enum { CLIENT, READER, WORKERS = 4, THREADS = 2 + WORKERS, REQUESTS = 20000, WINDOW = 64 };

/* It belongs to the reader, then the queue, then a worker. While it is idle it has no buffer. */
struct request {
	struct request *next; /* in the queue */
	int from;
	tierpool_buf *text;
};

static tierpool *pool;
static tierpool_cache *requests;
static atomic_uint created, destroyed;
static atomic_int failed;
static int client_fd, server_fd;

static void *request_create(void *unused)
{
	(void)unused;
	atomic_fetch_add(&created, 1);
	return malloc(sizeof(struct request));
}

static void request_destroy(void *unused, void *request)
{
	(void)unused;
	atomic_fetch_add(&destroyed, 1);
	free(request);
}

static struct request *request_get(int from)
{
	struct request *r = tierpool_cache_get(requests);
	if (r) /* its last user's values are still in it */
		*r = (struct request){.from = from, .text = tierpool_get(pool)};
	return r;
}

static void request_put(struct request *r)
{
	tierpool_put(r->text);
	tierpool_cache_put(requests, r);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over the queue, which is: */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct request *first, **last = &first;
static bool closed;

/* NULL: the last one has been pushed. */
static void queue_push(struct request *r)
{
	pthread_mutex_lock(&lock);
	if (r) {
		*last = r;
		last = &r->next;
	}
	closed = !r;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static struct request *queue_pop(void)
{
	pthread_mutex_lock(&lock);
	while (!first && !closed)
		pthread_cond_wait(&changed, &lock);
	struct request *r = first;
	if (r && !(first = r->next))
		last = &first;
	pthread_mutex_unlock(&lock);
	return r;
}

/* Appends the next message, of any length. Returns its bytes, 0 at the end, or -errno. */
static int receive(int fd, tierpool_buf *into)
{
	ssize_t n = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	int error = tierpool_buf_reserve(into, (size_t)n);
	if (error)
		return error;
	n = recv(fd, into->data + into->len, (size_t)n, 0);
	if (n > 0)
		into->len += (size_t)n;
	return n < 0 ? -errno : (int)n;
}

static int send_message(int fd, const tierpool_buf *message)
{
	int error = tierpool_buf_error(message);
	if (!error && send(fd, message->data, message->len, MSG_NOSIGNAL) < 0)
		error = -errno;
	return error;
}

static int read_requests(void)
{
	struct request *r;
	int n = -ENOMEM;
	while ((r = request_get(server_fd)) && (n = receive(server_fd, r->text)) > 0)
		queue_push(r);
	if (r)
		request_put(r);
	queue_push(NULL);
	return r ? n : -ENOMEM;
}

static void text_serve(tierpool_buf *text)
{
	for (size_t i = 0; i < text->len; i++)
		text->data[i] = (char)toupper((unsigned char)text->data[i]);
}

/* Ends all waits. Of several errors it keeps the first, because the others follow from it. */
static void stop(int error)
{
	int none = 0;
	atomic_compare_exchange_strong(&failed, &none, error);
	shutdown(server_fd, SHUT_RDWR);
}

static void serve_requests(void)
{
	for (struct request *r; (r = queue_pop());) {
		text_serve(r->text);
		int error = send_message(r->from, r->text);
		if (error)
			stop(error);
		request_put(r);
	}
}

/* The request of that number. 0 or -errno. */
static int append_request(tierpool_buf *out, unsigned number)
{
	tierpool_buf_printf(out, "%u ", number);
	for (unsigned i = 0; i < number * 37 % 2003; i++)
		tierpool_buf_append_byte(out, (char)('a' + (number + i) % 26));
	return tierpool_buf_error(out);
}

static int ask(unsigned number)
{
	tierpool_buf *text = tierpool_get(pool);
	int error = append_request(text, number);
	if (!error)
		error = send_message(client_fd, text);
	tierpool_put(text);
	return error;
}

/* Receives a reply. It must be the right one to a request, and the only one. */
static int check_reply(void)
{
	static bool answered[REQUESTS];
	tierpool_buf *reply = tierpool_get(pool), *expected = tierpool_get(pool);
	int n = receive(client_fd, reply);
	int error = n < 0 ? n : n == 0 ? -EPIPE : tierpool_buf_cstr(reply) ? 0 : -ENOMEM;
	unsigned number = error ? REQUESTS : (unsigned)strtoul(reply->data, NULL, 10);
	if (!error && (number >= REQUESTS || answered[number]))
		error = -EBADMSG;
	if (!error)
		error = append_request(expected, number);
	if (!error) {
		answered[number] = true;
		text_serve(expected);
		error = example_same(reply, expected) ? 0 : -EBADMSG;
	}
	tierpool_put(expected);
	tierpool_put(reply);
	return error;
}

static int ask_all(void)
{
	unsigned asked = 0;
	int error = 0;
	for (unsigned replies = 0; replies < REQUESTS && !error; replies++) {
		while (asked < REQUESTS && asked - replies < WINDOW && !error)
			error = ask(asked++);
		if (!error)
			error = check_reply();
	}
	return error;
}

static int run(unsigned number)
{
	if (number == CLIENT)
		stop(ask_all());
	else if (number == READER)
		stop(read_requests());
	else
		serve_requests();
	return failed;
}

int main(void)
{
	int fd[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) != 0) {
		perror("request_list: socketpair");
		return 1;
	}
	client_fd = fd[0];
	server_fd = fd[1];
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;
	options.create = request_create;
	options.destroy = request_destroy;
	int error = tierpool_create(&pool, NULL);
	if (!error)
		error = tierpool_cache_create(&requests, &options);
	if (!error) {
		error = example_threads(THREADS, run, stop);
		tierpool_cache_destroy(requests);
		if (!error)
			printf("%d requests in %u objects\n", REQUESTS, (unsigned)created);
	}
	if (!error && (created > REQUESTS / 2 || destroyed != created))
		error = -EBADMSG;
	return example_end("request_list", pool, error);
}
