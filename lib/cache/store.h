/* SPDX-License-Identifier: MIT */
/*
 * The idle objects of an object cache: any pointers, on the same per-CPU stacks and with the same
 * ticks as a pool's buffers. An object has no header, so its age is a byte next to its slot. What
 * does not fit into a stack lies in chunks (chunks.h). Owns what is idle, and destroys what has
 * aged out; creates no object.
 *
 * Room in a stack costs nothing here. It is still doubled on demand and halved by ticks. So an
 * empty cache has none, and its first put is a slow call, which wakes the reaper.
 */
#ifndef TP_STORE_H
#define TP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/chunks.h"
#include "idle/decay.h"

/* The stack index of the one stack of a slab. */
#define TP_STORE_STACK 0

struct tp_object_store {
	struct tp_cpus cpus;
	struct tp_decay decay;
	struct tp_chunks chunks;
	uint32_t destroying; /* a lock that is only tried: one slow call at a time destroys */
	uint64_t hot;        /* colours in which stacks should not begin */
	void (*destroy)(void *context, void *object); /* NULL: nothing has to be done */
	void *context;
};

/*
 * Makes a store. cpu_memory: of tp_decay_cpu_bytes(tp_cpu_count()) bytes; it must outlive
 * the store. hot: colours of what else each get and put reads. Returns: 0 or -ENOMEM.
 */
int tp_object_store_init(struct tp_object_store *store, void *cpu_memory, uint64_t hot,
	unsigned decay_ms, void (*destroy)(void *context, void *object), void *context);

/* Destroys what is idle. Before: no other thread uses the store. */
void tp_object_store_fini(struct tp_object_store *store);

/* Takes an object from the chunks, with more for this CPU, or from another CPU. NULL: none. */
void *tp_object_store_take(struct tp_object_store *store);

/* After a push that found no room: keeps the object, or destroys it if there is no memory. */
void tp_object_store_keep(struct tp_object_store *store, void *object);

/* Does a piece of the decay, if any is due. Returns: whether there is more to do. */
bool tp_object_store_some(struct tp_object_store *store);

/* Destroys what one whole tick ages out (asked: by the program), or all. Returns: how many. */
size_t tp_object_store_tick(struct tp_object_store *store, bool asked);
size_t tp_object_store_empty(struct tp_object_store *store);

/* Whether anything is idle, or there is room for a put without a slow call. As of some moment. */
bool tp_object_store_have(const struct tp_object_store *store);

#endif
