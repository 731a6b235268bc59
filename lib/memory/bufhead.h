/* SPDX-License-Identifier: MIT */
/*
 * The headers of a pool's buffers. Owns their memory, a page at a time, apart from the blocks. They
 * are type-stable: a header of this pool can be read until the pool ends. So a put of a buffer that
 * was put long ago reads a header, and is reported; it is not undefined.
 */
#ifndef TP_BUFHEAD_H
#define TP_BUFHEAD_H

#include <pthread.h>

#include <tierpool/buffer.h>

#include "memory/backing.h"
#include "memory/buflist.h"

struct tp_bufheads {
	pthread_mutex_t lock;
	struct tp_buflist spare;       /* headers without a block; under lock */
	struct tp_bufhead_page *pages; /* under lock */
	size_t bytes;                  /* of all pages; written under lock, read by anyone */
};

void tp_bufheads_init(struct tp_bufheads *heads);

/* Frees every page. Before: no buffer of the pool exists any more. */
void tp_bufheads_fini(struct tp_bufheads *heads, const struct tp_backing *backing);

/*
 * Gives the caller a header in state released; if there is a choice, one of none of these colours.
 * NULL: out of memory.
 */
tierpool_buf *tp_bufhead_alloc(
	struct tp_bufheads *heads, const struct tp_backing *backing, uint64_t colours);

/* Takes a header back. Before: its block is gone. */
void tp_bufhead_free(struct tp_bufheads *heads, tierpool_buf *b);

#endif
