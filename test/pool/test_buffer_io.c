/* SPDX-License-Identifier: MIT */
/*
 * Buffers and descriptors, and the stdio stream that appends.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "buffer_fixture.h"
#include "cpus.h"

TestSuite(buffer_io, .init = buffer_start);

/* A file in memory with n bytes of the text in it, to be read from its beginning. */
static int file_make(size_t n)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, text, n, 0), (ssize_t)n);
	return fd;
}

/* ---- read ---- */

Test(buffer_io, read_takes_no_more_than_max)
{
	int fd = file_make(2000);

	cr_assert_eq(tierpool_buf_read_fd(b, fd, 0), 0);
	cr_assert_eq(tierpool_buf_read_fd(b, fd, 300), 300);
	expect_content(text, 300);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 300, "more was taken from the file");
	cr_assert_eq(tierpool_buf_read_fd(b, fd, 1500), 1500);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 1800);
	cr_assert_eq(tierpool_buf_read_fd(b, fd, 1500), 200, "the end of the file comes first");
	expect_content(text, 2000);
	cr_assert_eq(tierpool_buf_read_fd(b, fd, 1500), 0);
	cr_assert_eq(tierpool_buf_read_fd(b, fd, SIZE_MAX), 0);
	expect_content(text, 2000);
}

Test(buffer_io, read_fills_the_capacity_without_growing_where_max_is_what_is_left)
{
	const char *data = b->data;
	int fd = file_make(1024);

	tierpool_buf_append(b, "x", 1);
	cr_assert_eq(tierpool_buf_read_fd(b, fd, 1023), 1023);
	cr_assert(b->data == data && b->cap == 1024 && b->len == 1024);
	cr_assert_eq(memcmp(b->data + 1, text, 1023), 0);
	tierpool_buf_reset(b);
	lseek(fd, 0, SEEK_SET);
	cr_assert_eq(tierpool_buf_read_fd(b, fd, SIZE_MAX), 1024, "exactly the capacity, then end");
	expect_content(text, 1024);
	cr_assert_eq(b->cap, 1024, "it grew to find the end of a file that fitted");
}

Test(buffer_io, read_returns_its_errors_and_none_sticks)
{
	int fd[2];

	cr_assert_eq(tierpool_buf_read_fd(b, -1, 10), -EBADF);
	cr_assert_eq(tierpool_buf_error(b), 0);
	cr_assert_eq(pipe2(fd, O_NONBLOCK), 0);
	cr_assert_eq(tierpool_buf_read_fd(b, fd[0], SIZE_MAX), -EAGAIN, "no progress");
	cr_assert_eq(write(fd[1], text, 3000), 3000);
	cr_assert_eq(tierpool_buf_read_fd(b, fd[0], SIZE_MAX), 3000, "progress, and then none");
	cr_assert_eq(tierpool_buf_read_fd(b, fd[0], SIZE_MAX), -EAGAIN);
	expect_content(text, 3000);
	close(fd[1]);
	cr_assert_eq(tierpool_buf_read_fd(b, fd[0], SIZE_MAX), 0, "the end");
	cr_assert_eq(tierpool_buf_error(b), 0);
	cr_assert_eq(tierpool_buf_append(b, text + 3000, 10), 0);
	expect_content(text, 3010);
}

Test(buffer_io, read_that_runs_out_of_memory_keeps_what_it_read_and_sticks)
{
	int fd = file_make(5000);

	limited.limit = 2048;
	cr_assert_eq(tierpool_buf_read_fd(b, fd, SIZE_MAX), 1024, "what fitted was appended");
	expect_content(text, 1024);
	cr_assert_eq(tierpool_buf_error(b), -ENOMEM);
	cr_assert_eq(tierpool_buf_read_fd(b, fd, SIZE_MAX), -ENOMEM);
	expect_content(text, 1024);
}

/* ---- interrupted ---- */

static volatile sig_atomic_t interrupts;

static void interrupted(int signal)
{
	(void)signal;
	interrupts++;
}

static pthread_t reader_thread;
static int pipe_fd[2];

static void handle_without_restart(void)
{
	struct sigaction action = {.sa_handler = interrupted};

	cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
	reader_thread = pthread_self();
	cr_assert_eq(pipe(pipe_fd), 0);
}

