/* SPDX-License-Identifier: MIT */
/*
 * Chains and descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "chain_checks.h"

static tierpool *pool;
static tierpool_chain chain;
static char drained[sizeof chain_text];

static void chain_start(void)
{
	pool = pool_new(.name = "chain");
}

/* A chain of these blocks, with the first n bytes of the text. */
static void chain_fill(size_t block, size_t n)
{
	tierpool_chain_init(&chain, pool, block);
	cr_assert_eq(tierpool_chain_append(&chain, chain_text, n), 0);
}

static void chain_end(void)
{
	tierpool_chain_reset(&chain);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

TestSuite(chain_io, .init = chain_start, .fini = chain_end);

Test(chain_io, a_file_gets_what_lies_behind_the_offset)
{
	int fd = memfd_create("chain", MFD_CLOEXEC);

	chain_fill(64, 1000);
	for (size_t from = 0; from <= 1000; from++) {
		size_t offset = from;

		cr_assert(!ftruncate(fd, 0) && !lseek(fd, 0, SEEK_SET));
		cr_assert_eq(tierpool_chain_write_fd(&chain, fd, &offset), (ssize_t)(1000 - from));
		cr_assert_eq(offset, 1000);
		cr_assert_eq(pread(fd, drained, sizeof drained, 0), (ssize_t)(1000 - from));
		cr_assert_eq(memcmp(drained, chain_text + from, 1000 - from), 0);
		cr_assert_eq(tierpool_chain_write_fd(&chain, -1, &offset), 0, "nothing is left");
	}
	cr_assert_eq(tierpool_chain_write_fd(&chain, fd, NULL), 1000);
	cr_assert_eq(tierpool_chain_write_fd(&chain, fd, NULL), 1000, "each time from the start");
}

Test(chain_io, an_offset_behind_the_end_is_an_error_that_does_not_stick)
{
	size_t offset = 101;

	chain_fill(64, 100);
	cr_assert_eq(tierpool_chain_write_fd(&chain, 1, &offset), -EINVAL);
	cr_assert_eq(offset, 101);
	offset = SIZE_MAX;
	cr_assert_eq(tierpool_chain_write_fd(&chain, 1, &offset), -EINVAL);
	cr_assert_eq(tierpool_chain_error(&chain), 0);
}

Test(chain_io, errors_of_the_descriptor_do_not_stick)
{
	size_t offset = 10;
	int fd[2];

	chain_fill(64, 1000);
	cr_assert_eq(tierpool_chain_write_fd(&chain, -1, &offset), -EBADF);
	cr_assert_eq(pipe(fd), 0);
	close(fd[0]);
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(tierpool_chain_write_fd(&chain, fd[1], &offset), -EPIPE);
	cr_assert_eq(tierpool_chain_write_fd(&chain, fd[1], NULL), -EPIPE);
	cr_assert_eq(offset, 10);
	cr_assert_eq(tierpool_chain_error(&chain), 0);
	expect_chain(&chain, chain_text, 1000);
}

Test(chain_io, more_blocks_than_writev_takes_are_written)
{
	size_t blocks = 3 * IOV_MAX + 1, offset = 0;
	int fd = memfd_create("chain", MFD_CLOEXEC);

	chain_fill(64, 64 * blocks);
	cr_assert_eq(tierpool_chain_iovec(&chain, 0, NULL, 0), blocks);
	cr_assert_eq(tierpool_chain_write_fd(&chain, fd, &offset), (ssize_t)(64 * blocks));
	cr_assert_eq(pread(fd, drained, sizeof drained, 0), (ssize_t)(64 * blocks));
	cr_assert_eq(memcmp(drained, chain_text, 64 * blocks), 0);
}

/* Writes the chain to a socket that takes few bytes at a time. Returns: how often it would have blocked. */
static unsigned send_in_parts(size_t len)
{
	size_t offset = 0, got = 0;
	unsigned blocked = 0;
	int fd[2], small = 4096;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	cr_assert_eq(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	while (offset < len) {
		size_t before = offset;
		ssize_t n = tierpool_chain_write_fd(&chain, fd[0], &offset);

		if (n < 0)
			cr_assert(n == -EAGAIN && offset == before, "%zd", n);
		else
			cr_assert_eq(offset, before + (size_t)n);
		if (offset < len) {
			blocked++;
			/* Any number of bytes, so that the next part begins anywhere. */
			n = read(fd[1], drained + got, 1 + 37 * blocked % 3000);
			cr_assert_gt(n, 0);
			got += (size_t)n;
		}
	}
	for (ssize_t n; got < len; got += (size_t)n)
		cr_assert_gt(n = read(fd[1], drained + got, len - got), 0);
	cr_assert_eq(memcmp(drained, chain_text, len), 0);
	close(fd[0]);
	close(fd[1]);
	return blocked;
}

Test(chain_io, partial_writes_go_on_where_the_last_one_ended)
{
	static const size_t blocks[] = {64, 1000, 0};

	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		chain_fill(blocks[i], 300 * KIB);
		cr_assert_geq(send_in_parts(300 * KIB), 20);
		tierpool_chain_reset(&chain);
	}
}

/* ---- interrupted ---- */

static volatile sig_atomic_t interrupts;
static pthread_t writer;
static int ends[2];

static void interrupted(int number)
{
	(void)number;
	interrupts++;
}

/* Drains the pipe; before that, and in between, signals reach the writer, which waits for room. */
static void *interrupt_then_read(void *unused)
{
	size_t total = 0;
	ssize_t n;

	do {
		int seen = interrupts;

		while (interrupts < seen + 3 && total < 200 * KIB) {
			pthread_kill(writer, SIGUSR1);
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		}
		n = read(ends[0], drained + total, 100 * KIB);
		total += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return unused;
}

Test(chain_io, write_goes_on_after_signals_and_short_writes)
{
	struct sigaction action = {.sa_handler = interrupted};
	size_t offset = 0;
	pthread_t thread;

	chain_fill(KIB, MIB);
	cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
	writer = pthread_self();
	cr_assert_eq(pipe(ends), 0);
	fcntl(ends[1], F_SETPIPE_SZ, 4096);
	cr_assert_eq(pthread_create(&thread, NULL, interrupt_then_read, NULL), 0);
	cr_assert_eq(tierpool_chain_write_fd(&chain, ends[1], &offset), (ssize_t)MIB);
	close(ends[1]);
	pthread_join(thread, NULL);
	cr_assert_geq(interrupts, 3);
	cr_assert_eq(offset, MIB);
	cr_assert_eq(memcmp(drained, chain_text, MIB), 0);
}
