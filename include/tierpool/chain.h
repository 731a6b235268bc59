/* SPDX-License-Identifier: MIT */
/*
 * A chain: output in pieces, without copying. Blocks borrowed from a pool stand in a row, and append
 * goes on in a new one when the last is full. So nothing that was appended moves or is copied, and
 * writev sends all of it. For output that is long, or whose length is not known; what is short, or is
 * needed in one piece, belongs into a tierpool_buf.
 *
 *     tierpool_chain c;
 *     tierpool_chain_init(&c, tierpool_default(), 0);
 *     tierpool_chain_append(&c, text, length);                // as often as you like
 *     ssize_t n = tierpool_chain_write_fd(&c, fd, &offset);   // the length, or less, or an error
 *     tierpool_chain_reset(&c);
 *
 * The same two rules as in <tierpool/buffer.h> make it safe to check once, at the end:
 *
 *   - Every function takes NULL. Those that return int or ssize_t return -ENOMEM then, those that
 *     return size_t 0, and the others do nothing.
 *   - Errors of append stick. After the first one each append fails with that same error, and changes
 *     nothing, until tierpool_chain_reset. A failed append leaves the chain exactly as it was. Errors of
 *     writev(2) do not stick.
 *
 * Of numbers, JSON and printf a buffer has the calls: format into one, and append its content. As a write
 * callback takes a chain:
 *
 *     static void to_chain(void *c, const char *text, size_t n) { tierpool_chain_append(c, text, n); }
 *
 * A chain belongs to one thread at a time. In reports and in the profile all blocks of chains have one
 * site, tierpool_chain; the stacks of the profile tell who appended. A block is borrowed as
 * by tierpool_get_sized, and teaches no site a size.
 *
 * <tierpool.h> does not include this header. Signals, fork, errno: see there.
 */
#ifndef TIERPOOL_CHAIN_H
#define TIERPOOL_CHAIN_H

#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <tierpool/buffer.h>
#include <tierpool/pool.h>
#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Private: one block of a chain. */
struct tierpool_chain_block {
	tierpool_buf *tp_buf;
	size_t tp_until; /* bytes that the chain has room for up to the end of this block */
};

/*
 * On the caller's stack, or in a struct of the program. All is private; 128 bytes. A chain of all zeros
 * is one without a pool: each append of something fails with -EINVAL, all else takes it as empty.
 *
 * It is not copied, as its blocks are put back once; in C++ it cannot be. In C it may be moved by
 * assignment, if the old one is not used any more.
 */
typedef struct tierpool_chain {
	size_t tp_room;           /* 0: bytes that append may write without asking further */
	char *tp_end;             /* 8: of the last block; what is free lies before it */
	size_t tp_size;           /* 16: the length of the content, and tp_room */
	struct tierpool *tp_pool; /* 24 */
	size_t tp_block;          /* 32: bytes to borrow at a time */
	size_t tp_count;          /* 40: blocks */
	tierpool_buf *tp_more;    /* 48: a list of the blocks behind tp_first; NULL: none */
	int tp_error;             /* 56: the negative errno that sticks */
	int tp_reserved;          /* 60: 0 */
	struct tierpool_chain_block tp_first[4]; /* 64 */
#ifdef __cplusplus
	tierpool_chain() = default;
	tierpool_chain(const tierpool_chain &) = delete;
	tierpool_chain &operator=(const tierpool_chain &) = delete;
#endif
} tierpool_chain;

/*
 * Makes c an empty chain, which borrows nothing until the first append.
 *
 * Before:  c has no blocks: it is new, or was reset.
 * block:   bytes to borrow at a time; 0: 64 KiB. What a block has beyond that is used too: the pool
 *          lends the size of a tier, or a larger buffer that lies idle. From the fifth block
 *          on one more buffer is borrowed, for the list of them: 16 bytes a block, at least 1 KiB.
 */
TIERPOOL_API void tierpool_chain_init(
	tierpool_chain *c, tierpool *pool, size_t block) TIERPOOL_NOEXCEPT;

/*
 * Private: append where the bytes do not fit into the last block. The inline function calls it.
 */
TIERPOOL_API int tierpool_chain_append_slow(tierpool_chain *c, const void *src, size_t n)
	__attribute__((__cold__));