/* Signals to the thread that reads or writes, until five have come. */
static void interrupt_five_times(void)
{
	while (interrupts < 5) {
		pthread_kill(reader_thread, SIGUSR1);
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}

static void *interrupt_then_write(void *unused)
{
	(void)unused;
	interrupt_five_times();
	(void)!write(pipe_fd[1], text, 100);
	interrupts = 0;
	interrupt_five_times();
	(void)!write(pipe_fd[1], text + 100, 100);
	close(pipe_fd[1]);
	return NULL;
}

Test(buffer_io, read_goes_on_after_signals)
{
	pthread_t thread;

	handle_without_restart();
	cr_assert_eq(pthread_create(&thread, NULL, interrupt_then_write, NULL), 0);
	cr_assert_eq(tierpool_buf_read_fd(b, pipe_fd[0], SIZE_MAX), 200);
	cr_assert_geq(interrupts, 5);
	expect_content(text, 200);
	pthread_join(thread, NULL);
}

static char drained[sizeof text];

static void *interrupt_then_read(void *unused)
{
	size_t total = 0;
	ssize_t n;

	(void)unused;
	while ((n = read(pipe_fd[0], drained + total, 50000)) > 0) {
		total += (size_t)n;
		/* The writer waits for room now; signals come before and after it has written. */
		if (interrupts < 5)
			interrupt_five_times();
	}
	return NULL;
}

Test(buffer_io, write_goes_on_after_signals_and_short_writes)
{
	pthread_t thread;

	handle_without_restart();
	tierpool_buf_append(b, text, sizeof text);
	fcntl(pipe_fd[1], F_SETPIPE_SZ, 4096);
	cr_assert_eq(pthread_create(&thread, NULL, interrupt_then_read, NULL), 0);
	cr_assert_eq(tierpool_buf_write_fd(b, pipe_fd[1]), (ssize_t)sizeof text);
	close(pipe_fd[1]);
	pthread_join(thread, NULL);
	cr_assert_geq(interrupts, 5);
	cr_assert_eq(memcmp(drained, text, sizeof text), 0);
	expect_content(text, sizeof text);
}

/* ---- write ---- */

Test(buffer_io, write_to_a_full_pipe_returns_how_far_it_came)
{
	int fd[2], size;
	ssize_t n;

	cr_assert_eq(tierpool_buf_write_fd(b, -1), 0, "of nothing");
	cr_assert_eq(pipe2(fd, O_NONBLOCK), 0);
	size = fcntl(fd[1], F_SETPIPE_SZ, 4096);
	cr_assert_gt(size, 0);
	tierpool_buf_append(b, text, 100000 + (size_t)size);
	n = tierpool_buf_write_fd(b, fd[1]);
	cr_assert(n > 0 && n <= size, "%zd", n);
	cr_assert_eq(tierpool_buf_write_fd(b, fd[1]), -EAGAIN);
	cr_assert_eq(tierpool_buf_error(b), 0);
	expect_content(text, 100000 + (size_t)size);
	cr_assert_eq(read(fd[0], drained, sizeof drained), n);
	cr_assert_eq(memcmp(drained, text, (size_t)n), 0);
	signal(SIGPIPE, SIG_IGN);
	close(fd[0]);
	cr_assert_eq(tierpool_buf_write_fd(b, fd[1]), -EPIPE);
	cr_assert_eq(tierpool_buf_write_fd(b, -1), -EBADF);
	cr_assert_eq(tierpool_buf_error(b), 0);
}

Test(buffer_io, write_goes_on_where_it_came_to)
{
	size_t n = 100000, at = 0, received = 0;
	int fd[2];

	cr_assert_eq(pipe2(fd, O_NONBLOCK), 0);
	tierpool_buf_append(b, text, n);
	while (at < n) {
		size_t before = at;
		ssize_t written = tierpool_buf_write_fd_from(b, fd[1], &at);

		cr_assert(written == -EAGAIN ? at == before : at == before + (size_t)written);
		received += (size_t)read(fd[0], drained + received, 3000);
	}
	while (received < n)
		received += (size_t)read(fd[0], drained + received, sizeof drained - received);
	cr_assert_eq(memcmp(drained, text, n), 0);
	cr_assert_eq(tierpool_buf_write_fd_from(b, fd[1], &at), 0, "all is written");
	cr_assert_eq(read(fd[0], drained, 1), -1);
	at = n + 1;
	cr_assert_eq(tierpool_buf_write_fd_from(b, fd[1], &at), -EINVAL);
	at = 7;
	cr_assert_eq(tierpool_buf_write_fd_from(b, -1, &at), -EBADF);
	cr_assert_eq(at, 7);
	cr_assert_eq(tierpool_buf_error(b), 0);
}

/* ---- the stream ---- */

Test(buffer_io, a_stream_appends_and_shows_it_after_fflush_and_fclose)
{
	FILE *stream;

	tierpool_buf_append_str(b, "before ");
	stream = tierpool_buf_open(b);
	cr_assert_not_null(stream);
	fprintf(stream, "%d ", 42);
	cr_assert_eq(fflush(stream), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b), "before 42 ");
	/* The buffer stays the borrower's. */
	cr_assert_eq(tierpool_buf_append_str(b, "between "), 0);
	cr_assert_eq(tierpool_buf_append_byte(b, '-'), 0);
	fputs(" after", stream);
	cr_assert_eq(fclose(stream), 0);
	cr_assert_str_eq(tierpool_buf_cstr(b), "before 42 between - after");
}

