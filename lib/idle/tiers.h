/* SPDX-License-Identifier: MIT */
/*
 * The tables in which idle items lie: for each tier a stack on each CPU and a depot, and what is
 * leased for them. Owns the memory of the tables, the leases, and where the age of an item stands.
 * Which item goes where is decided in idle.h.
 *
 * The mapping of the tables, whose pages are spent where they are written:
 *
 *     slab of each CPU | counters of each CPU's stacks (stack.h) | what the owner of the tiers counts
 *
 * Pages of slabs are given back, the others are not: what is counted stays.
 *
 * The items are the buffers of a pool, or the objects of a cache:
 *
 *             tiers   cost and bounds                    age
 *     pool    many    of each tier; retain, max_idle,    in the header of the buffer
 *                     and a shared budget
 *     cache   one     none: leases take nothing          a byte beside the slot of a stack
 *
 * Invariants, at every instant:
 *
 *   leased bytes of a pool == cost of each buffer in its stacks and depots
 *                           + cost of the room in its stacks
 *                           + cost of what slow calls hold between two of these places
 *                           + cost of what is being released
 *   idle bytes <= leased bytes <= retain, and over all pools of a budget leased bytes <= its limit
 *   (a retain that was lowered below the leased bytes: as soon as these have shrunk to it)
 *
 * So an item is added to a stack or a depot only after its cost was leased.
 */
#ifndef TP_TIERS_H
#define TP_TIERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"
#include "idle/decay.h"
#include "idle/depot.h"
#include "memory/backing.h"
#include "memory/blocks.h"
#include "memory/budget.h"
#include "memory/sizeclass.h"
#include "percpu/stack.h"

struct tp_tier {
	size_t cost;           /* bytes that one idle item of this tier takes; 0: not bounded */
	struct tp_budget many; /* of items, not bytes: the bound max_idle, and what is leased */
	uint16_t slots;        /* of its stack on each CPU */
	uint16_t limit;        /* of depth + room on one CPU; 0: depot only. Set with retain */
	bool steal;            /* an item is worth a look at other CPUs */
	uint64_t colours;      /* of its stack, on each CPU the same */
	struct tp_depot depot;
};

/* Why an item leaves for good; tierpool_stats has a number for each. */
enum tp_drop {
	TP_DROP_OVERSIZE,
	TP_DROP_RETAIN,
	TP_DROP_IDLE_COUNT,
	TP_DROP_DECAY,
	TP_DROP_TRIM,
	TP_DROP_DESTROY,
	TP_DROPS,
};

struct tp_tiers;

/*
 * Frees items that have left their places, and then ends their leases. The owner of the tiers hands
 * it down. It is called without a lock, but for those that are only tried.
 */
typedef void tp_release(
	struct tp_tiers *tiers, void *const *items, unsigned count, enum tp_drop why);

/* Fields that name no other writer are set by tp_tiers_init, and read by anyone. */
struct tp_tiers {
	struct tp_cpus cpus;
	const struct tp_backing *backing; /* for the tables only */
	tp_release *release;
	struct tp_tier *tier;  /* count of them */
	uint16_t *stack_index; /* of each tier's word in the slab; behind the tiers */
	unsigned count;
	uint16_t no_stack;        /* as stack_index, of a word that is always 0 */
	uint16_t countdowns;      /* where those of countdown.c begin in the slab, as stack_index */
	bool aged_slots;          /* ages stand beside the slots, as in a cache */
	bool sampled;             /* one get in TP_SAMPLE is */
	bool watched;             /* each pop is to come the slow way, for a while; by anyone */
	struct tp_budget *shared; /* NULL: none */
	size_t slab_bytes;        /* of one slab: whole pages */
	uint64_t colours; /* of all that each get and put reads; words and headers keep out */
	struct tp_decay decay;
	uint32_t next_cpu;      /* where looks at other CPUs go on; by anyone */
	uint32_t expired;       /* a depot may hold expired items; by anyone, see age.c */
	struct tp_lock setting; /* held while retain is changed */
	/* On a line that gets and puts do not need, as each lease writes it. */
	struct tp_budget retain __attribute__((aligned(TP_LINE)));
	uint64_t settings;  /* odd while retain is changed; in setting, read by statistics */
	size_t slabs_spent; /* bytes of slabs whose pages are spent; by anyone */
	size_t max_idle;    /* SIZE_MAX: no bound */
	size_t own_bytes;   /* of the owner, in the mapping */
};

struct tp_tiers_options {
	const struct tp_backing *backing; /* of the tables, which it must outlive */
	const struct tp_blocks *blocks;   /* where items come from; NULL: of a cache, one tier */
	size_t retain, max_idle;          /* as the options of a pool; SIZE_MAX: no bound */
	struct tp_budget *shared;
	unsigned decay_ms;
	bool sampled;
	tp_release *release;
	size_t own_bytes; /* that the owner wants in the mapping, see tp_tiers_own */
	uint64_t hot;     /* the colours (tp_colour) of what else each get and put reads */
};

/*
 * cpu_memory: tp_decay_cpu_bytes(tp_cpu_count()). It must outlive the tables.
 * Returns: 0 or -ENOMEM.
 */
int tp_tiers_init(struct tp_tiers *tiers, void *cpu_memory, const struct tp_tiers_options *options);

