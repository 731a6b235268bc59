/* SPDX-License-Identifier: MIT */
/*
 * JSON by yajl, whose output goes straight into a buffer by yajl's print callback. A writer costs three
 * allocations, and may be used again: writers lie idle in an object cache.
 *
 * yajl takes the callback's context once, when a writer is made. So the context is the struct json, and
 * the buffer stands in there.
 */
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "server.h"

struct json {
	yajl_gen gen;
	tierpool_buf *out;
	yajl_gen_status status; /* the first that was not OK */
};

static tierpool_cache *writers;

static void json_print(void *context, const char *text, size_t n)
{
	struct json *j = context;
	tierpool_buf_append(j->out, text, n);
}

static void json_note(struct json *j, yajl_gen_status status)
{
	if (j->status == yajl_gen_status_ok)
		j->status = status;
}

void json_open_map(struct json *j)
{
	if (j)
		json_note(j, yajl_gen_map_open(j->gen));
}

void json_open_array(struct json *j)
{
	if (j)
		json_note(j, yajl_gen_array_open(j->gen));
}

void json_close_map(struct json *j)
{
	if (j)
		json_note(j, yajl_gen_map_close(j->gen));
}

void json_close_array(struct json *j)
{
	if (j)
		json_note(j, yajl_gen_array_close(j->gen));
}

void json_text(struct json *j, const char *text)
{
	if (j)
		json_note(j, yajl_gen_string(j->gen, (const unsigned char *)text, strlen(text)));
}

void json_key(struct json *j, const char *key)
{
	json_text(j, key);
}

void json_number(struct json *j, long long number)
{
	if (j)
		json_note(j, yajl_gen_integer(j->gen, number));
}

struct json *json_begin(tierpool_buf *out)
{
	struct json *j = tierpool_cache_get(writers);
	if (j) {
		j->out = out;
		j->status = yajl_gen_status_ok;
		yajl_gen_reset(j->gen, NULL);
	}
	return j;
}

unsigned json_end(struct json *j)
{
	bool whole = j && j->status == yajl_gen_status_ok;
	tierpool_cache_put(writers, j);
	return whole ? HTTP_STATUS_OK : HTTP_STATUS_INTERNAL_SERVER_ERROR;
}

/* ---- writers ---- */

static void *json_create(void *unused)
{
	struct json *j = calloc(1, sizeof *j);
	(void)unused;
	if (!j)
		return NULL;
	j->gen = yajl_gen_alloc(NULL);
	if (!j->gen) {
		free(j);
		return NULL;
	}
	yajl_gen_config(j->gen, yajl_gen_print_callback, json_print, j);
	return j;
}

static void json_destroy(void *unused, void *object)
{
	struct json *j = object;
	(void)unused;
	yajl_gen_free(j->gen);
	free(j);
}

void json_start(void)
{
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;
	options.name = "json";
	options.create = json_create;
	options.destroy = json_destroy;
	int error = tierpool_cache_create(&writers, &options);
	if (error)
		fail("json", strerror(-error));
}

void json_stop(void)
{
	tierpool_cache_destroy(writers);
}
