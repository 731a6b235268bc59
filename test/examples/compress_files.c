/* SPDX-License-Identifier: MIT */
/*
 * A compressor: which of zlib's levels pays for these files?
 *
 * Threads compress every file at every level. Nobody knows how long the output will be: deflate
 * writes straight into the borrowed buffer, which grows through the pool when it is full. Each
 * thread keeps one stream for each direction. What was compressed is inflated and compared.
 *
 * usage: compress_files [file ...]   without any, the program itself
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tierpool.h>
#include <zlib.h>

#include "example.h"

enum { THREADS = 4, LEVELS = 9, STEP = 16 * 1024 };

static tierpool *pool;
static char itself[] = "/proc/self/exe", *default_files[] = {itself}, **files = default_files;
static size_t file_count = 1;
static atomic_size_t next_job, bytes_in, bytes_out[LEVELS];

static int zlib_error(int status)
{
	if (status == Z_MEM_ERROR)
		return -ENOMEM;
	return status == Z_OK || status == Z_STREAM_END ? 0 : -EIO;
}

/* Appends to out what the stream makes of the whole of in. 0 or -errno. */
static int run(z_stream *z, int (*step)(z_stream *, int), int flush, tierpool_buf *out,
	const tierpool_buf *in)
{
	int status = Z_OK;
	z->next_in = (Bytef *)in->data;
	z->avail_in = (uInt)in->len;
	while (status == Z_OK && tierpool_buf_reserve(out, STEP) == 0) {
		z->next_out = (Bytef *)out->data + out->len;
		z->avail_out = STEP;
		status = step(z, flush);
		out->len += STEP - z->avail_out;
	}
	int error = tierpool_buf_error(out);
	return error ? error : zlib_error(status);
}

static int read_file(tierpool_buf *out, const char *path)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	ssize_t n = tierpool_buf_read_fd(out, fd, UINT_MAX); /* as much as zlib takes at once */
	close(fd);
	return n < 0 ? (int)n : n == UINT_MAX ? -EFBIG : 0;
}

/* Compresses one file at one level, and back. 0 or -errno. */
static int compress_file(z_stream *deflater, z_stream *inflater, const char *path, int level)
{
	tierpool_buf *plain = tierpool_get(pool);
	tierpool_buf *packed = tierpool_get(pool);
	tierpool_buf *again = tierpool_get(pool);
	int error = read_file(plain, path);
	deflateReset(deflater);
	inflateReset(inflater);
	if (!error)
		error = zlib_error(deflateParams(deflater, level, Z_DEFAULT_STRATEGY));
	if (!error)
		error = run(deflater, deflate, Z_FINISH, packed, plain);
	if (!error)
		error = run(inflater, inflate, Z_NO_FLUSH, again, packed);
	if (!error && !example_same(again, plain))
		error = -EBADMSG;
	if (!error) {
		atomic_fetch_add(&bytes_in, plain->len);
		atomic_fetch_add(&bytes_out[level - 1], packed->len);
	}
	tierpool_put(again);
	tierpool_put(packed);
	tierpool_put(plain);
	return error;
}

static int compress_jobs(unsigned number)
{
	(void)number;
	z_stream deflater = {0}, inflater = {0};
	int error = zlib_error(deflateInit(&deflater, 1));
	if (!error)
		error = zlib_error(inflateInit(&inflater));
	for (size_t job; !error && (job = atomic_fetch_add(&next_job, 1)) < file_count * LEVELS;) {
		const char *path = files[job / LEVELS];
		error = compress_file(&deflater, &inflater, path, 1 + (int)(job % LEVELS));
		if (error)
			fprintf(stderr, "%s: %s\n", path, strerror(-error));
	}
	inflateEnd(&inflater);
	deflateEnd(&deflater);
	return error;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		files = argv + 1;
		file_count = (size_t)argc - 1;
	}
	int error = tierpool_create(&pool, NULL);
	if (!error)
		error = example_threads(THREADS, compress_jobs, NULL);
	size_t plain = bytes_in / LEVELS;
	for (int i = 0; i < LEVELS && !error; i++)
		printf("level %d: %zu of %zu bytes\n", i + 1, (size_t)bytes_out[i], plain);
	return example_end("compress_files", pool, error);
}
