/* SPDX-License-Identifier: MIT */
/*
 * A chain: borrowed blocks in a row. Owns the blocks between append and reset, the list of them, and
 * the error that sticks. What a block is, and where it comes from, is the pool's.
 *
 * The content fills each block to its capacity, but the last one. So one number says where it ends:
 *
 *     length of the content == tp_size - tp_room
 *     tp_size == tp_until of the last block == sum of the capacities, if no error sticks
 *     tp_size == length, tp_room == 0, if one does: then the inline append leaves it to us
 *
 * No block is empty. A block is found by its tp_until, by bisection. Entries 0 to 3 stand in the struct,
 * the others in the block of tp_more, a borrowed buffer that grows as each does: so the list too is in
 * the pool's bounds, and is never allocated by itself.
 *
 * The len of a block is set when it is put, for the profile.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <tierpool/pool.h>

/* The function that is inline in programs is an ordinary one here: the library's symbol. */
#undef TIERPOOL_INLINE
#define TIERPOOL_INLINE
#include <tierpool/chain.h>

#include "base/compiler.h"
#include "pool/grow.h"
#include "pool/write_out.h"

/* Bytes of a block if the program does not say: the capacity of a pipe (pipe(7)). */
#define BLOCK_DEFAULT ((size_t)64 << 10)

/* Blocks that the struct has a place for. */
#define FIRST (sizeof(((tierpool_chain *)NULL)->tp_first) / sizeof(struct tierpool_chain_block))

/* Bytes of the list, at first: 64 entries. */
#define MORE_FIRST ((size_t)1 << 10)

/* Entries of one writev: they take 1 KiB of stack; 4 MiB of content in blocks of the default size. */
#define WRITE_GROUP 64
_Static_assert(WRITE_GROUP <= IOV_MAX, "writev takes so many");

static tierpool_site chain_site = TIERPOOL_SITE_INIT("tierpool_chain");

static struct tierpool_chain_block *chain_block(const tierpool_chain *c, size_t i)
{
	struct tierpool_chain_block *list;

	if (i < FIRST)
		return (struct tierpool_chain_block *)&c->tp_first[i];
	list = (void *)c->tp_more->data;
	return &list[i - FIRST];
}

/* ---- blocks come and go ---- */

/* Makes a place in the list for block i. Returns: false: out of memory. */
static bool chain_list_reserve(tierpool_chain *c, size_t i)
{
	size_t has, needs;

	if (i < FIRST)
		return true;
	has = (i - FIRST) * sizeof(struct tierpool_chain_block);
	needs = has + sizeof(struct tierpool_chain_block);
	if (!c->tp_more) {
		c->tp_more = tierpool_get_at(c->tp_pool, MORE_FIRST, &chain_site);
		return c->tp_more;
	}
	return needs <= c->tp_more->cap || tp_pool_grow(c->tp_more, has, NULL, 0, needs);
}

/* Borrows block i, which begins where size bytes have room before it. NULL: out of memory. */
static const tierpool_buf *chain_borrow(tierpool_chain *c, size_t i, size_t size)
{
	tierpool_buf *b = NULL;

	if (chain_list_reserve(c, i))
		b = tierpool_get_at(c->tp_pool, c->tp_block, &chain_site);
	if (b)
		*chain_block(c, i) = (struct tierpool_chain_block){b, size + b->cap};
	return b;
}

/* Puts blocks back, from first on up to count; and the list, if no block is left in it. */
static void chain_give_back(tierpool_chain *c, size_t first, size_t count)
{
	size_t len = tierpool_chain_len(c);

	for (size_t i = first; i < count; i++) {
		const struct tierpool_chain_block *block = chain_block(c, i);
		size_t begin = block->tp_until - block->tp_buf->cap;

		block->tp_buf->len = tp_min(len - tp_min(len, begin), block->tp_buf->cap);
		tierpool_put(block->tp_buf);
	}
	if (first <= FIRST && c->tp_more) {
		c->tp_more->len =
			(count - tp_min(count, FIRST)) * sizeof(struct tierpool_chain_block);
		tierpool_put(c->tp_more);
		c->tp_more = NULL;
	}
}

/* ---- append ---- */

static int chain_stick(tierpool_chain *c, int error)
{
	c->tp_size -= c->tp_room;
	c->tp_room = 0;
	c->tp_error = error;
	return error;
}

