/* SPDX-License-Identifier: MIT */
/* needs: */
/*
 * A log record by code that prints to a FILE: into a borrowed buffer, or into memory of
 * open_memstream, which is the C library's own way.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <tierpool.h>

#include "ways.h"

/* Prints n lines. What it knows is a stream. */
static void print_record(FILE *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "level=%s line=%zu ", i % 10 ? "info" : "warning", i);
		fputs("message=\"", out);
		fwrite(ways_text() + i * 61 % 1000000, 1, 40 + i % 100, out);
		fprintf(out, "\" took=%.3f\n", (double)i / 7);
	}
}

/* ---- stdio: its own way ---- */

static int log_own(size_t n)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	if (out)
		print_record(out, n);
	int error = out && fclose(out) == 0 ? 0 : -errno;
	if (!error)
		ways_output(text, length);
	free(text);
	return error;
}

/* ---- stdio: with tierpool ---- */

static int log_with_pool(size_t n)
{
	tierpool_buf *b = tierpool_get(tierpool_default());
	FILE *out = tierpool_buf_open(b);
	if (out)
		print_record(out, n);
	int error = out && fclose(out) == 0 ? tierpool_buf_error(b) : -errno;
	if (!error)
		ways_output(b->data, b->len);
	tierpool_put(b); /* after fclose */
	return error;
}

/* ---- compare ---- */

int main(int argc, char **argv)
{
	static const struct ways ways[] = {
		{"stdio", log_own, log_with_pool, 1},
		{"stdio", log_own, log_with_pool, 100},
	};
	return ways_main(argc, argv, ways, sizeof ways / sizeof *ways);
}
