/* SPDX-License-Identifier: MIT */
/*
 * All pools that exist, and the references that keep each in existence. Owns the list and its lock;
 * knows of a pool only its name and how it is freed. Layer 1.
 *
 * A pool has a reference for its handle, one for each buffer that has a block, and one for each
 * slow call under way; whoever drops the last one frees the pool.
 */
#ifndef TP_REGISTRY_H
#define TP_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

/* The head of every pool. */
struct tp_registered {
	struct tp_registered *next, **link; /* in the registry's lock */
	size_t references;
	const char *name;
	void (*dead)(struct tp_registered *self); /* called once, when no reference is left */
};

/* Enters a pool with the one reference of its handle. */
void tp_registry_add(struct tp_registered *entry);

/*
 * Takes a reference to what may or may not be a live pool: only its address is looked at until it
 * is found in the list. False: there is none, and nothing was taken.
 */
bool tp_registry_hold(const void *candidate);

/* The next pool after entry, or the first for NULL, with a reference; entry's is dropped. */
struct tp_registered *tp_registry_next(struct tp_registered *entry);

/* Takes one more reference, where the caller knows that there is one. */
void tp_registry_retain(struct tp_registered *entry);

/* Drops a reference; the pool may be gone afterwards. */
void tp_registry_drop(struct tp_registered *entry);

/* For fork: holds the list still; and the walk over it while it is held. */
void tp_registry_lock(void);
void tp_registry_unlock(void);
struct tp_registered *tp_registry_first_locked(void);

#endif
