/* SPDX-License-Identifier: MIT */
/*
 * A server that Prometheus scrapes: it answers GET /metrics with the numbers of all its pools, caches
 * and budgets. Its threads use some meanwhile, of which two have one name, and one a name that wants
 * to break the format.
 *
 * usage: metrics_server [PORT SECONDS]
 *
 * PORT 0: any that is free. The first line that it prints is "port N". Without arguments it asks itself
 * once.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <tierpool.h>

#include "example.h"

enum { SERVER, WORKERS = 2, POOLS = 3, REQUEST_MAX = 8192 };

static const char *const names[POOLS] = {"kitchen", "kitchen", "q\"u\\o\nte{} \xff \xc3\xa9"};
static tierpool *pools[POOLS];
static tierpool_cache *plates;
static int listener, own_port;
static long seconds;
static bool alone; /* no arguments: asks itself */
static atomic_bool ended;

/* ---- what a program needs to be scraped ---- */

/* All metrics, as the body of an answer. 0 or -errno. */
static int append_metrics(tierpool_buf *body)
{
	FILE *stream = tierpool_buf_open(body);
	int error = stream ? tierpool_metrics_write(stream) : -errno;
	if (stream && fclose(stream) != 0 && !error)
		error = -errno;
	return error;
}

static int append_answer(tierpool_buf *answer, const tierpool_buf *request)
{
	tierpool_buf *body = tierpool_get(tierpool_default());
	const char *status = "404 Not Found";
	int error = body ? 0 : -ENOMEM;
	if (!error && strncmp(request->data, "GET /metrics ", 13) == 0) {
		status = "200 OK";
		error = append_metrics(body);
	}
	if (error) {
		status = "500 Internal Server Error";
		tierpool_buf_reset(body);
	}
	tierpool_buf_printf(answer,
		"HTTP/1.1 %s\r\n"
		"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		"Content-Length: %zu\r\n"
		"Connection: close\r\n\r\n",
		status, body ? body->len : 0);
	if (body)
		tierpool_buf_append(answer, body->data, body->len);
	tierpool_put(body);
	return tierpool_buf_error(answer);
}

/* Reads up to the empty line that ends a request. */
static int read_request(int client, tierpool_buf *request)
{
	while (request->len < REQUEST_MAX) {
		int error = tierpool_buf_reserve(request, 1024);
		ssize_t n = error ? error : recv(client, request->data + request->len, 1023, 0);
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		request->len += (size_t)n;
		const char *text = tierpool_buf_cstr(request);
		if (text && strstr(text, "\r\n\r\n"))
			return 0;
	}
	return -E2BIG;
}

static int answer_client(int client)
{
	struct timeval patience = {.tv_sec = 5};
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	tierpool_buf *request = tierpool_get(tierpool_default());
	tierpool_buf *answer = tierpool_get(tierpool_default());
	int error = read_request(client, request);
	if (!error)
		error = append_answer(answer, request);
	if (!error && tierpool_buf_write_fd(answer, client) < (ssize_t)answer->len)
		error = -EPIPE;
	tierpool_put(answer);
	tierpool_put(request);
	return error;
}

/* ---- the program around it ---- */

static time_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static int serve(void)
{
	int error = 0;
	for (time_t until = now() + seconds; now() < until && !(alone && ended);) {
		struct pollfd wait = {.fd = listener, .events = POLLIN};
		int client = poll(&wait, 1, 100) > 0 ? accept(listener, NULL, NULL) : -1;
		if (client < 0)
			continue;
		error = answer_client(client);
		close(client);
		if (error && alone)
			break;
	}
	ended = true;
	return alone ? error : 0; /* a client that went away is no fault of a server */
}

/* Some hundred times a second: borrows from each pool, and takes an object. */
static int work(unsigned number)
{
	unsigned size = 100;
	while (!ended) {
		for (unsigned i = 0; i < POOLS; i++) {
			size = size * 7 % 100003;
			tierpool_buf *b = tierpool_get_sized(pools[i], size);
			tierpool_buf_printf(b, "%u is at work", number);
			if (tierpool_buf_error(b))
				return tierpool_buf_error(b);
			tierpool_put(b);
		}
		void *plate = tierpool_cache_get(plates);
		if (!plate)
			return -ENOMEM;
		tierpool_cache_put(plates, plate);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return 0;
}

/* Asks for the metrics, once. */
static int ask(void)
{
	static const char get[] = "GET /metrics HTTP/1.1\r\n\r\n", end[] = "\n# EOF\n";
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)own_port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	tierpool_buf *answer = tierpool_get(tierpool_default());
	int error = 0;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
		send(fd, get, sizeof get - 1, MSG_NOSIGNAL) < 0)
		error = -errno;
	if (!error && tierpool_buf_read_fd(answer, fd, 1 << 20) < 0)
		error = -EPIPE;
	if (!error && (strncmp(answer->data, "HTTP/1.1 200 OK\r\n", 17) != 0 ||
			      !strstr(tierpool_buf_cstr(answer), end) ||
			      !strstr(answer->data, "tierpool_gets_total{pool=\"kitchen\"")))
		error = -EBADMSG;
	tierpool_put(answer);
	if (fd >= 0)
		close(fd);
	ended = true;
	return error;
}

static int run(unsigned number)
{
	return number == SERVER ? serve() : number <= WORKERS ? work(number) : ask();
}

static void stop(int error)
{
	(void)error;
	ended = true;
}

static int open_listener(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
	socklen_t length = sizeof address;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 ||
		listen(listener, 16) != 0 ||
		getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		return -errno;
	own_port = ntohs(address.sin_port);
	printf("port %d\n", own_port);
	fflush(stdout);
	return 0;
}

static void *make_plate(void *unused)
{
	(void)unused;
	return malloc(100);
}

static void break_plate(void *unused, void *plate)
{
	(void)unused;
	free(plate);
}

static int make_all(tierpool_budget *budget)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	struct tierpool_cache_options cache_options = TIERPOOL_CACHE_OPTIONS_INIT;
	int error = 0;
	options.budget = budget;
	for (unsigned i = 0; i < POOLS && !error; i++) {
		options.name = names[i];
		error = tierpool_create(&pools[i], &options);
	}
	cache_options.name = "plates";
	cache_options.create = make_plate;
	cache_options.destroy = break_plate;
	return error ? error : tierpool_cache_create(&plates, &cache_options);
}

int main(int argc, char **argv)
{
	tierpool_budget *budget = NULL;
	alone = argc < 3;
	seconds = alone ? 60 : strtol(argv[2], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	int error = tierpool_budget_create_named(&budget, 8 << 20, "house");
	if (!error)
		error = make_all(budget);
	if (!error)
		error = open_listener(alone ? 0 : (int)strtol(argv[1], NULL, 10));
	if (!error)
		error = example_threads(1 + WORKERS + alone, run, stop);
	tierpool_cache_destroy(plates);
	for (unsigned i = 1; i < POOLS; i++)
		tierpool_destroy(pools[i]);
	tierpool_budget_destroy(budget);
	return example_end("metrics_server", pools[0], error);
}
