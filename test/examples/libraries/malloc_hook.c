/* SPDX-License-Identifier: MIT */
/* needs: expat zlib libzstd libcjson */
/*
 * malloc, realloc and free for libraries that let a program bring its own: blocks of 512 bytes or more
 * come from the pool, smaller ones from malloc.
 *
 * That is right for contexts: parsers and compressors, which take a few large blocks, and come and go
 * with each message. Without the threshold it would be wrong for trees of small nodes: the least that a
 * buffer takes is 137 bytes, and malloc takes 80 for a node of cJSON and 32 for a short name. This
 * program prints what a tree takes in each way: two and a half times as much without the threshold;
 * four times, if most of it is short strings.
 */
#define ZLIB_CONST
#define ZSTD_STATIC_LINKING_ONLY

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <expat.h>
#include <tierpool.h>
#include <zlib.h>
#include <zstd.h>

#include "ways.h"

/* ---- hook: with tierpool ---- */

static size_t threshold = 512; /* bytes; from here on blocks are borrowed */

/* Data is aligned to 64, most of what malloc gives is not. So free and realloc ask seldom in vain. */
static tierpool_buf *buf_of(void *block)
{
	return (uintptr_t)block % 64 ? NULL : tierpool_buf_of(block);
}

static void *pooled_malloc(size_t n)
{
	if (n < threshold)
		return malloc(n);
	tierpool_buf *b = tierpool_get_sized(tierpool_default(), n);
	return b ? b->data : NULL;
}

static void pooled_free(void *block)
{
	tierpool_buf *b = buf_of(block);
	if (b)
		tierpool_put(b);
	else
		free(block);
}

/* What malloc has given stays malloc's: nobody knows how many bytes there are to move. */
static void *pooled_realloc(void *block, size_t n)
{
	tierpool_buf *b = buf_of(block);
	if (!b)
		return block ? realloc(block, n) : pooled_malloc(n);
	if (n <= b->cap)
		return block;
	b->len = b->cap; /* all of it is to be kept */
	if (tierpool_buf_reserve(b, n - b->len)) {
		tierpool_buf_clear_error(b); /* as realloc: the block is what it was */
		return NULL;
	}
	return b->data;
}

/* ---- expat: a parser for each document ---- */

static const XML_Memory_Handling_Suite pooled_suite = {pooled_malloc, pooled_realloc, pooled_free};

static void text_found(void *unused, const char *text, int n)
{
	(void)unused;
	ways_output(text, (size_t)n);
}

static int parse_xml(const XML_Memory_Handling_Suite *suite, size_t n)
{
	XML_Parser parser = XML_ParserCreate_MM(NULL, suite, NULL);
	if (!parser)
		return -ENOMEM;
	XML_SetCharacterDataHandler(parser, text_found);
	int good = XML_Parse(parser, "<list>", 6, 0);
	for (size_t i = 0; i < n && good; i++) {
		char element[80];
		int length =
			snprintf(element, sizeof element, "<item id=\"%zu\">%zu &amp; %.20s</item>",
				i, i * 7919, ways_text() + 30 * i % 1000);
		good = XML_Parse(parser, element, length, 0);
	}
	good = good && XML_Parse(parser, "</list>", 7, 1);
	XML_ParserFree(parser);
	return good ? 0 : -EIO;
}

static int expat_own(size_t n)
{
	return parse_xml(NULL, n);
}

static int expat_with_pool(size_t n)
{
	return parse_xml(&pooled_suite, n);
}

/* ---- zlib: a context for each message ---- */

static void *pooled_zalloc(void *unused, unsigned count, unsigned size)
{
	(void)unused;
	return pooled_malloc((size_t)count * size);
}

static void pooled_zfree(void *unused, void *block)
{
	(void)unused;
	pooled_free(block);
}

static int compress_by(z_stream *z, size_t n)
{
	static Bytef out[256 << 10];
	z->next_in = (const Bytef *)ways_text();
	z->avail_in = (uInt)n;
	z->next_out = out;
	z->avail_out = sizeof out;
	int status = deflateInit(z, Z_DEFAULT_COMPRESSION);
	if (status == Z_OK)
		status = deflate(z, Z_FINISH);
	ways_output(out, sizeof out - z->avail_out);
	deflateEnd(z);
	return status == Z_STREAM_END ? 0 : -EIO;
}