/* Frees the tables. What still lies there is not touched. */
void tp_tiers_fini(struct tp_tiers *tiers);

/*
 * Makes the mapping of the tables, if there is none. False: out of memory. A layer without it keeps
 * nothing on CPUs, and counts nothing.
 */
bool tp_tiers_map(struct tp_tiers *tiers);
void tp_tiers_unmap(struct tp_tiers *tiers); /* at the end */

/* The owner's part of it, all 0 at first, beginning a line; NULL: there is no mapping yet. */
static inline void *tp_tiers_own(const struct tp_tiers *tiers)
{
	/* Acquire: pairs with tp_tiers_map. */
	char *counters = (char *)tp_load_acquire(&tiers->cpus.counters);

	return counters ? counters + tp_stack_counters_bytes(tiers->cpus.count, tiers->count)
			: NULL;
}

/* What came of a lease: done, or which bound refused it. */
enum tp_kept { TP_KEPT, TP_NO_BYTES, TP_NO_COUNT };

/* Leases the cost of n items of a tier. Returns: TP_KEPT, or which bound has no room for them. */
enum tp_kept tp_tiers_lease(struct tp_tiers *tiers, unsigned tier, size_t n);
void tp_tiers_unlease(struct tp_tiers *tiers, unsigned tier, size_t n);

/* Whether one item of the tier would fit if nothing were leased. */
bool tp_tiers_may_fit(const struct tp_tiers *tiers, unsigned tier);

/* Sets the bound for leases to come, and each tier's limit by it. Takes no lease back. */
void tp_tiers_retain_set(struct tp_tiers *tiers, size_t retain);

/*
 * Puts items, which come with their leases, into a tier's depot. If that is closed, or there is no
 * memory for it, they are released. Returns: whether the depot took them.
 */
bool tp_tiers_depot_push(struct tp_tiers *tiers, unsigned tier, enum tp_generation generation,
	void *const *items, unsigned n);

/* A CPU's word of a tier at some moment: says whether the CPU is worth stopping. */
static inline uint64_t tp_tiers_word(const struct tp_tiers *tiers, unsigned cpu_id, unsigned tier)
{
	return tp_stack_word(&tiers->cpus, cpu_id, tier);
}

/* Where a tier's stack lies in a slab, as gets and puts want it; that of TP_TIER_NONE is empty. */
static inline uint32_t tp_tiers_stack_offset(const struct tp_tiers *tiers, unsigned tier)
{
	unsigned index = tier == TP_TIER_NONE ? tiers->no_stack : tiers->stack_index[tier];

	return index * (uint32_t)sizeof(uint64_t);
}

static inline unsigned tp_tiers_depth(const struct tp_tiers *tiers, unsigned cpu_id, unsigned tier)
{
	return tp_word_depth(tp_tiers_word(tiers, cpu_id, tier));
}

/* The CPU whose turn it is. Not exact if threads ask at once: any turn will do. */
static inline unsigned tp_tiers_next_cpu(struct tp_tiers *tiers)
{
	uint32_t next = tp_load_relaxed(&tiers->next_cpu);

	tp_store_relaxed(&tiers->next_cpu, next + 1);
	return next % tiers->cpus.count;
}

/*
 * On a stopped CPU: the age in ticks of the item in a slot of a tier's stack, and setting it. Of an
 * item that the caller has taken out, only a header has it.
 */
unsigned tp_tiers_age(
	const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier, unsigned slot);
void tp_tiers_age_set(const struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier,
	unsigned slot, unsigned age);

/* On a stopped CPU: lowers the room of a tier's stack, and ends the leases of the rest. */
void tp_tiers_room_set(
	struct tp_tiers *tiers, const struct tp_cpu *cpu, unsigned tier, unsigned room);

/*
 * Called before an item may go to the caller's CPU for the first time, and by each slow call again:
 * gives the CPU its slab, if it has none and there is memory.
 */
void tp_tiers_slab_create(struct tp_tiers *tiers);

/* On a stopped CPU: gives the slab's pages back, if it holds nothing and has no room. */
void tp_tiers_slab_purge(struct tp_tiers *tiers, struct tp_cpu *cpu);

/* Gives back what the depots' arrays have more than they need. */
void tp_tiers_shrink(struct tp_tiers *tiers);

/* Idle items of a tier, and the bytes of all, at some moment; neither is above what is leased. */
size_t tp_tiers_count(const struct tp_tiers *tiers, unsigned tier);
size_t tp_tiers_bytes(const struct tp_tiers *tiers);

/* Whether anything is idle, or a stack has room for a put without a slow call; at some moment. */
bool tp_tiers_have(const struct tp_tiers *tiers);
bool tp_tiers_cpu_has(const struct tp_tiers *tiers, unsigned cpu_id); /* of one CPU */

/* Bytes of the tables that come from the backing; and of those that come from the mapping. */
size_t tp_tiers_table_bytes(const struct tp_tiers *tiers);
size_t tp_tiers_page_bytes(const struct tp_tiers *tiers);

/* For fork: takes every lock; gives them back; in the child, leases what is really there. */
void tp_tiers_lock(struct tp_tiers *tiers);
void tp_tiers_unlock(struct tp_tiers *tiers);
void tp_tiers_recount(struct tp_tiers *tiers);

#endif
