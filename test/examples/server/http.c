/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1: from the bytes of a buffer to a request, by http_parser, and from an answer to bytes. It reads
 * and writes no socket.
 *
 * A request stays where it was read. Its head is contiguous there, so the target is an offset and a
 * length. A body in chunks is not: each piece is moved up to the one before it, over the chunk's head.
 *
 * An answer is one buffer. Its head is known last, with the length of the body: so ANSWER_HEAD_MAX bytes
 * are left free at the front, and the head is written to end where the body begins.
 */
#include <stdio.h>
#include <string.h>

#include "server.h"

/* ---- requests ---- */

static size_t http_offset(const struct request *r, const char *at)
{
	return (size_t)(at - r->in->data);
}

static int http_on_target(http_parser *parser, const char *at, size_t n)
{
	struct request *r = parser->data;
	if (!r->target_len)
		r->target = http_offset(r, at);
	r->target_len += n;
	return 0;
}

static int http_fail(struct request *r, unsigned status)
{
	r->error = status;
	return -1; /* the parser stops here */
}

static int http_on_head(http_parser *parser)
{
	struct request *r = parser->data;
	if (parser->content_length == UINT64_MAX) /* none, or it comes in chunks */
		return 0;
	if (parser->content_length > REQUEST_BODY_MAX)
		return http_fail(r, HTTP_STATUS_PAYLOAD_TOO_LARGE);
	r->body_announced = parser->content_length;
	return 0;
}

static int http_on_body(http_parser *parser, const char *at, size_t n)
{
	struct request *r = parser->data;
	if (r->body_len + n > REQUEST_BODY_MAX)
		return http_fail(r, HTTP_STATUS_PAYLOAD_TOO_LARGE);
	if (!r->body_len)
		r->body = http_offset(r, at);
	memmove(r->in->data + r->body + r->body_len, at, n);
	r->body_len += n;
	return 0;
}

static int http_on_complete(http_parser *parser)
{
	struct request *r = parser->data;
	r->complete = true;
	r->keep_alive = http_should_keep_alive(parser);
	http_parser_pause(parser, 1); /* what follows is the next request */
	return 0;
}

void request_begin(struct request *r)
{
	tierpool_buf *in = r->in;
	*r = (struct request){.in = in};
	http_parser_init(&r->parser, HTTP_REQUEST);
	r->parser.data = r;
}

bool request_parse(struct request *r)
{
	static const http_parser_settings callbacks = {.on_url = http_on_target,
		.on_headers_complete = http_on_head,
		.on_body = http_on_body,
		.on_message_complete = http_on_complete};
	size_t fresh = r->in->len - r->parsed;
	r->parsed += http_parser_execute(&r->parser, &callbacks, r->in->data + r->parsed, fresh);
	if (r->complete)
		return true;
	enum http_errno error = HTTP_PARSER_ERRNO(&r->parser);
	if (error == HPE_HEADER_OVERFLOW)
		r->error = HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE;
	else if (error != HPE_OK && !r->error)
		r->error = HTTP_STATUS_BAD_REQUEST;
	else if (r->body_len) /* the heads of chunks are not needed any more */
		r->in->len = r->parsed = r->body + r->body_len;
	return r->error != 0;
}

const char *request_path(struct request *r)
{
	struct http_parser_url url;
	char *target = r->in->data + r->target;
	http_parser_url_init(&url);
	if (http_parser_parse_url(target, r->target_len, 0, &url) ||
		!(url.field_set & 1 << UF_PATH))
		return NULL;
	char *path = target + url.field_data[UF_PATH].off;
	size_t length = url.field_data[UF_PATH].len;
	for (size_t i = 0; i < length; i++)
		if (path[i] <= ' ' || path[i] > '~') /* a path is ASCII, so it may stand in JSON */
			return NULL;
	path[length] = 0;
	return path;
}

void request_end(struct request *r)
{
	if (r->parsed == r->in->len) {
		tierpool_put(r->in);
		r->in = NULL;
	} else {
		tierpool_buf_consume(r->in, r->parsed);
	}
	request_begin(r);
}

/* ---- answers ---- */

static void answer_leave_room(struct answer *a)
{
	if (!tierpool_buf_reserve(a->out, ANSWER_HEAD_MAX))
		a->out->len = ANSWER_HEAD_MAX;
}

void answer_begin(struct answer *a, tierpool_site *site)
{
	*a = (struct answer){.out = tierpool_get_at(answers, 0, site), .type = "application/json"};
	answer_leave_room(a);
}

void answer_type(struct answer *a, const char *type)
{
	snprintf(a->type, sizeof a->type, "%s", type);
}

unsigned answer_error(struct answer *a, unsigned status)
{
	tierpool_buf_reset(a->out);
	answer_leave_room(a);
	tierpool_buf_printf(a->out, "%u %s\n", status, http_status_str((enum http_status)status));
	answer_type(a, "text/plain");
	return status;
}

bool answer_end(struct answer *a, const struct request *r)
{
	char head[ANSWER_HEAD_MAX];
	if (tierpool_buf_error(a->out))
		a->status = answer_error(a, HTTP_STATUS_INTERNAL_SERVER_ERROR);
	else if (a->status >= 400 && a->out->len == ANSWER_HEAD_MAX)
		answer_error(a, a->status);
	if (tierpool_buf_error(a->out))
		return false;
	int length = snprintf(head, sizeof head,
		"HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: "
		"%s\r\n\r\n",
		a->status, http_status_str((enum http_status)a->status), a->type,
		a->out->len - ANSWER_HEAD_MAX, r->keep_alive ? "keep-alive" : "close");
	if (length >= ANSWER_HEAD_MAX) /* no: type has 63 bytes at most */
		return false;
	a->sent = ANSWER_HEAD_MAX - (size_t)length;
	memcpy(a->out->data + a->sent, head, (size_t)length);
	if (r->parser.method == HTTP_HEAD)
		a->out->len = ANSWER_HEAD_MAX;
	count(a->status < 400 ? ANSWERS_2XX : a->status < 500 ? ANSWERS_4XX : ANSWERS_5XX, 1);
	return true;
}
