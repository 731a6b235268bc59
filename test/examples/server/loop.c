/* SPDX-License-Identifier: MIT */
/*
 * The loop: one thread that waits with epoll for the listener, for signals, for workers that are done, and
 * for all connections. It knows nothing of HTTP.
 *
 * Connections are in a list, by when bytes last moved. So those whose patience is over are at its front.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server.h"

enum { EVENTS = 64, ENDING_PATIENCE = 2 };

static int epoll = -1, listener = -1, signals = -1, wakes = -1;
static bool ending, listening;
static struct connection *oldest, *newest;
static int64_t now;

/* ---- the list ---- */

static void loop_link(struct connection *c)
{
	c->moved_at = now;
	c->older = newest;
	c->newer = NULL;
	*(newest ? &newest->newer : &oldest) = c;
	newest = c;
}

static void loop_unlink(struct connection *c)
{
	*(c->older ? &c->older->newer : &oldest) = c->newer;
	*(c->newer ? &c->newer->older : &newest) = c->older;
}

void loop_moved(struct connection *c)
{
	loop_unlink(c);
	loop_link(c);
}

int loop_watch(struct connection *c)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	loop_link(c);
	return epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

void loop_forget(struct connection *c)
{
	loop_unlink(c); /* close(2) takes it out of the epoll */
}

/* Those on which nothing has moved for so many seconds; or of all only the idle ones. */
static void loop_give_up(int64_t patience, bool if_idle)
{
	for (struct connection *c = oldest, *next; c && c->moved_at + patience <= now; c = next) {
		next = c->newer;
		connection_give_up(c, if_idle);
	}
}

/* ---- what it waits for ---- */

/* Its own descriptors are told from connections by the address of the variable. */
static void loop_add(int *fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
	if (*fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, *fd, &event) != 0)
		fail("loop", strerror(errno));
}

static void loop_listen(bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = &listener};
	if (on != listening && epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &event) == 0)
		listening = on;
}

static void loop_accept(void)
{
	int fd, yes = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
		connection_open(fd);
	}
	/* No descriptor or no memory: not again before a second has passed. */
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		loop_listen(false);
}

static void loop_end(void)
{
	ending = true;
	close(listener);
	close(signals); /* more of them say nothing new */
}

void loop_wake(void)
{
	eventfd_write(wakes, 1);
}

bool loop_is_ending(void)
{
	return ending;
}

static void loop_event(const struct epoll_event *event)
{
	eventfd_t sum;
	if (event->data.ptr == &listener)
		loop_accept();
	else if (event->data.ptr == &signals)
		loop_end();
	else if (event->data.ptr == &wakes)
		eventfd_read(wakes, &sum);
	else
		connection_event(event->data.ptr, event->events);
}

void loop_run(void)
{
	while (!ending || oldest) {
		struct epoll_event events[EVENTS];
		struct timespec time;
		int n = epoll_wait(epoll, events, EVENTS, 1000);
		clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
		if (now != time.tv_sec && !ending)
			loop_listen(true);
		now = time.tv_sec;
		for (int i = 0; i < n; i++)
			loop_event(&events[i]);
		/* Behind all events: this may close a connection, of which an event must not tell then. */
		for (struct connection *c = workers_take_done(), *next; c; c = next) {
			next = c->next_done;
			connection_answered(c);
		}
		loop_give_up(ending ? ENDING_PATIENCE : settings.patience, false);
		if (ending)
			loop_give_up(0, true);
	}
	close(wakes);
	close(epoll);
}

/* ---- the start ---- */

static void loop_open_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)settings.port)};
	socklen_t length = sizeof address;
	int yes = 1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
		bind(listener, (struct sockaddr *)&address, length) != 0 ||
		listen(listener, SOMAXCONN) != 0 ||
		getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		fail("port", strerror(errno));
	printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
}

void loop_start(void)
{
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	signals = signalfd(-1, &ends, SFD_CLOEXEC);
	wakes = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop_open_listener();
	loop_add(&signals);
	loop_add(&wakes);
	loop_add(&listener);
	listening = true;
}
