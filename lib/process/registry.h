/* SPDX-License-Identifier: MIT */
/*
 * All pools and object caches that exist, and the references that keep each in existence. Owns the
 * list and its lock; knows of an entry its name and its kind, which says what can be done to it
 * without knowing more.
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

/* As a due time: never; and, to the reaper, that nothing is there that could decay. */
#define TP_DUE_NEVER (UINT64_MAX - 1)
#define TP_DUE_EMPTY UINT64_MAX

struct tp_registered;

enum tp_kind_id { TP_KIND_POOL, TP_KIND_CACHE };

/*
 * What happens around a fork, in this order: before it, all entries take their locks; after it, in
 * the parent they give them back. In the child each entry first lets go of what it shares with
 * others; then each counts what is there, and gives its locks back.
 */
enum tp_fork { TP_FORK_PREPARE, TP_FORK_PARENT, TP_FORK_CHILD_FIRST, TP_FORK_CHILD };

struct tp_kind {
	enum tp_kind_id id;
	void (*dead)(struct tp_registered *self); /* called once, when no reference is left */
	/* For the reaper, on a visit. */
	uint64_t (*due)(struct tp_registered *self); /* when the next tick is, by tp_clock_ms */
	size_t (*tick)(struct tp_registered *self);  /* one decay step to its end, if it is due */
	size_t (*empty)(struct tp_registered *self); /* gives up all that is idle */
	void (*fork)(struct tp_registered *self, enum tp_fork phase);
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

/* TP_FORK_PREPARE, _PARENT or _CHILD: of the list itself, and of all entries. See fork.c. */
void tp_registry_fork(enum tp_fork phase);

#endif
