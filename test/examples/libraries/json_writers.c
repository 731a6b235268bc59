/* SPDX-License-Identifier: MIT */
/* needs: yajl jansson */
/*
 * JSON writers that hand their output to a callback, in pieces: it goes into a borrowed buffer, or, if
 * it is long, into a chain, which copies nothing as it grows. Errors are asked for once, at the end,
 * since they stick.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <tierpool.h>
#include <tierpool/callbacks.h>
#include <tierpool/chain.h>
#include <yajl/yajl_gen.h>

#include "ways.h"

/* ---- what is written: an array of records ---- */

static void write_text(yajl_gen gen, const char *text, size_t n)
{
	yajl_gen_string(gen, (const unsigned char *)text, n);
}

static void write_records(yajl_gen gen, size_t n)
{
	yajl_gen_array_open(gen);
	for (size_t i = 0; i < n; i++) {
		yajl_gen_map_open(gen);
		write_text(gen, "id", 2);
		yajl_gen_integer(gen, (long long)i * 7919);
		write_text(gen, "even", 4);
		yajl_gen_bool(gen, i % 2 == 0);
		write_text(gen, "text", 4);
		write_text(gen, ways_text() + i * 61 % 1000000, 40 + i % 100);
		yajl_gen_map_close(gen);
	}
	yajl_gen_array_close(gen);
}

/* The same as a tree. */
static json_t *make_records(size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
			json_pack("{sI sb ss%}", "id", (json_int_t)i * 7919, "even", i % 2 == 0,
				"text", ways_text() + i * 61 % 1000000, 40 + i % 100));
	return list;
}

static json_t *records_of(size_t n)
{
	static json_t *records;
	if (!records || json_array_size(records) != n) {
		json_decref(records);
		records = make_records(n);
	}
	return records;
}

/* ---- yajl: its own way ---- */

static int yajl_own(size_t n)
{
	yajl_gen gen = yajl_gen_alloc(NULL);
	const unsigned char *text;
	size_t length;
	if (!gen)
		return -ENOMEM;
	write_records(gen, n);
	yajl_gen_get_buf(gen, &text, &length);
	ways_output(text, length);
	yajl_gen_free(gen);
	return 0;
}

/* ---- yajl: with tierpool ---- */

static int yajl_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	yajl_gen gen = yajl_gen_alloc(NULL);
	if (gen) {
		yajl_gen_config(gen, yajl_gen_print_callback, tierpool_write_cb_void, (void *)b);
		write_records(gen, n);
		yajl_gen_free(gen);
	}
	int error = gen ? tierpool_buf_error(b) : -ENOMEM;
	if (!error)
		ways_output(b->data, b->len);
	tierpool_put(b);
	return error;
}

/* ---- yajl, long: its own way ---- */

static int yajl_write_own(size_t n)
{
	yajl_gen gen = yajl_gen_alloc(NULL);
	const unsigned char *text;
	size_t length;
	if (!gen)
		return -ENOMEM;
	write_records(gen, n);
	yajl_gen_get_buf(gen, &text, &length);
	int error = write(ways_output_fd(), text, length) == (ssize_t)length ? 0 : -EIO;
	yajl_gen_free(gen);
	return error;
}

/* ---- yajl, long: with tierpool ---- */

static void append_to_chain(void *chain, const char *text, size_t n)
{
	tierpool_chain_append(chain, text, n);
}

static int yajl_write_chain(size_t n)
{
	tierpool_chain chain;
	yajl_gen gen = yajl_gen_alloc(NULL);
	if (!gen)
		return -ENOMEM;
	tierpool_chain_init(&chain, tierpool_default(), 0);
	yajl_gen_config(gen, yajl_gen_print_callback, append_to_chain, (void *)&chain);
	write_records(gen, n);
	yajl_gen_free(gen);
	ssize_t written = tierpool_chain_write_fd(&chain, ways_output_fd(), NULL); /* by writev */
	int error = written == (ssize_t)tierpool_chain_len(&chain) ? 0 : -EIO;
	tierpool_chain_reset(&chain);
	return error;
}

/* ---- jansson: its own way ---- */

static int jansson_own(size_t n)
{
	char *text = json_dumps(records_of(n), JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	ways_output(text, strlen(text));
	free(text);
	return 0;
}

/* ---- jansson: with tierpool ---- */

static int jansson_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	json_dump_callback(records_of(n), tierpool_write_cb_last, b, JSON_COMPACT);
	int error = tierpool_buf_error(b);
	if (!error)
		ways_output(b->data, b->len);
	tierpool_put(b);
	return error;
}

/* ---- compare ---- */

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"yajl", yajl_own, yajl_with_pool, 5},
		{"yajl", yajl_own, yajl_with_pool, 500},
		{"yajl", yajl_own, yajl_with_pool, 20000},
		{"yajl, long", yajl_write_own, yajl_write_chain, 20000},
		{"jansson", jansson_own, jansson_with_pool, 5},
		{"jansson", jansson_own, jansson_with_pool, 500},
	};
	return ways_main(argc, argv, ways, sizeof ways / sizeof *ways);
}
