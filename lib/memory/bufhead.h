/* SPDX-License-Identifier: MIT */
/*
 * The headers of a pool's buffers: allocated by the page, apart from the blocks, and type-stable: a
 * header that was once a buffer of this pool can be read until the pool dies, so that a put of a
 * buffer that is long gone is found out and not undefined.
 */
#ifndef TP_BUFHEAD_H
#define TP_BUFHEAD_H

#include <pthread.h>

#include <tierpool/buffer.h>

#include "memory/backing.h"
#include "memory/buflist.h"

struct tp_bufheads {
	pthread_mutex_t lock;
	struct tp_buflist spare;       /* in the lock: headers without a block */
	struct tp_bufhead_page *pages; /* in the lock */
	size_t bytes;                  /* of all pages; read by anyone */
};

void tp_bufheads_init(struct tp_bufheads *heads);

/* Gives every page back; no buffer of the pool may exist any more. */
void tp_bufheads_fini(struct tp_bufheads *heads, const struct tp_backing *backing);

/*
 * A header, which is the caller's, in state released; where there is a choice, not in one of these
 * lines of the page (tp_colour). NULL: out of memory.
 */
tierpool_buf *tp_bufhead_alloc(
	struct tp_bufheads *heads, const struct tp_backing *backing, uint64_t colours);

/* Takes a header back, whose block is gone. */
void tp_bufhead_free(struct tp_bufheads *heads, tierpool_buf *b);

#endif
