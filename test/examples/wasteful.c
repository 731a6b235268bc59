/* SPDX-License-Identifier: MIT */
/*
 * A program with a mistake in each function. lib/PROFILING.md has what the profile says of them.
 *
 * usage: wasteful [SECONDS]     so long it waits before it ends
 */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <unistd.h>

#include <tierpool.h>

enum { LINES = 20000, REQUESTS = 25 };

static char text[4000];
static tierpool_buf *requests[REQUESTS];

/* Asks for 64 KiB, and needs 2. */
static int log_line(tierpool *pool, size_t i)
{
	tierpool_buf *b = tierpool_get_sized(pool, 64 << 10);
	int error = tierpool_buf_append(b, text, 200 + i % 1800);
	tierpool_put(b);
	return error;
}

/* Asks for 256 bytes, and needs 4,000. */
static int answer(tierpool *pool)
{
	tierpool_buf *b = tierpool_get_sized(pool, 256);
	for (int i = 0; i < 40; i++)
		tierpool_buf_append(b, text, sizeof text / 40);
	int error = tierpool_buf_error(b);
	tierpool_put(b);
	return error;
}

/* Takes a file at once, which is larger than max_size. */
static int read_file(tierpool *pool)
{
	tierpool_buf *b = tierpool_get_sized(pool, 20 << 20);
	if (!b)
		return 1;
	b->len = b->cap;
	tierpool_put(b);
	return 0;
}

/* Its caller forgets to put. */
static tierpool_buf *parse(tierpool *pool)
{
	return tierpool_get_sized(pool, 1000);
}

int main(int argc, char **argv)
{
	tierpool *pool = tierpool_default();
	int error = 0;
	for (size_t i = 0; i < REQUESTS; i++)
		requests[i] = parse(pool);
	for (size_t i = 0; i < LINES && !error; i++) {
		error = log_line(pool, i) || answer(pool);
		if (!error && i % 400 == 0)
			error = read_file(pool);
	}
	error = error || tierpool_stats_print(pool, stdout);
	if (argc > 1)
		sleep((unsigned)atoi(argv[1]));
	return error;
}
