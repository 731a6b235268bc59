/* SPDX-License-Identifier: MIT */
/*
 * Input and output: file.h.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int error_print(const char *what, int error)
{
	fprintf(stderr, "encode_control: %s: %s\n", what, strerror(error < 0 ? -error : error));
	return 2;
}

static int file_wait(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

/* The handler of SIGBUS: another process cut the mapped file short, or it cannot be read. */
static void input_lost(int signal_number)
{
	static const char message[] = "encode_control: the input was cut short or cannot be read\n";

	(void)signal_number;
	(void)!write(STDERR_FILENO, message, sizeof message - 1);
	_exit(2);
}

static bool input_map(struct input *in, int fd)
{
	void *map;

	if (!S_ISREG(in->st.st_mode) || in->st.st_size <= 0)
		return false;
	map = mmap(NULL, (size_t)in->st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return false;
	in->text = (struct slice){map, (const char *)map + in->st.st_size};
	signal(SIGBUS, input_lost);
	return true;
}

/* Into a buffer of the default pool, so that the job's own statistics are of the job alone. */
static int input_read(struct input *in, int fd)
{
	ssize_t n;

	in->buffer = tierpool_get(tierpool_default());
	do {
		n = tierpool_buf_read_fd(in->buffer, fd, SSIZE_MAX);
		if (n == -EAGAIN)
			n = file_wait(fd, POLLIN) ? -errno : 1;
	} while (n > 0);
	if (n == 0)
		in->text = (struct slice){in->buffer->data, in->buffer->data + in->buffer->len};
	return (int)n;
}

int input_open(struct input *in, const char *name)
{
	bool standard = name && !strcmp(name, "-");
	int fd = STDIN_FILENO, error = 0;

	in->name = standard ? "standard input" : name ? name : STATUS_FILE;
	if (!standard)
		fd = open(in->name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && !name) {
		in->name = SAMPLE_FILE;
		fd = open(in->name, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &in->st))
		error = -errno;
	else if (standard || !input_map(in, fd))
		error = input_read(in, fd);
	if (!standard && fd >= 0)
		close(fd);
	return error ? error_print(in->name, error) : 0;
}

void input_close(struct input *in)
{
	if (!in->buffer && in->text.at)
		munmap((void *)(uintptr_t)in->text.at, (size_t)(in->text.end - in->text.at));
	tierpool_put(in->buffer);
}

int output_open(struct output *out, const char *name, const struct input *in)
{
	struct stat st;

	*out = (struct output){name, -1};
	if (!name)
		return 0;
	if (!strcmp(name, "-")) {
		*out = (struct output){"standard output", STDOUT_FILENO};
		return 0;
	}
	out->fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (out->fd < 0 || fstat(out->fd, &st))
		return error_print(name, errno);
	if (st.st_dev == in->st.st_dev && st.st_ino == in->st.st_ino) {
		fprintf(stderr, "encode_control: %s: is the input\n", name);
		return 2;
	}
	return S_ISREG(st.st_mode) && ftruncate(out->fd, 0) ? error_print(name, errno) : 0;
}

int output_write(const struct output *out, tierpool_buf *b)
{
	while (out->fd >= 0 && b->len) {
		ssize_t n = tierpool_buf_write_fd(b, out->fd);
		int error = n == -EAGAIN ? file_wait(out->fd, POLLOUT) : n < 0 ? (int)n : 0;

		if (error)
			return error_print(out->name, error);
		if (n > 0) {
			memmove(b->data, b->data + n, b->len - (size_t)n);
			b->len -= (size_t)n;
		}
	}
	return 0;
}

int output_close(const struct output *out)
{
	return out->fd >= 0 && close(out->fd) ? error_print(out->name, errno) : 0;
}
