/* SPDX-License-Identifier: MIT */
/*
 * Idle objects that do not lie in an object cache's stacks: pointers by the chunk, in generations
 * as a depot's buffers are (depot.h), but outside of the objects, which have no place for a link.
 * Owns the lists and their lock; destroys no object.
 */
#ifndef TP_CHUNKS_H
#define TP_CHUNKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "percpu/rseq.h"

/* As many objects as a stack with ages; they belong to whoever holds the chunk. */
struct tp_chunk {
	struct tp_chunk *next;
	size_t count;
	void *object[TP_AGES_SLOTS];
};

/* What was put since the last tick; before it; and before the last but one. */
enum tp_generation { TP_YOUNG, TP_OLD, TP_EXPIRED, TP_GENERATIONS };

struct tp_chunks {
	pthread_mutex_t lock;
	struct tp_chunk *generation[TP_GENERATIONS]; /* in the lock; whether any, read by anyone */
};

void tp_chunks_init(struct tp_chunks *chunks);
void tp_chunks_fini(struct tp_chunks *chunks); /* must be empty */

/* A chunk with so many objects, the caller's, to be freed. NULL: out of memory, or of none. */
struct tp_chunk *tp_chunk_new(void *const *object, size_t count);

void tp_chunks_push(
	struct tp_chunks *chunks, struct tp_chunk *chunk, enum tp_generation generation);

/* The newest chunk of a generation; or all of them. NULL: there is none. */
struct tp_chunk *tp_chunks_pop(struct tp_chunks *chunks, enum tp_generation generation);
struct tp_chunk *tp_chunks_take(struct tp_chunks *chunks, enum tp_generation generation);

/* One object into the newest young chunk. False: there is none with a place. */
bool tp_chunks_add(struct tp_chunks *chunks, void *object);

/*
 * One tick: what was old is dying, what was young is old; nothing while anything is dying. Or all
 * that was old or dying goes to victims: first[0] and first[1].
 */
void tp_chunks_age(struct tp_chunks *chunks);
void tp_chunks_rotate(struct tp_chunks *chunks, struct tp_chunk *first[2]);

/* As of some moment. */
bool tp_chunks_have(const struct tp_chunks *chunks, enum tp_generation generation);

#endif
