/* SPDX-License-Identifier: MIT */
/*
 * A read loop that hands buffers to worker threads: the CRC-32 of a file, piece by piece.
 *
 * The reader borrows a buffer for each piece, fills it and passes it on through a bounded queue. A
 * worker adds up its sum and puts it from its own thread. The depth of the queue bounds the memory.
 *
 * usage: read_workers [file]   without it, the program itself
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tierpool.h>
#include <zlib.h>

#include "example.h"

enum { WORKERS = 4, DEPTH = 8, PIECE = 64 * 1024 };

struct sum {
	uLong crc;
	z_off_t bytes;
};

/* A piece, which the worker puts, and where its sum goes. Without a piece: the worker ends. */
struct job {
	tierpool_buf *piece;
	struct sum *sum;
};

static tierpool *pool;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over the queue, which is: */
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static struct job jobs[DEPTH];
static size_t pushed, popped;

static void queue_push(struct job job)
{
	pthread_mutex_lock(&lock);
	while (pushed - popped == DEPTH)
		pthread_cond_wait(&not_full, &lock);
	jobs[pushed++ % DEPTH] = job;
	pthread_cond_signal(&not_empty);
	pthread_mutex_unlock(&lock);
}

static struct job queue_pop(void)
{
	pthread_mutex_lock(&lock);
	while (pushed == popped)
		pthread_cond_wait(&not_empty, &lock);
	struct job job = jobs[popped++ % DEPTH];
	pthread_cond_signal(&not_full);
	pthread_mutex_unlock(&lock);
	return job;
}

static struct sum sum_of(const tierpool_buf *b)
{
	return (struct sum){crc32(0, (const Bytef *)b->data, (uInt)b->len), (z_off_t)b->len};
}

static void *sum_pieces(void *unused)
{
	for (struct job job; (job = queue_pop()).piece;) {
		*job.sum = sum_of(job.piece);
		tierpool_put(job.piece);
	}
	return unused;
}

static int read_pieces(int fd, struct sum *sums, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		tierpool_buf *piece = tierpool_get_sized(pool, PIECE);
		ssize_t n = tierpool_buf_read_fd(piece, fd, PIECE);
		if (n <= 0) {
			tierpool_put(piece);
			return (int)n;
		}
		queue_push((struct job){piece, &sums[i]});
	}
	return 0;
}

/* The sums of all pieces, by the workers. 0 or -errno. */
static int sum_in_threads(int fd, struct sum *sums, size_t count)
{
	pthread_t workers[WORKERS];
	int started = 0, error = 0;
	while (started < WORKERS && !error) {
		error = -pthread_create(&workers[started], NULL, sum_pieces, NULL);
		started += !error;
	}
	if (!error)
		error = read_pieces(fd, sums, count);
	for (int i = 0; i < started; i++)
		queue_push((struct job){0});
	for (int i = 0; i < started; i++)
		pthread_join(workers[i], NULL);
	return error;
}

/* The same by one thread and one buffer, to compare with. */
static int sum_alone(int fd, struct sum *sum, size_t count)
{
	tierpool_buf *piece = tierpool_get_sized(pool, PIECE);
	ssize_t n = lseek(fd, 0, SEEK_SET) < 0 ? -errno : 1;
	for (size_t i = 0; i < count && n > 0; i++) {
		tierpool_buf_reset(piece);
		n = tierpool_buf_read_fd(piece, fd, PIECE);
		if (n > 0)
			sum->crc = crc32(sum->crc, (const Bytef *)piece->data, (uInt)n);
		if (n > 0)
			sum->bytes += n;
	}
	tierpool_put(piece);
	return n < 0 ? (int)n : 0;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/proc/self/exe";
	int fd = open(path, O_RDONLY);
	struct stat file;
	if (fd < 0 || fstat(fd, &file) != 0) {
		perror(path);
		return 1;
	}
	size_t count = ((size_t)file.st_size + PIECE - 1) / PIECE;
	struct sum total = {0}, alone = {0};
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;
	options.name = "read_workers";
	options.retain = (size_t)2 * DEPTH * PIECE;
	int error = S_ISREG(file.st_mode) ? tierpool_create(&pool, &options) : -ESPIPE;
	tierpool_buf *sums = tierpool_get_sized(pool, (count + 1) * sizeof(struct sum));
	if (!error)
		error = tierpool_buf_error(sums);
	if (!error) {
		struct sum *sum = memset(sums->data, 0, sums->cap);
		error = sum_in_threads(fd, sum, count);
		for (size_t i = 0; i < count; i++) {
			total.crc = crc32_combine(total.crc, sum[i].crc, sum[i].bytes);
			total.bytes += sum[i].bytes;
		}
	}
	tierpool_put(sums);
	if (!error)
		error = sum_alone(fd, &alone, count);
	if (!error && (total.crc != alone.crc || total.bytes != alone.bytes))
		error = -EBADMSG;
	if (!error)
		printf("%08lx  %ld bytes in %zu pieces\n", total.crc, (long)total.bytes, count);
	close(fd);
	return example_end("read_workers", pool, error);
}
