/* SPDX-License-Identifier: MIT */
/* needs: libcurl */
/*
 * The body that libcurl fetches, in a borrowed buffer. What is fetched here is a file, so that it is
 * the same each time; with http nothing is different.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <tierpool.h>
#include <tierpool/callbacks.h>

#include "ways.h"

static CURL *curl;
static char path[] = "/tmp/curl_body.XXXXXX";

static int fetch(size_t n, curl_write_callback write, void *body)
{
	char range[40];
	snprintf(range, sizeof range, "0-%zu", n - 1);
	curl_easy_setopt(curl, CURLOPT_RANGE, range);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, write);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	return curl_easy_perform(curl) == CURLE_OK ? 0 : -EIO;
}

/* ---- libcurl: its own way ---- */

struct memory {
	char *bytes;
	size_t n;
};

/* As getinmemory.c, the example of libcurl, has it. */
static size_t memory_write(char *data, size_t size, size_t count, void *body)
{
	struct memory *m = body;
	char *bytes = realloc(m->bytes, m->n + size * count + 1);
	if (!bytes)
		return 0;
	m->bytes = bytes;
	memcpy(m->bytes + m->n, data, size * count);
	m->n += size * count;
	m->bytes[m->n] = 0;
	return size * count;
}

static int curl_own(size_t n)
{
	struct memory m = {0};
	int error = fetch(n, memory_write, &m);
	if (!error)
		ways_output(m.bytes, m.n);
	free(m.bytes);
	return error;
}

/* ---- libcurl: with tierpool ---- */

static int curl_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	int error = fetch(n, tierpool_write_cb_curl, b);
	if (!error)
		error = tierpool_buf_error(b);
	if (!error)
		ways_output(b->data, b->len);
	tierpool_put(b);
	return error;
}

/* ---- compare ---- */

static int make_file(void)
{
	char url[64];
	int fd = mkstemp(path);
	ssize_t n = fd < 0 ? -1 : write(fd, ways_text(), 500000);
	snprintf(url, sizeof url, "file://%s", path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	return close(fd) == 0 && n == 500000;
}

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"libcurl", curl_own, curl_with_pool, 500},
		{"libcurl", curl_own, curl_with_pool, 500000},
	};
	curl = curl_easy_init();
	int status = curl && make_file() ? ways_main(argc, argv, ways, 2) : 1;
	unlink(path);
	curl_easy_cleanup(curl);
	return status;
}
