/* SPDX-License-Identifier: MIT */
/*
 * The tables in which a pool's idle buffers lie: for each tier a stack on each CPU and a depot, and
 * what is leased for them. Owns the memory of the tables and the leases. Which buffer goes where is
 * decided in idle.h.
 *
 * Invariants, at every instant:
 *
 *   leased bytes of a pool == cost of each buffer in its stacks and depots
 *                           + cost of the room in its stacks
 *                           + cost of what slow calls hold between two of these places
 *                           + cost of victims that are not freed yet
 *   idle bytes <= leased bytes <= retain, and over all pools of a budget leased bytes <= its limit
 *   (a retain that was lowered below the leased bytes: as soon as these have shrunk to it)
 *
 * So a buffer is added to a stack or a depot only after its cost was leased.
 */
#ifndef TP_TIERS_H
#define TP_TIERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "idle/decay.h"
#include "idle/depot.h"
#include "memory/backing.h"
#include "memory/budget.h"
#include "memory/sizeclass.h"
#include "percpu/stack.h"

struct tp_tier {
	size_t cost;           /* bytes that one idle buffer of this tier takes, header included */
	struct tp_budget many; /* of buffers, not bytes: the bound max_idle */
	uint16_t stack;        /* slots of its stack on each CPU */
	uint16_t limit;        /* of depth + room on one CPU; 0: depot only. Set with retain */
	struct tp_depot depot;
};

/* Fields that name no other writer are set by tp_tiers_init, and read by anyone. */
struct tp_tiers {
	struct tp_cpus cpus;
	const struct tp_sizeclass *sizes;
	const struct tp_backing *backing; /* for the tables only */
	struct tp_tier *tier;             /* sizes->count of them */
	struct tp_budget retain;
	struct tp_budget *shared; /* NULL: none */
	size_t max_idle;          /* SIZE_MAX: no bound */
	pthread_mutex_t setting;  /* held while retain is changed */
	uint64_t settings;        /* odd while retain is changed; in setting, read by statistics */
	size_t slab_bytes;
	uint64_t colours;   /* of all that each get and put reads; words and headers keep out */
	size_t table_bytes; /* tiers and slabs; grows with each slab */
	struct tp_decay decay;
	uint32_t next_cpu; /* where tp_tiers_room_drop and tp_idle_evict go on; by anyone */
	uint32_t expired;  /* a depot may hold expired buffers; by anyone, see age.c */
	/* Of each tier's word in the slab; that of TP_TIER_NONE is a word that is always 0. */
	uint16_t stack_index[TP_TIER_NONE + 1];
	/* By tp_size_index, for get: the tier's capacity and its word. */
	size_t quick_size[TP_SIZE_INDICES];
	uint16_t quick_index[TP_SIZE_INDICES];
};

/*
 * cpu_memory: tp_decay_cpu_bytes(tp_cpu_count()). It, sizes and backing must outlive the tables.
 * hot: the colours (tp_colour) of what else each get and put reads. retain, max_idle and decay_ms
 * are the options'. Returns: 0 or -ENOMEM.
 */
int tp_tiers_init(struct tp_tiers *tiers, void *cpu_memory, const struct tp_sizeclass *sizes,
	const struct tp_backing *backing, size_t retain, struct tp_budget *shared, size_t max_idle,
	unsigned decay_ms, uint64_t hot);

/* Frees the tables. Before: nothing is idle. */
void tp_tiers_fini(struct tp_tiers *tiers);

/* What came of a lease, or of keeping a buffer: done; or why not. */
enum tp_kept { TP_KEPT, TP_NO_BYTES, TP_NO_COUNT, TP_CLOSED };

/* Leases the cost of n buffers of a tier. Returns: TP_KEPT, or which bound has no room for them. */
enum tp_kept tp_tiers_lease(struct tp_tiers *tiers, unsigned tier, size_t n);
void tp_tiers_unlease(struct tp_tiers *tiers, unsigned tier, size_t n);

/* Whether one buffer of the tier would fit if nothing were leased. */
bool tp_tiers_may_fit(const struct tp_tiers *tiers, unsigned tier);

/* Sets the bound for leases to come, and each tier's limit by it. Takes no lease back. */
void tp_tiers_retain_set(struct tp_tiers *tiers, size_t retain);

/* Gives up a stopped CPU's room, of the larger tiers first, until wanted bytes are free. */
void tp_tiers_room_reclaim(struct tp_tiers *tiers, struct tp_cpu *cpu, size_t wanted);

/* Gives up all room in the tiers from ... to - 1, on up to most CPUs; next time on others. */
void tp_tiers_room_drop(struct tp_tiers *tiers, unsigned from, unsigned to, unsigned most);

/* Moves the whole list, with its leases, to a tier's depot; if that is closed, to victims. */
void tp_tiers_depot_push(
	struct tp_tiers *tiers, unsigned tier, struct tp_buflist *list, struct tp_buflist *victims);

/* The colours of a tier's stack, on each CPU the same. */
uint64_t tp_tiers_colours(const struct tp_tiers *tiers, unsigned tier);

/* A stopped CPU's stack of a tier. */
static inline uint64_t *tp_tiers_stack(
	const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier)
{
	return cpu->slab + tiers->stack_index[tier];
}

/* A CPU's word of a tier at some moment: says whether the CPU is worth stopping. */
uint64_t tp_tiers_word(const struct tp_tiers *tiers, unsigned cpu_id, unsigned tier);

/* Gives the caller's CPU its slab. If it has one, or memory is short, does nothing. */
void tp_tiers_slab_create(struct tp_tiers *tiers);

/* Idle buffers of a tier, and the bytes of all, at some moment; bytes never above the leased. */
size_t tp_tiers_count(const struct tp_tiers *tiers, unsigned tier);
size_t tp_tiers_bytes(const struct tp_tiers *tiers);

/* For fork: takes every lock; gives them back; in the child, leases what is really there. */
void tp_tiers_lock(struct tp_tiers *tiers);
void tp_tiers_unlock(struct tp_tiers *tiers);
void tp_tiers_recount(struct tp_tiers *tiers);

#endif
