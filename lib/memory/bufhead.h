/* SPDX-License-Identifier: MIT */
/*
 * The headers of a pool's buffers. Owns their memory, in mappings apart from the blocks, and gives
 * pages back that no header of a buffer lies in. Headers are type-stable: until the pool ends, one
 * can be read whatever became of its buffer. So a put of a buffer that was put long ago reads a
 * header, and is reported; it is not undefined. If its page was given back it reads as 0, which is
 * the header of no buffer.
 *
 * TIERPOOL_DEBUG=check      a header that is freed waits behind others before it may be given out again
 * TIERPOOL_DEBUG=unpooled   each header is an allocation of malloc, and is freed at once: tools that watch
 *                           malloc see it. What is said above of reading one later does not hold
 */
#ifndef TP_BUFHEAD_H
#define TP_BUFHEAD_H

#include <stdbool.h>

#include <tierpool/buffer.h>

#include "base/atomic.h"
#include "base/lock.h"

struct tp_bufhead_chunk;

struct tp_bufheads {
	struct tp_lock lock;
	struct tp_bufhead_chunk *chunks; /* under lock; the largest and newest first */
	size_t idle;                     /* pages that are spent and have no buffer; under lock */
	size_t bytes;                    /* spent; written under lock, read by anyone */
	/* Those that wait, linked by tp_link, the oldest first; under lock. */
	tierpool_buf *waiting, *waiting_last;
	size_t waiting_count;
	/* Allocations of their own, as complements, which no leak checker follows; under lock. */
	uintptr_t *alone;
	size_t alone_count, alone_room;
};

void tp_bufheads_init(struct tp_bufheads *heads);

/* Frees all of them. Before: no buffer of the pool exists any more. */
void tp_bufheads_fini(struct tp_bufheads *heads);

/*
 * Gives the caller a header; if there is a choice, one of none of these colours. NULL: out of
 * memory.
 */
tierpool_buf *tp_bufhead_alloc(struct tp_bufheads *heads, uint64_t colours);

/* Takes a header back. Before: its block is gone. */
void tp_bufhead_free(struct tp_bufheads *heads, tierpool_buf *b);

/* Whether this is the place of a header whose page was given back since, or never used. */
bool tp_bufhead_is_gone(const tierpool_buf *b);

/* Gives all pages back that have no header of a buffer; a free leaves a few of them. */
void tp_bufheads_purge(struct tp_bufheads *heads);

/* The borrowed buffer whose data this is; looks at all of them. NULL: there is none. */
tierpool_buf *tp_bufheads_find(struct tp_bufheads *heads, const void *data);

/* Notes the block that a buffer has. data NULL: none. */
static inline void tp_bufhead_block_set(tierpool_buf *b, char *data, size_t cap)
{
	b->cap = cap;
	tp_store_relaxed(&b->data, data); /* others look: tp_bufheads_find, tp_block_owner */
}

#endif