static int zlib_own(size_t n)
{
	return compress_by(&(z_stream){0}, n);
}

static int zlib_with_pool(size_t n)
{
	return compress_by(&(z_stream){.zalloc = pooled_zalloc, .zfree = pooled_zfree}, n);
}

/* ---- zstd: the same ---- */

static void *pooled_zstd_malloc(void *unused, size_t n)
{
	(void)unused;
	return pooled_malloc(n);
}

static int compress_in(ZSTD_CCtx *context, size_t n)
{
	static char out[256 << 10];
	size_t length =
		context ? ZSTD_compressCCtx(context, out, sizeof out, ways_text(), n, 3) : 0;
	int good = context && !ZSTD_isError(length);
	if (good)
		ways_output(out, length);
	ZSTD_freeCCtx(context);
	return good ? 0 : -EIO;
}

static int zstd_own(size_t n)
{
	return compress_in(ZSTD_createCCtx(), n);
}

static int zstd_with_pool(size_t n)
{
	return compress_in(
		ZSTD_createCCtx_advanced((ZSTD_customMem){pooled_zstd_malloc, pooled_zfree, NULL}),
		n);
}

/* ---- cJSON: a tree of small nodes ---- */

static cJSON *make_tree(size_t n)
{
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; i < n; i++) {
		cJSON *item = cJSON_CreateObject();
		cJSON_AddNumberToObject(item, "id", (double)i);
		cJSON_AddStringToObject(item, "name", i % 2 ? "odd" : "even");
		cJSON_AddItemToArray(list, item);
	}
	return list;
}

static int print_tree(cJSON_Hooks *hooks, size_t n)
{
	cJSON_InitHooks(hooks);
	cJSON *tree = make_tree(n);
	char *text = cJSON_PrintUnformatted(tree);
	if (text)
		ways_output(text, strlen(text));
	cJSON_free(text);
	cJSON_Delete(tree);
	return text ? 0 : -ENOMEM;
}

static cJSON_Hooks pooled_hooks = {pooled_malloc, pooled_free};

static int cjson_own(size_t n)
{
	return print_tree(NULL, n);
}

static int cjson_with_pool(size_t n)
{
	return print_tree(&pooled_hooks, n);
}

static int cjson_all_pooled(size_t n)
{
	threshold = 1;
	int error = print_tree(&pooled_hooks, n);
	threshold = 512;
	return error;
}

/* ---- what the tree takes ---- */

static size_t by_malloc(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

static void print_memory(cJSON_Hooks *hooks, size_t least, const char *how)
{
	struct tierpool_stats s = {.size = sizeof s};
	tierpool_trim(tierpool_default(), 0);
	threshold = least;
	cJSON_InitHooks(hooks);
	size_t bytes = by_malloc();
	cJSON *tree = make_tree(10000);
	bytes = by_malloc() - bytes;
	cJSON_Delete(tree);
	if (tierpool_stats_read(tierpool_default(), &s) == 0)
		bytes += s.idle_bytes; /* the tree's, which were borrowed */
	printf("a tree of cJSON, %s: %zu bytes\n", how, bytes);
	threshold = 512;
}

/* ---- compare ---- */

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"expat, hook", expat_own, expat_with_pool, 20},
		{"expat, hook", expat_own, expat_with_pool, 1000},
		{"zlib, hook", zlib_own, zlib_with_pool, 500},
		{"zlib, hook", zlib_own, zlib_with_pool, 50000},
		{"zstd, hook", zstd_own, zstd_with_pool, 500},
		{"zstd, hook", zstd_own, zstd_with_pool, 50000},
		{"cJSON, hook", cjson_own, cjson_with_pool, 1000},
		{"cJSON, hook without threshold", cjson_own, cjson_all_pooled, 1000},
	};
	int status = ways_main(argc, argv, ways, sizeof ways / sizeof *ways);
	print_memory(NULL, 512, "by malloc");
	print_memory(&pooled_hooks, 512, "from 512 bytes on by the pool");
	print_memory(&pooled_hooks, 1, "all by the pool");
	return status;
}
