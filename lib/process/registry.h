/* SPDX-License-Identifier: MIT */
/*
 * All pools and object caches that exist, and the references that keep each in existence. Owns the
 * list and its lock; knows of an entry its name and its kind, which says what can be done to it
 * without knowing more. Layer 2.
 *
 * A pool has a reference for its handle, one for each buffer that has a block, and one for each
 * slow call under way; whoever drops the last one frees the pool. A cache has one for its handle,
 * and one for each tick under way.
 *
 * Who walks the list visits each entry, and has no reference: an entry is closed before its handle
 * is given up, which waits for all visits to end. So no walk, which the program does not know of,
 * uses a pool or its backing when tierpool_destroy has returned.
 */
#ifndef TP_REGISTRY_H
#define TP_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tp_registered;

struct tp_kind {
	void (*dead)(struct tp_registered *self); /* called once, when no reference is left */
	/* For the reaper, on a visit. */
	uint64_t (*due)(struct tp_registered *self); /* when the next tick is (decay.h) */
	size_t (*tick)(struct tp_registered *self);  /* one decay step to its end, if it is due */
	size_t (*empty)(struct tp_registered *self); /* gives up all that is idle */
	/* For fork: takes its locks; gives them back; and makes whole what is in the child. */
	void (*lock)(struct tp_registered *self);
	void (*unlock)(struct tp_registered *self);
	void (*forked)(struct tp_registered *self);
};

/* The head of every pool and cache. */
struct tp_registered {
	struct tp_registered *next, **link; /* in the registry's lock */
	size_t references;
	size_t visits; /* written in the lock, read by anyone */
	bool closed;   /* in the lock: no more visits */
	const char *name;
	const struct tp_kind *kind;
};

/* Enters a pool or cache with the one reference of its handle. */
void tp_registry_add(struct tp_registered *entry);

/*
 * Takes a reference to what may or may not be a live entry: only its address is looked at until it
 * is found in the list. False: there is none, and nothing was taken.
 */
bool tp_registry_hold(const void *candidate);

/* Visits the next entry, or the first for NULL; the visit of entry ends. */
struct tp_registered *tp_registry_next(struct tp_registered *entry);

/* The same, of those of which wanted says so; called in the lock. */
struct tp_registered *tp_registry_next_of(struct tp_registered *entry,
	bool (*wanted)(const struct tp_registered *, void *context), void *context);

/* Ends a visit amid a walk. */
void tp_registry_leave(struct tp_registered *entry);

/* Takes one more reference, where the caller knows that there is one. */
void tp_registry_retain(struct tp_registered *entry);

/* Drops a reference; the pool may be gone afterwards. */
void tp_registry_drop(struct tp_registered *entry);

/* Has no more walk visit the entry, and waits for those that do. With the handle's reference. */
void tp_registry_close(struct tp_registered *entry);

/* For fork: holds the list still; and the walk over it while it is held. */
void tp_registry_lock(void);
void tp_registry_unlock(void);
struct tp_registered *tp_registry_first_locked(void);

#endif