/*
 * Fills the last block, and as many new ones as it takes. They count from the moment when all of them
 * are there: until then the chain is what it was.
 */
static int chain_spread(tierpool_chain *c, const char *src, size_t n)
{
	size_t count = c->tp_count, size = c->tp_size, room = c->tp_room;
	char *end = c->tp_end;

	for (;;) {
		size_t part = tp_min(n, room);
		const tierpool_buf *b;

		if (part)
			memcpy(end - room, src, part);
		room -= part;
		src += part;
		n -= part;
		if (!n)
			break;
		b = chain_borrow(c, count, size);
		if (!b) {
			chain_give_back(c, c->tp_count, count);
			return chain_stick(c, -ENOMEM);
		}
		count++;
		size += b->cap;
		room = b->cap;
		end = b->data + b->cap;
	}
	c->tp_count = count;
	c->tp_size = size;
	c->tp_room = room;
	c->tp_end = end;
	return 0;
}

int tierpool_chain_append_slow(tierpool_chain *c, const void *src, size_t n)
{
	if (!c)
		return -ENOMEM;
	if (c->tp_error || !n)
		return c->tp_error;
	if (!src || !c->tp_pool)
		return chain_stick(c, -EINVAL);
	/* No object is as large: the length is wrong, and all blocks that can be had would not do. */
	if (n > PTRDIFF_MAX)
		return chain_stick(c, -ENOMEM);
	return chain_spread(c, src, n);
}

/* ---- the content ---- */

size_t tierpool_chain_len(const tierpool_chain *c)
{
	return c ? c->tp_size - c->tp_room : 0;
}

/* The block in which the byte at offset lies; there is one. */
static size_t chain_find(const tierpool_chain *c, size_t offset)
{
	size_t low = 0, high = c->tp_count - 1;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (chain_block(c, middle)->tp_until <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t tierpool_chain_iovec(const tierpool_chain *c, size_t offset, struct iovec *iov, size_t n)
{
	size_t len = tierpool_chain_len(c), first, needed;

	if (offset >= len)
		return 0;
	first = chain_find(c, offset);
	needed = c->tp_count - first;
	for (size_t i = 0; iov && i < tp_min(n, needed); i++) {
		const struct tierpool_chain_block *block = chain_block(c, first + i);
		const tierpool_buf *b = block->tp_buf;

		iov[i].iov_base = b->data + b->cap - (block->tp_until - offset);
		iov[i].iov_len = tp_min(block->tp_until, len) - offset;
		offset = block->tp_until;
	}
	return needed;
}

static ssize_t chain_write(const void *content, int fd, size_t offset)
{
	struct iovec iov[WRITE_GROUP];
	size_t needed = tierpool_chain_iovec(content, offset, iov, WRITE_GROUP);

	return writev(fd, iov, (int)tp_min(needed, WRITE_GROUP));
}

ssize_t tierpool_chain_write_fd(const tierpool_chain *c, int fd, size_t *offset)
{
	return tp_write_out(
		c, fd, offset, tierpool_chain_len(c), tierpool_chain_error(c), chain_write);
}

int tierpool_chain_flatten(tierpool_chain *c, tierpool_buf *into)
{
	int error = tierpool_chain_error(c);
	size_t offset = 0;
	struct iovec piece = {0};

	if (!error)
		error = tierpool_buf_reserve(into, tierpool_chain_len(c));
	while (!error && tierpool_chain_iovec(c, offset, &piece, 1)) {
		error = tierpool_buf_append(into, piece.iov_base, piece.iov_len);
		offset += piece.iov_len;
	}
	return error;
}

/* ---- the chain itself ---- */

void tierpool_chain_init(tierpool_chain *c, tierpool *pool, size_t block)
{
	if (c)
		*c = (tierpool_chain){.tp_pool = pool, .tp_block = block ? block : BLOCK_DEFAULT};
}

int tierpool_chain_error(const tierpool_chain *c)
{
	return c ? c->tp_error : -ENOMEM;
}

void tierpool_chain_reset(tierpool_chain *c)
{
	if (!c)
		return;
	chain_give_back(c, 0, c->tp_count);
	tierpool_chain_init(c, c->tp_pool, c->tp_block);
}