static void expect_at_end(FILE *stream)
{
	tierpool_buf_append_str(b, "seven ");
	cr_assert_eq(ftell(stream), 6, "it begins where the content ends");
	fputs("hello", stream);
	cr_assert_eq(ftell(stream), 11);
	cr_assert_eq(fseek(stream, 0, SEEK_END), 0);
	cr_assert_eq(ftell(stream), 11);
	errno = 0;
	cr_assert_eq(fseek(stream, 0, SEEK_SET), -1);
	cr_assert_eq(errno, EINVAL);
	cr_assert_eq(fseek(stream, -1, SEEK_END), -1);
	cr_assert_eq(fseeko(stream, 11, SEEK_SET), 0);
	clearerr(stream);
	fputs("!", stream);
	cr_assert_eq(fflush(stream), 0);
	cr_assert_eq(ftell(stream), 12);
	tierpool_buf_reset(b);
	cr_assert_eq(ftell(stream), 0, "it has no position of its own");
	fputs("again", stream);
	cr_assert_eq(ftell(stream), 5);
	cr_assert_eq(fclose(stream), 0);
	expect_content("again", 5);
}

Test(buffer_io, a_stream_is_always_at_its_end)
{
	expect_at_end(tierpool_buf_open(b));
	tierpool_buf_reset(b);
	tierpool_buf_secret(b);
	expect_at_end(tierpool_buf_open(b));
}

Test(buffer_io, there_is_one_stream_at_a_time)
{
	FILE *stream = tierpool_buf_open(b);

	for (int i = 0; i < 2; i++) {
		errno = 0;
		cr_assert_null(tierpool_buf_open(b));
		cr_assert_eq(errno, EBUSY);
	}
	cr_assert_eq(tierpool_buf_error(b), 0, "it is no error of the buffer");
	fclose(stream);
	stream = tierpool_buf_open(b);
	cr_assert_not_null(stream);
	fputs("again", stream);
	fclose(stream);
	expect_content("again", 5);
	tierpool_put(b);
}

Test(buffer_io, a_stream_reports_a_write_that_failed)
{
	FILE *stream = tierpool_buf_open(b);

	limited.limit = 4096;
	cr_assert_eq(fwrite(text, 1, 4096, stream), 4096);
	cr_assert_eq(fflush(stream), 0);
	cr_assert_not(ferror(stream));
	fwrite(text, 1, 3000, stream);
	errno = 0;
	cr_assert_eq(fflush(stream), EOF);
	cr_assert_eq(errno, ENOMEM);
	cr_assert(ferror(stream));
	expect_content(text, 4096);
	cr_assert_eq(tierpool_buf_error(b), -ENOMEM);
	/* After a reset it takes bytes again. stdio may send now what failed before. */
	tierpool_buf_reset(b);
	clearerr(stream);
	fputs("x", stream);
	cr_assert_eq(fclose(stream), 0);
	cr_assert_geq(b->len, 1);
	tierpool_put(b);
}

Test(buffer_io, a_stream_whose_last_write_fails_is_closed_all_the_same)
{
	FILE *stream = tierpool_buf_open(b);
	struct tierpool_stats stats = {.size = sizeof stats};

	limited.limit = 1024;
	fwrite(text, 1, 2000, stream);
	cr_assert_eq(fclose(stream), EOF);
	tierpool_put(b); /* no misuse: no stream is open any more */
	cr_assert_eq(tierpool_stats_read(pool, &stats), 0);
	cr_assert_eq(stats.borrowed, 0);
}

Test(buffer_io, a_stream_of_a_secret_leaves_no_copy_in_outgrown_blocks)
{
	char *block = b->data;
	size_t cap = b->cap;
	FILE *stream;

	stay_on_this_cpu(); /* so that the buffer is found again */
	tierpool_buf_secret(b);
	stream = tierpool_buf_open(b);
	for (size_t i = 1; i <= 5000; i++)
		fputc('s', stream);
	cr_assert_eq(fflush(stream), 0);
	cr_assert_eq(b->len, 5000);
	fputc('s', stream);
	cr_assert_eq(fclose(stream), 0);
	cr_assert_eq(b->len, 5001);
	tierpool_put(b);
	b = (tierpool_get_sized)(pool, cap);
	cr_assert_eq(b->data, block);
	cr_assert_null(memchr(b->data, 's', cap));
}
