/* SPDX-License-Identifier: MIT */
/*
 * What the files of the server give each other, a section for each file. A request comes in through
 * loop.c and connection.c, is parsed by http.c and answered by a route of routes.c, mostly in a thread of
 * workers.c; then the loop writes the answer.
 */
#ifndef SERVER_H
#define SERVER_H

#include <http_parser.h>
#include <stdbool.h>
#include <stdint.h>

#include <tierpool.h>

/* ---- main.c: what the command line says, and the pools ---- */

struct settings {
	long port;             /* on 127.0.0.1; 0: any that is free */
	long workers;          /* threads, and connections to memcached and to the database */
	long queue;            /* requests that may wait for a worker */
	long patience;         /* seconds until a connection on which nothing moves is closed */
	const char *upstream;  /* http://HOST:PORT, or NULL */
	const char *memcached; /* HOST:PORT, or the path of a socket, or NULL */
	const char *database;  /* a file */
};
extern struct settings settings;

/*
 * Two pools under one budget. A connection holds a buffer of requests while bytes of a request are there,
 * and one of answers until its answer is written; a connection that waits holds none.
 */
extern tierpool *requests, *answers;

/* Prints what failed, with the reason, and ends the process. For the start only. */
void fail(const char *what, const char *why) __attribute__((noreturn));

/* ---- http.c: bytes to a request, an answer to bytes ---- */

enum { REQUEST_HEAD_MAX = 32 << 10, REQUEST_BODY_MAX = 256 << 10, ANSWER_HEAD_MAX = 192 };

/* Places in the buffer are offsets: data moves when the buffer grows. */
struct request {
	http_parser parser;
	tierpool_buf *in; /* this request, and what came behind it; NULL: nothing is there */
	size_t parsed;    /* bytes of in that the parser has seen */
	size_t target, target_len;
	size_t body, body_len, body_announced;
	unsigned error; /* the status of the answer, if the request cannot be served */
	bool complete, keep_alive;
};

struct answer {
	tierpool_buf *out; /* room for the head, and then the body */
	size_t sent;       /* bytes of out that need not be sent any more */
	unsigned status;
	char type[64];
};

void request_begin(struct request *r);
/* Parses what has come. True: the request is complete, or has an error. */
bool request_parse(struct request *r);
/* The path, a string in the request's buffer; NULL if there is none. Once: it overwrites the byte behind. */
const char *request_path(struct request *r);
/* Takes the request off the front of the buffer; what came behind it stays. */
void request_end(struct request *r);
/* Makes an empty answer of at least ANSWER_HEAD_MAX bytes: the body is appended by tierpool_buf_ calls. */
void answer_begin(struct answer *a, tierpool_site *site);
void answer_type(struct answer *a, const char *type);
/*
 * Writes the head before the body. An error without a body gets one. False: there is no memory even for
 * that.
 */
bool answer_end(struct answer *a, const struct request *r);
/* In place of what was appended, if anything: the status and its name. Returns the status. */
unsigned answer_error(struct answer *a, unsigned status);

/* ---- connection.c ---- */

struct connection {
	int fd;
	int (*step)(struct connection *c); /* what comes next; see connection_go_on */
	bool readable, hung_up;            /* the last that epoll has said */
	bool working;                      /* a worker has it */
	struct request request;
	struct route *route; /* of the request, and what it is asked for */
	const char *argument;
	struct answer answer;
	struct connection *older, *newer; /* in the loop's list */
	struct connection *next_done;     /* in the workers' list */
	int64_t moved_at;                 /* seconds */
};

void connections_start(void);
void connections_end(void);
void connection_open(int fd);
void connection_event(struct connection *c, uint32_t events);
/* Its request has been answered. */
void connection_answered(struct connection *c);
/* Closes it, unless a worker has it, or, if_idle, if any part of a request is there. */
void connection_give_up(struct connection *c, bool if_idle);

/* ---- loop.c: one thread that waits for all connections ---- */

void loop_start(void);
/* Serves until SIGTERM or SIGINT, then until no request is left. */
void loop_run(void);
/* Has a connection watched; it is in the list of all, the one that moved last at the end. */
int loop_watch(struct connection *c);
/* Bytes have come or gone. */
void loop_moved(struct connection *c);
void loop_forget(struct connection *c);
/* From any thread: wakes the loop, which then takes what workers have done. */
void loop_wake(void);
bool loop_is_ending(void);

/* ---- workers.c: threads that answer ---- */

void workers_start(void);
/* Waits for those at work. */
void workers_end(void);
/* Answers at once if the route does not wait, or hands over to a worker, or refuses with 503. */
void workers_submit(struct connection *c);
/* The connections that were answered since the last call, in a list by next_done. */
struct connection *workers_take_done(void);

/* ---- routes.c ---- */

/*
 * Appends the body to a->out, whose type is JSON unless the route sets another, and returns the status.
 * argument: the path behind the route's own.
 */
typedef unsigned route_function(const struct request *r, const char *argument, struct answer *a);

struct route {
	const char *path;
	size_t length; /* of path, if the route has an argument; else 0 */
	bool waits;    /* it is answered by a worker */
	route_function *run;
	tierpool_site site; /* learns how large its answers are */
};

/* Finds the route of a request, and its argument. There is one for every request, also a wrong one. */
struct route *route_find(struct request *r, const char **argument);
extern struct route route_refuse; /* 503 */

/* ---- json.c: yajl that writes to a buffer ---- */

/* Begins a text that is appended to out; NULL: no memory. The json_ calls take that NULL. */
struct json *json_begin(tierpool_buf *out);
void json_open_map(struct json *j);
void json_open_array(struct json *j);
void json_close_map(struct json *j);
void json_close_array(struct json *j);
void json_key(struct json *j, const char *key);
void json_text(struct json *j, const char *text);
void json_number(struct json *j, long long number);
/* The status of the answer: 200, or 500 if the text is not whole. */
unsigned json_end(struct json *j);
void json_start(void);
void json_stop(void);

/* ---- upstream.c, cached.c, rows.c: what is asked of others ---- */

void upstream_start(void);
void upstream_stop(void);
route_function upstream_fetch;
void cached_start(void);
void cached_stop(void);
route_function cached_get;
void rows_start(void);
void rows_stop(void);
route_function rows_get;

/* ---- metrics.c ---- */

enum counter {
	ANSWERS_2XX,
	ANSWERS_4XX,
	ANSWERS_5XX,
	REFUSED,
	CONNECTIONS,
	UPSTREAM_FETCHES,
	UPSTREAM_CONNECTS,
	CACHED_HITS,
	CACHED_FILLS,
	ROW_CONNECTS,
	COUNTERS
};
void count(enum counter which, unsigned long n);
route_function metrics_get, stats_get;

#endif
