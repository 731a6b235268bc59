/* SPDX-License-Identifier: MIT */
/*
 * All pools, object caches and shared budgets, and the references that keep each alive. Owns the
 * list, its lock, the ids and the meaning of due times. Of an entry it knows a name and a kind: a
 * table of functions.
 *
 *   references of a pool == 1 for its handle + 1 for each buffer that has a block + 1 for each
 *                           slow put, tick, trim and reading of statistics under way
 *   references of a cache == 1 for its handle + 1 for each tierpool_cache_tick, reading of
 *                           statistics, and destroy, under way
 *   references of a budget == 1 for its handle + 1 for each pool that uses it, and for each
 *                            destroy under way
 *
 * The thread that drops the last one frees the entry. A walk visits one entry after the other and
 * takes no reference. Instead destroy first closes the entry, which waits for its visits, and then
 * drops the handle's reference. So no walk of the reaper uses a pool after its destroy. A budget is
 * visited while pools use it: the last drop closes it.
 *
 * Entries that share something form a group, a ring, and are visited in turn: the group remembers
 * whose turn is next. Close takes an entry out of its ring.
 */
#ifndef TP_REGISTRY_H
#define TP_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process/atfork.h"

/* Due times: no tick comes by itself; and, for the reaper only, nothing is there to decay. */
#define TP_DUE_NEVER (UINT64_MAX - 1)
#define TP_DUE_EMPTY UINT64_MAX

struct tp_registered;

enum tp_kind_id { TP_KIND_POOL, TP_KIND_CACHE, TP_KIND_BUDGET };

/* What describe tells. */
enum tp_entry_figure {
	/* Of a cache, in objects. */
	TP_FIGURE_GETS,
	TP_FIGURE_PUTS,
	TP_FIGURE_CREATES,
	TP_FIGURE_DESTROYS,
	TP_FIGURE_IDLE,
	/* Of a budget, in bytes. */
	TP_FIGURE_BOUND,
	TP_FIGURE_LEASED,
	TP_FIGURES,
};

struct tp_kind {
	enum tp_kind_id id;
	void (*dead)(struct tp_registered *self); /* called once, when no reference is left */
	/* For report/, on a visit: fills in the figures of its kind. NULL: of a pool, which it knows. */
	void (*describe)(struct tp_registered *self, uint64_t figure[TP_FIGURES]);
	/* For the reaper, on a visit. NULL, all three: nothing is idle there. */
	uint64_t (*due)(struct tp_registered *self); /* when the next tick is, by tp_clock_ms */
	size_t (*tick)(struct tp_registered *self);  /* one decay step to its end, if it is due */
	size_t (*empty)(struct tp_registered *self); /* gives up all that is idle */
	/* Has every get be drawn for the profile from now on, on a visit; NULL: it has none. */
	void (*expire)(struct tp_registered *self);
	/* All entries are called, with the registry's lock, before the next phase (atfork.h). */
	void (*fork)(struct tp_registered *self, enum tp_fork phase);
};

/* Lives longer than its members are open. All 0: it has none. */
struct tp_group {
	struct tp_registered *next; /* in the registry's lock: whose turn is next; NULL: none */
};

/* The head of every pool, cache and budget. */
struct tp_registered {
	struct tp_registered *next, **link; /* in the registry's lock, as the next two */
	struct tp_registered *chained;      /* the next one of its bucket */
	struct tp_registered *ring_next, *ring_previous; /* of its group, while it is not closed */
	size_t references; /* written and read by anyone, atomically */
	uint32_t visits;   /* written in the lock; read by tp_registry_close */
	bool closed;       /* in the lock: no more visits */
	uint64_t id;       /* from 1 on, in the order of tp_registry_add; reports show it */
	const char *name;  /* these three: set before the entry is added */
	const struct tp_kind *kind;
	struct tp_group *group; /* NULL: none */
};

/* Enters a pool, cache or budget, with the one reference of its handle, and gives it its id. */
void tp_registry_add(struct tp_registered *entry);

/*
 * Takes a reference, for a call, to what may be a live entry of a kind, or gone. candidate is looked for by its
 * address, and not read before it is found: an entry of another kind may lie there by now. False: it
 * is not alive, or of another kind, and nothing was taken.
 */
bool tp_registry_hold(const void *candidate, enum tp_kind_id kind);

/* Takes one for a call too, of an entry that the caller knows to have one. */
void tp_registry_hold_known(struct tp_registered *entry);

/* Drops what one of these two took, as tp_registry_drop. */
void tp_registry_let_go(struct tp_registered *entry);

/* Ends the visit of entry and visits the next one; NULL: the first. Returns: NULL at the end. */
struct tp_registered *tp_registry_next(struct tp_registered *entry);

/*
 * A walk by references in place of visits: of what may be closed and is not gone. Lets entry go, and
 * takes a reference, for a call, to the next one of this kind; NULL: the first. Returns: NULL at the end.
 */
struct tp_registered *tp_registry_next_held(struct tp_registered *entry, enum tp_kind_id kind);

/*
 * Ends the visit of entry and visits the one of member's group whose turn is next; NULL: the first
 * of a walk. Returns: NULL when all but member itself have had their turn. A walk may end before;
 * the next one goes on from there. Before: no other walk of this group is under way.
 */
struct tp_registered *tp_registry_next_in_group(
	struct tp_registered *member, struct tp_registered *entry);

/* Ends a visit, and the walk before its end. */
void tp_registry_leave(struct tp_registered *entry);

/* Takes one more reference. Before: the caller knows that there is one. */
void tp_registry_retain(struct tp_registered *entry);

/*
 * Drops a reference; the last one closes the entry. Blocks: if that is the last one and the entry is
 * not closed, as tp_registry_close. After: the entry may be gone.
 */
void tp_registry_drop(struct tp_registered *entry);

/*
 * Closes the entry to walks, and takes it out of its group. Blocks: until the visits under way have
 * ended. Before: the caller has a reference. Returns: whether it was open until now.
 */
bool tp_registry_close(struct tp_registered *entry);

/*
 * In the child of a fork: sets the references to those that are not of calls, as only calls of this
 * thread go on. If one of these forks, in a callback, then it does nothing: what calls of other
 * threads had stays, and the memory of the entry may never be freed.
 */
void tp_registry_recount(struct tp_registered *entry, size_t references);

/* TP_FORK_PREPARE, _PARENT or _CHILD, from atfork.c: of the list itself and of all entries. */
void tp_registry_fork(enum tp_fork phase);

#endif
