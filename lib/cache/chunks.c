/* SPDX-License-Identifier: MIT */
#include "cache/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"

void tp_chunks_init(struct tp_chunks *chunks)
{
	memset(chunks, 0, sizeof *chunks);
	pthread_mutex_init(&chunks->lock, NULL);
}

void tp_chunks_fini(struct tp_chunks *chunks)
{
	pthread_mutex_destroy(&chunks->lock);
}

struct tp_chunk *tp_chunk_new(void *const *object, size_t count)
{
	struct tp_chunk *chunk = count ? malloc(sizeof *chunk) : NULL;

	if (chunk) {
		chunk->count = count;
		memcpy(chunk->object, object, count * sizeof *object);
	}
	return chunk;
}

/* In the lock. Relaxed: tp_chunks_have, which reads without it, only compares with NULL. */
static void chunks_set(
	struct tp_chunks *chunks, enum tp_generation generation, struct tp_chunk *first)
{
	tp_store_relaxed(&chunks->generation[generation], first);
}

bool tp_chunks_have(const struct tp_chunks *chunks, enum tp_generation generation)
{
	return tp_load_relaxed(&chunks->generation[generation]);
}

void tp_chunks_push(struct tp_chunks *chunks, struct tp_chunk *chunk, enum tp_generation generation)
{
	pthread_mutex_lock(&chunks->lock);
	chunk->next = chunks->generation[generation];
	chunks_set(chunks, generation, chunk);
	pthread_mutex_unlock(&chunks->lock);
}

struct tp_chunk *tp_chunks_pop(struct tp_chunks *chunks, enum tp_generation generation)
{
	struct tp_chunk *chunk;

	if (!tp_chunks_have(chunks, generation))
		return NULL;
	pthread_mutex_lock(&chunks->lock);
	chunk = chunks->generation[generation];
	if (chunk)
		chunks_set(chunks, generation, chunk->next);
	pthread_mutex_unlock(&chunks->lock);
	return chunk;
}

struct tp_chunk *tp_chunks_take(struct tp_chunks *chunks, enum tp_generation generation)
{
	struct tp_chunk *all;

	pthread_mutex_lock(&chunks->lock);
	all = chunks->generation[generation];
	chunks_set(chunks, generation, NULL);
	pthread_mutex_unlock(&chunks->lock);
	return all;
}

bool tp_chunks_add(struct tp_chunks *chunks, void *object)
{
	struct tp_chunk *chunk;
	bool added;

	pthread_mutex_lock(&chunks->lock);
	chunk = chunks->generation[TP_YOUNG];
	added = chunk && chunk->count < TP_AGES_SLOTS;
	if (added)
		chunk->object[chunk->count++] = object;
	pthread_mutex_unlock(&chunks->lock);
	return added;
}

/* In the lock: makes the young ones old. Returns: what was old before. */
static struct tp_chunk *chunks_generation_pass(struct tp_chunks *chunks)
{
	struct tp_chunk *old = chunks->generation[TP_OLD];

	chunks_set(chunks, TP_OLD, chunks->generation[TP_YOUNG]);
	chunks_set(chunks, TP_YOUNG, NULL);
	return old;
}

void tp_chunks_age(struct tp_chunks *chunks)
{
	pthread_mutex_lock(&chunks->lock);
	if (!chunks->generation[TP_EXPIRED])
		chunks_set(chunks, TP_EXPIRED, chunks_generation_pass(chunks));
	pthread_mutex_unlock(&chunks->lock);
}

void tp_chunks_rotate(struct tp_chunks *chunks, struct tp_chunk *first[2])
{
	pthread_mutex_lock(&chunks->lock);
	first[0] = chunks_generation_pass(chunks);
	first[1] = chunks->generation[TP_EXPIRED];
	chunks_set(chunks, TP_EXPIRED, NULL);
	pthread_mutex_unlock(&chunks->lock);
}
