/* SPDX-License-Identifier: MIT */
/*
 * Idle objects that do not lie in the stacks of an object cache. An object has no place for a link,
 * so chunks hold pointers to them, in generations as a depot holds buffers (idle/depot.h). Owns the
 * lists and their lock; destroys no object.
 */
#ifndef TP_CHUNKS_H
#define TP_CHUNKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "percpu/rseq.h"

/* As many objects as a stack has slots. They belong to the holder of the chunk. */
struct tp_chunk {
	struct tp_chunk *next;
	size_t count;
	void *object[TP_AGES_SLOTS];
};

/* Put since the last tick; before it; before the last but one, and so to be destroyed. */
enum tp_generation { TP_YOUNG, TP_OLD, TP_EXPIRED, TP_GENERATIONS };

struct tp_chunks {
	pthread_mutex_t lock;
	struct tp_chunk *generation[TP_GENERATIONS]; /* in the lock; NULL or not: by anyone */
};

void tp_chunks_init(struct tp_chunks *chunks);
void tp_chunks_fini(struct tp_chunks *chunks); /* must be empty */

/* Makes a chunk of count objects, for the caller to free. NULL: count is 0, or no memory. */
struct tp_chunk *tp_chunk_new(void *const *object, size_t count);

void tp_chunks_push(
	struct tp_chunks *chunks, struct tp_chunk *chunk, enum tp_generation generation);

/* Takes the newest chunk of a generation, or all of them. NULL: there is none. */
struct tp_chunk *tp_chunks_pop(struct tp_chunks *chunks, enum tp_generation generation);
struct tp_chunk *tp_chunks_take(struct tp_chunks *chunks, enum tp_generation generation);

/* Puts one object into the newest young chunk. False: that has no place, or there is none. */
bool tp_chunks_add(struct tp_chunks *chunks, void *object);

/*
 * One tick, in two forms: young becomes old, and
 *   age      old becomes expired; but nothing happens while anything is expired
 *   rotate   what was old and what was expired is the caller's: the lists first[0] and first[1]
 */
void tp_chunks_age(struct tp_chunks *chunks);
void tp_chunks_rotate(struct tp_chunks *chunks, struct tp_chunk *first[2]);

/* Whether a generation has any chunk, as of some moment. */
bool tp_chunks_have(const struct tp_chunks *chunks, enum tp_generation generation);

#endif
