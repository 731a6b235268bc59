/* SPDX-License-Identifier: MIT */
/*
 * The idle buffers of a pool, in all layers where they lie: per-CPU stacks, then depots, under the
 * bound. Decides where a buffer is kept, which one is taken, evicted, aged and trimmed. Allocates
 * and frees no block: what must go is handed to the caller, in a list of victims. Layer 4.
 *
 * Invariants:
 *   leased bytes of a pool = sum over its tiers of cost * (depth + room over all CPUs + buffers in
 * the depot) + cost of what a slow call holds between two of these places + cost of victims not yet
 * freed idle bytes <= leased bytes <= retain, and the same sum over all pools of a budget <= its
 * limit So nothing is ever added to a stack or a depot whose cost was not leased before.
 */
#ifndef TP_IDLE_H
#define TP_IDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tierpool/buffer.h>

#include "backing.h"
#include "budget.h"
#include "cpucache.h"
#include "depot.h"
#include "sizeclass.h"

struct tp_tier {
	size_t cost;           /* bytes one idle buffer of this tier takes, header included */
	struct tp_budget many; /* counts, not bytes: the bound max_idle */
	uint16_t stack;        /* slots of its per-CPU stack */
	uint16_t limit;        /* of them, how many the bounds let one CPU lease; 0: depot only */
	struct tp_depot depot;
};

struct tp_idle {
	struct tp_cpucache cache;
	const struct tp_sizeclass *sizes;
	const struct tp_backing *backing; /* for slabs only */
	struct tp_tier *tiers;
	struct tp_budget retain;
	struct tp_budget *shared; /* NULL: none */
	size_t max_idle;          /* SIZE_MAX: no bound */
	size_t slab_bytes;
	size_t table_bytes;        /* doors, tiers and slabs; grows by a slab at a time */
	uint64_t room_looked;      /* milliseconds; when room was last reclaimed from all CPUs */
	uint16_t at[TP_TIERS_MAX]; /* of each tier's word in the slab */
};

/* 0 or -ENOMEM. sizes and backing must outlive idle; retain and max_idle as in the options. */
int tp_idle_init(struct tp_idle *idle, const struct tp_sizeclass *sizes,
	const struct tp_backing *backing, size_t retain, struct tp_budget *shared, size_t max_idle);

/* Frees the tables; nothing may be idle any more. */
void tp_idle_fini(struct tp_idle *idle);

/*
 * Takes an idle buffer that holds the tier: from the own stack, the depot, other CPUs' stacks, or
 * an aged one of the next larger tier. The caller's, in state idle; NULL: there is none.
 */
tierpool_buf *tp_idle_take(struct tp_idle *idle, unsigned tier, struct tp_list *victims);

enum tp_kept { TP_KEPT, TP_NO_BYTES, TP_NO_COUNT, TP_CLOSED };

/* Keeps a buffer in state idle, or says what stood against it: then it is the caller's still. */
enum tp_kept tp_idle_keep(struct tp_idle *idle, tierpool_buf *b, struct tp_list *victims);

/* Whether the bound has room for one buffer of the tier at all. */
bool tp_idle_may_fit(const struct tp_idle *idle, unsigned tier);

/* Takes one buffer of a larger tier, aged ones first, to be freed; with its lease. NULL: none. */
tierpool_buf *tp_idle_evict(struct tp_idle *idle, unsigned tier);

/* Ends the lease of a buffer that was taken out with it, once its block is freed. */
void tp_idle_unlease(struct tp_idle *idle, unsigned tier);

/* One decay step: buffers that age out go to victims, with their leases; room is halved. */
void tp_idle_tick(struct tp_idle *idle, struct tp_list *victims);

/* Moves at least excess bytes of buffers, if there are, to victims: aged and large ones first. */
void tp_idle_strip(struct tp_idle *idle, size_t excess, struct tp_list *victims);

/* Gives up all room of buffers that are not there. */
void tp_idle_room_drop(struct tp_idle *idle);

/* Sets the bound for leases to come, and what each CPU may hold under it. */
void tp_idle_retain_set(struct tp_idle *idle, size_t retain);

/* Closes everything for ever; all that was idle goes to victims, with its leases. */
void tp_idle_close(struct tp_idle *idle, struct tp_list *victims);

/* Idle buffers and their bytes as of some moment; bytes never above what is leased. */
size_t tp_idle_count(const struct tp_idle *idle, unsigned tier);
size_t tp_idle_bytes(const struct tp_idle *idle);

/* For fork: takes every lock; gives them back; and, in the child, leases what is really there. */
void tp_idle_lock(struct tp_idle *idle);
void tp_idle_unlock(struct tp_idle *idle);
void tp_idle_recount(struct tp_idle *idle);

#endif
