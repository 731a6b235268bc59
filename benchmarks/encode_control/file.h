/* SPDX-License-Identifier: MIT */
/*
 * The two ends of encode_control: the input, mapped if it is a regular file and otherwise read
 * whole, and the output. Functions that return int return 0, or 2, the exit status, after saying on
 * stderr what is wrong.
 */
#ifndef FILE_H
#define FILE_H

#include <sys/stat.h>

#include "parse.h"

#define STATUS_FILE "/var/lib/dpkg/status"

struct input {
	const char *name;
	struct slice text;
	tierpool_buf *buffer; /* NULL: mapped */
	struct stat st;
};

struct output {
	const char *name; /* NULL: none, fd is -1 */
	int fd;
};

/* Says that on stderr; error: an errno, or minus one. Returns: 2. */
int error_print(const char *what, int error);

/* name "-": standard input; NULL: the system's status file, or else the sample. */
int input_open(struct input *in, const char *name);
void input_close(struct input *in);

/* name "-": standard output; NULL: none. */
int output_open(struct output *out, const char *name, const struct input *in);

/* Writes all of it, also to a descriptor that would block; empties the buffer. */
int output_write(const struct output *out, tierpool_buf *b);
int output_close(const struct output *out);

#endif
