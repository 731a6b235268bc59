/* SPDX-License-Identifier: MIT */
/* needs: zlib libzstd */
/*
 * Compression contexts in object caches. A context of zlib is 260 KB, one of zstd up to 1.3 MB at its
 * default level, and to make one takes longer than to compress a short message. Output goes to a
 * borrowed buffer.
 */
#define ZLIB_CONST

#include <errno.h>
#include <stdlib.h>

#include <tierpool.h>
#include <zlib.h>
#include <zstd.h>

#include "ways.h"

/* ---- zlib: its own way ---- */

static int zlib_own(size_t n)
{
	uLong length = compressBound(n);
	Bytef *out = malloc(length);
	int status = out ? compress(out, &length, (const Bytef *)ways_text(), n) : Z_MEM_ERROR;
	if (status == Z_OK)
		ways_output(out, length);
	free(out);
	return status == Z_OK ? 0 : -ENOMEM;
}

/* ---- zlib: with tierpool ---- */

static tierpool_cache *deflaters;

static void *deflater_create(void *unused)
{
	z_stream *z = calloc(1, sizeof *z);
	(void)unused;
	if (z && deflateInit(z, Z_DEFAULT_COMPRESSION) != Z_OK) {
		free(z);
		z = NULL;
	}
	return z;
}

static void deflater_destroy(void *unused, void *z)
{
	(void)unused;
	deflateEnd(z);
	free(z);
}

static int zlib_append(tierpool_buf *b, const char *text, size_t n)
{
	z_stream *z = tierpool_cache_get(deflaters);
	int error = z ? tierpool_buf_reserve(b, deflateBound(z, n)) : -ENOMEM;
	if (!error) {
		z->next_in = (const Bytef *)text;
		z->avail_in = (uInt)n;
		z->next_out = (Bytef *)b->data + b->len;
		z->avail_out = (uInt)(b->cap - b->len);
		error = deflate(z, Z_FINISH) == Z_STREAM_END ? 0 : -EIO;
		b->len = b->cap - z->avail_out;
		deflateReset(z);
	}
	if (z)
		tierpool_cache_put(deflaters, z);
	return error;
}

static int zlib_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	int error = zlib_append(b, ways_text(), n);
	if (!error)
		ways_output(b->data, b->len);
	tierpool_put(b);
	return error;
}

/* ---- zstd: its own way ---- */

static int zstd_own(size_t n)
{
	size_t room = ZSTD_compressBound(n);
	char *out = malloc(room);
	size_t length = out ? ZSTD_compress(out, room, ways_text(), n, ZSTD_CLEVEL_DEFAULT) : 0;
	int good = out && !ZSTD_isError(length);
	if (good)
		ways_output(out, length);
	free(out);
	return good ? 0 : -ENOMEM;
}

/* ---- zstd: with tierpool ---- */

static tierpool_cache *compressors;

static void *compressor_create(void *unused)
{
	(void)unused;
	return ZSTD_createCCtx();
}

static void compressor_destroy(void *unused, void *context)
{
	(void)unused;
	ZSTD_freeCCtx(context);
}

static int zstd_append(tierpool_buf *b, const char *text, size_t n)
{
	ZSTD_CCtx *context = tierpool_cache_get(compressors);
	int error = context ? tierpool_buf_reserve(b, ZSTD_compressBound(n)) : -ENOMEM;
	if (!error) {
		size_t length = ZSTD_compressCCtx(
			context, b->data + b->len, b->cap - b->len, text, n, ZSTD_CLEVEL_DEFAULT);
		error = ZSTD_isError(length) ? -EIO : 0;
		b->len += error ? 0 : length;
	}
	if (context)
		tierpool_cache_put(compressors, context);
	return error;
}

static int zstd_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	int error = zstd_append(b, ways_text(), n);
	if (!error)
		ways_output(b->data, b->len);
	tierpool_put(b);
	return error;
}

/* ---- compare ---- */

static int make_cache(tierpool_cache **out, const char *name, void *(*create)(void *),
	void (*destroy)(void *, void *))
{
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;
	options.name = name;
	options.create = create;
	options.destroy = destroy;
	return tierpool_cache_create(out, &options);
}

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"zlib", zlib_own, zlib_with_pool, 500},
		{"zlib", zlib_own, zlib_with_pool, 50000},
		{"zstd", zstd_own, zstd_with_pool, 500},
		{"zstd", zstd_own, zstd_with_pool, 50000},
	};
	int status = 1;
	if (make_cache(&deflaters, "deflaters", deflater_create, deflater_destroy) == 0 &&
		make_cache(&compressors, "compressors", compressor_create, compressor_destroy) == 0)
		status = ways_main(argc, argv, ways, sizeof ways / sizeof *ways);
	tierpool_cache_destroy(deflaters);
	tierpool_cache_destroy(compressors);
	return status;
}
