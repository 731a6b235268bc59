/* SPDX-License-Identifier: MIT */
/*
 * The idle objects of an object cache: any pointers, on the same per-CPU stacks and the same ticks
 * as a pool's buffers. An object has no header, so that its age is kept beside its slot, and what
 * does not lie in a stack lies in chunks (chunks.h). Owns what is idle and destroys what ages out.
 *
 * Room in a stack costs nothing here; yet it grows on demand and shrinks with the ticks, so that
 * what comes into an empty cache comes by a slow call, which wakes the reaper.
 */
#ifndef TP_STORE_H
#define TP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/chunks.h"
#include "idle/decay.h"

/* Where the one stack of a slab is, for tp_stack_pop and tp_stack_push_aged. */
#define TP_STORE_STACK 0

struct tp_object_store {
	struct tp_cpus cpus;
	struct tp_decay decay;
	struct tp_chunks chunks;
	uint32_t destroying; /* held by the one call that destroys a piece by itself */
	uint64_t hot;        /* lines of the page in which stacks should not begin */
	void (*destroy)(void *context, void *object); /* NULL: nothing has to be done */
	void *context;
};

/* Bytes for what is kept of so many CPUs. */
static inline size_t tp_object_store_cpu_bytes(unsigned count)
{
	return tp_cpus_bytes(count) + tp_decay_bytes(count);
}

/*
 * 0 or -ENOMEM. cpus: memory of tp_object_store_cpu_bytes(tp_cpu_count()), which must outlive it. hot:
 * lines of the page (tp_colour) in which something lies that each get and put reads.
 */
int tp_object_store_init(struct tp_object_store *store, void *cpu_memory, uint64_t hot,
	unsigned decay_ms, void (*destroy)(void *context, void *object), void *context);

/* Destroys what is idle; nobody may use it any more. */
void tp_object_store_fini(struct tp_object_store *store);

/*
 * What a pop has not found: from the chunks, with others for the caller's CPU, or from other CPUs.
 */
void *tp_object_store_take(struct tp_object_store *store);

/* For what a push found no room. It is destroyed where there is no memory to keep it. */
void tp_object_store_keep(struct tp_object_store *store, void *object);

/* For slow calls and strikes: a piece of what is due. Whether there is more. */
bool tp_object_store_some(struct tp_object_store *store);

/* One decay step, to its end (asked: see decay.h); or all that is idle. How many were destroyed. */
size_t tp_object_store_tick(struct tp_object_store *store, bool asked);
size_t tp_object_store_empty(struct tp_object_store *store);

/* Whether anything is idle, or may come without a slow call. As of some moment. */
bool tp_object_store_have(const struct tp_object_store *store);

#endif
