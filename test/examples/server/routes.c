/* SPDX-License-Identifier: MIT */
/*
 * Which path is answered by which function, and the routes that ask nobody else.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server.h"

/* ---- routes ---- */

static unsigned route_hello(const struct request *r, const char *argument, struct answer *a)
{
	(void)r;
	(void)argument;
	struct json *j = json_begin(a->out);
	json_open_map(j);
	json_key(j, "hello");
	json_text(j, "world");
	json_close_map(j);
	return json_end(j);
}

/* The body of the request, as it came. */
static unsigned route_echo(const struct request *r, const char *argument, struct answer *a)
{
	(void)argument;
	answer_type(a, "application/octet-stream");
	tierpool_buf_append(a->out, r->in->data + r->body, r->body_len);
	return HTTP_STATUS_OK;
}

/* /list/N: an array of N maps. */
static unsigned route_list(const struct request *r, const char *argument, struct answer *a)
{
	char *end;
	long n = strtol(argument, &end, 10);
	(void)r;
	if (*end || n < 0 || n > 1000000)
		return HTTP_STATUS_BAD_REQUEST;
	struct json *j = json_begin(a->out);
	json_open_array(j);
	for (long i = 0; i < n; i++) {
		json_open_map(j);
		json_key(j, "number");
		json_number(j, i);
		json_key(j, "text");
		json_text(j, "a \"quoted\" line\n");
		json_close_map(j);
	}
	json_close_array(j);
	return json_end(j);
}

/* /sleep/MILLISECONDS: a worker is busy for so long. For tests. */
static unsigned route_sleep(const struct request *r, const char *argument, struct answer *a)
{
	long ms = strtol(argument, NULL, 10);
	(void)r;
	if (ms < 0 || ms > 10000)
		return HTTP_STATUS_BAD_REQUEST;
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
	answer_type(a, "text/plain");
	tierpool_buf_append_str(a->out, "awake\n");
	return HTTP_STATUS_OK;
}

/* ---- requests that nobody can serve; the body says why ---- */

static unsigned route_wrong(const struct request *r, const char *argument, struct answer *a)
{
	(void)argument;
	(void)a;
	return r->error ? r->error : HTTP_STATUS_NOT_FOUND;
}

static unsigned route_refused(const struct request *r, const char *argument, struct answer *a)
{
	(void)r;
	(void)argument;
	(void)a;
	return HTTP_STATUS_SERVICE_UNAVAILABLE;
}

static struct route wrong = {.run = route_wrong, .site = TIERPOOL_SITE_INIT("wrong")};
struct route route_refuse = {.run = route_refused, .site = TIERPOOL_SITE_INIT("refused")};

/* ---- which is which ---- */

/* clang-format off */
static struct route routes[] = {
	{"/hello",      0, false, route_hello,    TIERPOOL_SITE_INIT("hello")},
	{"/echo",       0, false, route_echo,     TIERPOOL_SITE_INIT("echo")},
	{"/metrics",    0, false, metrics_get,    TIERPOOL_SITE_INIT("metrics")},
	{"/stats",      0, false, stats_get,      TIERPOOL_SITE_INIT("stats")},
	{"/list/",      6, true,  route_list,     TIERPOOL_SITE_INIT("list")},
	{"/sleep/",     7, true,  route_sleep,    TIERPOOL_SITE_INIT("sleep")},
	{"/upstream/", 10, true,  upstream_fetch, TIERPOOL_SITE_INIT("upstream")},
	{"/cached/",    8, true,  cached_get,     TIERPOOL_SITE_INIT("cached")},
	{"/row/",       5, true,  rows_get,       TIERPOOL_SITE_INIT("row")},
};
/* clang-format on */

struct route *route_find(struct request *r, const char **argument)
{
	*argument = NULL;
	if (r->error)
		return &wrong;
	unsigned method = r->parser.method;
	if (method != HTTP_GET && method != HTTP_HEAD && method != HTTP_POST) {
		r->error = HTTP_STATUS_METHOD_NOT_ALLOWED;
		return &wrong;
	}
	const char *path = request_path(r);
	if (!path) {
		r->error = HTTP_STATUS_BAD_REQUEST;
		return &wrong;
	}
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		struct route *found = &routes[i];
		if (found->length ? strncmp(path, found->path, found->length)
				  : strcmp(path, found->path))
			continue;
		*argument = path + found->length;
		return found;
	}
	return &wrong;
}