/*
 * Appends n bytes from src, which may lie in this same chain. First the last block is filled; what is
 * left goes to new ones. Inline where the bytes fit.
 *
 * After:   what was there before has not moved.
 * Errors:  -ENOMEM: a block, or a place in the list, could not be had; or n is larger than any object.
 *          -EINVAL: src is NULL and n is not 0, or the chain has no pool.
 * Returns: 0, or a negative errno, which sticks. Then the chain has the content that it had, and no
 *          block more.
 */
TIERPOOL_API TIERPOOL_INLINE int tierpool_chain_append(tierpool_chain *c, const void *src, size_t n)
{
	/* tp_room is 0 where an error sticks. */
	if (__builtin_expect(c && src, 1)) {
		size_t room = c->tp_room;

		if (__builtin_expect(n && n <= room, 1)) {
			char *to = c->tp_end - room;

			c->tp_room = room - n;
			memcpy(to, src, n);
			return 0;
		}
	}
	return tierpool_chain_append_slow(c, src, n);
}

/* Returns: the length of the content in bytes; 0 if c is NULL. */
TIERPOOL_NODISCARD TIERPOOL_API size_t tierpool_chain_len(
	const tierpool_chain *c) TIERPOOL_NOEXCEPT;

/*
 * Says where the content lies, from the byte at offset to the end, for writev(2) or another call that
 * takes an iovec: one entry for each block, never one of length 0. The first entry is found by
 * bisection. It also gives the content of a chain to which an error sticks:
 * ask tierpool_chain_error before you send it.
 *
 * iov, n:  at most n entries are filled; NULL, 0: none.
 * After:   the entries are valid until tierpool_chain_reset. They cover no byte that is appended later.
 * Returns: how many entries there are from offset to the end, which may be more than n; 0: offset is
 *          the length or beyond it.
 */
TIERPOOL_API size_t tierpool_chain_iovec(
	const tierpool_chain *c, size_t offset, struct iovec *iov, size_t n) TIERPOOL_NOEXCEPT;

/*
 * Writes the content to fd, from the byte at *offset to the end; the chain keeps it. All is written when
 * *offset is the length. If it is not, wait until fd can be written, and call again. EINTR and short
 * writes are retried. Up to 64 blocks are written by one writev(2). A chain to which an error sticks is
 * not written: so output with a missing piece never gets out.
 *
 * offset:  where in the content to begin; moved behind what was written, also if the call fails later or
 *          its thread is cancelled. NULL: from the start
 * Blocks:  as writev(2) does on fd. A thread may be cancelled there. SIGPIPE comes as from writev(2).
 * Errors:  -EINVAL: *offset is larger than the length; -errno of writev(2), which does not stick
 *          (-EAGAIN: fd is non-blocking and is full); -EIO: writev(2) wrote nothing and said no error.
 * Returns: the number of bytes written. It is less than what was left if fd would block, or fails,
 *          after some bytes: the next call meets the error again. If nothing was written: a negative
 *          errno, or 0 if nothing was left.
 */
TIERPOOL_NODISCARD TIERPOOL_API ssize_t tierpool_chain_write_fd(
	const tierpool_chain *c, int fd, size_t *offset);

/*
 * Appends the whole content to a buffer, for what needs it in one piece. The chain keeps it.
 *
 * After:   the data of into may have moved; it grows once at most.
 * Errors:  the error that sticks to the chain: into is as it was; else as tierpool_buf_append(into),
 *          which sticks to into alone.
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_chain_flatten(tierpool_chain *c, tierpool_buf *into);

/*
 * Asks whether all went well, once after many appends.
 *
 * Returns: 0, or the first error since the init or the last reset, a negative errno; -ENOMEM if c is
 *          NULL.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_chain_error(const tierpool_chain *c) TIERPOOL_NOEXCEPT;

/*
 * Puts all blocks back: how a chain ends, and how it is emptied. No error sticks then, and it may be
 * used again, with the same pool and size of blocks.
 *
 * Before:  the pool exists, or was destroyed by tierpool_destroy after the blocks were borrowed: as for
 *          tierpool_put.
 */
TIERPOOL_API void tierpool_chain_reset(tierpool_chain *c);

#ifdef __cplusplus
}
#endif

#endif
