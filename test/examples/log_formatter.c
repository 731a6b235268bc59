/* SPDX-License-Identifier: MIT */
/*
 * A log formatter: scratch buffers that nest.
 *
 * Threads write JSON lines. A line borrows a buffer; its message must be complete before it can be
 * quoted and borrows a second; the request quoted in the message borrows a third. No function sizes
 * anything or knows what its callers hold. A line leaves by one write to a descriptor that appends,
 * so lines of different threads do not mix.
 *
 * usage: log_formatter [file]   without it, a temporary file. Only in a file are lines verified.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tierpool.h>

#include "example.h"

enum { THREADS = 4, RECORDS = 5000 };

static tierpool *pool;
static int log_fd;

/* Appends text in quotes, as JSON escapes it. The first error of either buffer. */
static int append_quoted(tierpool_buf *out, const tierpool_buf *text)
{
	int error = tierpool_buf_error(text);
	return error ? error : tierpool_buf_append_json(out, text->data, text->len);
}

static int append_request(tierpool_buf *out, unsigned thread, unsigned sequence)
{
	tierpool_buf *request = tierpool_get(pool);
	tierpool_buf_printf(request, "GET /%u\t\"%u\" ", thread, sequence);
	for (unsigned i = 0; i < 4 + sequence % 60; i++)
		tierpool_buf_printf(request, "%02x", (sequence + i * 17) % 256);
	int error = append_quoted(out, request);
	tierpool_put(request);
	return error;
}

static int append_message(tierpool_buf *out, unsigned thread, unsigned sequence)
{
	tierpool_buf *message = tierpool_get(pool);
	tierpool_buf_append_str(message, "served ");
	int error = append_request(message, thread, sequence);
	tierpool_buf_printf(message, " in %u us", sequence * 7 % 1000);
	if (!error)
		error = append_quoted(out, message);
	tierpool_put(message);
	return error;
}

static int append_line(tierpool_buf *out, unsigned thread, unsigned sequence)
{
	tierpool_buf_printf(out, "{\"thread\":%u,\"sequence\":%u,\"message\":", thread, sequence);
	int error = append_message(out, thread, sequence);
	tierpool_buf_append_str(out, "}\n");
	return error ? error : tierpool_buf_error(out);
}

static int write_lines(unsigned thread)
{
	int error = 0;
	for (unsigned i = 0; i < RECORDS && !error; i++) {
		tierpool_buf *line = tierpool_get(pool);
		error = append_line(line, thread, i);
		ssize_t n = error ? error : tierpool_buf_write_fd(line, log_fd);
		if (!error && n != (ssize_t)line->len)
			error = n < 0 ? (int)n : -EIO;
		tierpool_put(line);
	}
	return error;
}

/* The line of thread 0, sequence 0: the tab and the quotes are escaped twice. */
static const char first_line[] =
	"{\"thread\":0,\"sequence\":0,"
	"\"message\":\"served \\\"GET /0\\\\t\\\\\\\"0\\\\\\\" 00112233\\\" in 0 us\"}\n";

/* The file holds, from start on, each thread's lines: all, whole and in order. 0 or -errno. */
static int verify(off_t start)
{
	const size_t number_at = strlen("{\"thread\":");
	unsigned next[THREADS] = {0};
	if (lseek(log_fd, start, SEEK_SET) < 0)
		return -errno;
	tierpool_buf *log = tierpool_get(pool), *line = tierpool_get(pool);
	ssize_t n = tierpool_buf_read_fd(log, log_fd, SIZE_MAX);
	int error = n < 0 ? (int)n : append_line(line, 0, 0);
	size_t length = sizeof first_line - 1;
	if (!error && (line->len != length || memcmp(line->data, first_line, length) != 0))
		error = -EBADMSG;
	for (size_t at = 0; !error && at < log->len; at += line->len) {
		const char *text = log->data + at;
		size_t left = log->len - at;
		unsigned thread = left > number_at ? (unsigned)text[number_at] - '0' : THREADS;
		tierpool_buf_reset(line);
		error = thread < THREADS ? append_line(line, thread, next[thread]++) : -EBADMSG;
		if (!error && (line->len > left || memcmp(text, line->data, line->len) != 0))
			error = -EBADMSG;
	}
	for (unsigned i = 0; i < THREADS && !error; i++)
		error = next[i] == RECORDS ? 0 : -EBADMSG;
	tierpool_put(line);
	tierpool_put(log);
	return error;
}

int main(int argc, char **argv)
{
	char name[] = "/tmp/log_formatter.XXXXXX";
	log_fd = argc > 1 ? open(argv[1], O_RDWR | O_CREAT | O_APPEND, 0644) : mkstemp(name);
	if (log_fd < 0 || (argc == 1 && (unlink(name) || fcntl(log_fd, F_SETFL, O_APPEND)))) {
		perror(argc > 1 ? argv[1] : name);
		return 1;
	}
	struct stat file;
	int error = fstat(log_fd, &file) != 0 ? -errno : tierpool_create(&pool, NULL);
	bool readable = !error && S_ISREG(file.st_mode);
	if (!error)
		error = example_threads(THREADS, write_lines, NULL);
	if (!error && readable)
		error = verify(file.st_size);
	close(log_fd);
	if (!error)
		printf("%d lines%s\n", THREADS * RECORDS, readable ? ", each whole" : "");
	return example_end("log_formatter", pool, error);
}
