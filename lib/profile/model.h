/* SPDX-License-Identifier: MIT */
/*
 * A model of a pool, at several bounds at once: which gets would be served by an idle buffer if the
 * pool had this retain, or that one. It is fed with what the program asks for, and applies the rules of
 * idle/ and pool/maximum to numbers of buffers: there is no buffer and no live pool in it. What is
 * mirrored, and what is not:
 *
 *   stacks      depth, room by doubling, flush of the upper half, refill, limits: as they are
 *   other CPUs  steal, eviction and room of other CPUs, at the rate at which CPUs may be stopped
 *   ages        two generations; those of a stack by their number, since mostly the bottom is old
 *   ticks       all CPUs at once, when the decay has passed; what has expired is freed at once
 *   a buffer    that a get found one tier up: the next put of the smaller tier is taken for its own
 *   left out    a shared budget, trims, a reaper, CPUs whose stop failed
 *
 * State: 3 bytes for each bound, tier and CPU that was seen, 8 for each bound and CPU, 20 for each bound and
 * tier: with 24 bounds and 19 tiers 10 KiB, and 1.5 KiB for each CPU.
 */
#ifndef TP_MODEL_H
#define TP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TP_MODEL_BOUNDS_MAX 64
#define TP_MODEL_CPUS_MAX 8192

/* A tier, as struct tp_tier has it. */
struct tp_model_tier {
	size_t cost;    /* bytes of an idle buffer, not 0 */
	uint16_t slots; /* of its stack on each CPU, at most 127 */
	bool steal;     /* a get looks at other CPUs before it allocates */
	bool large;     /* kept only while it is asked for (pool/maximum.h) */
};

struct tp_model_options {
	const struct tp_model_tier *tier; /* copied */
	unsigned tiers, cpus; /* at least 1 of each; at most TP_TIERS_MAX, TP_MODEL_CPUS_MAX */
	const size_t *bound;  /* bytes; copied */
	unsigned bounds;      /* at most TP_MODEL_BOUNDS_MAX */
	unsigned in_place; /* so many of the largest tiers have blocks that grow beyond all tiers */
	size_t max_idle;   /* SIZE_MAX: no bound */
	uint64_t decay_ns; /* between ticks; UINT64_MAX: none by themselves */
	bool locked;       /* the mode in which other CPUs are stopped without a fence */
};

struct tp_model;

/* NULL: out of memory. No other call allocates. */
struct tp_model *tp_model_create(const struct tp_model_options *options);
void tp_model_free(struct tp_model *model);

/* Makes a model what another one is. Before: both were created with the same options, and bounds. */
void tp_model_copy(struct tp_model *to, const struct tp_model *from);

/*
 * Sets other bounds, as many as before. from: of each, the index of the bound before whose idle buffers
 * and misses it takes over. If that has more than the new bound allows, it keeps them, and leases nothing
 * until it has less.
 */
void tp_model_bounds_set(struct tp_model *model, const size_t *bound, const uint8_t *from);

/* ---- events: each on a CPU, at a time in nanoseconds ---- */

/*
 * A get of a tier. TP_TIER_NONE: larger than all tiers, which is a miss at each bound.
 * Returns: a bit for each bound at which it takes a new block.
 */
uint64_t tp_model_get(struct tp_model *model, unsigned tier, unsigned cpu, uint64_t ns);

/* A put of a buffer whose block is of this tier now; TP_TIER_NONE: it is freed. */
void tp_model_put(struct tp_model *model, unsigned tier, unsigned cpu, uint64_t ns);

/*
 * A growth from a tier to a larger one, or to TP_TIER_NONE; by an exchange of blocks, unless the block
 * itself becomes larger (in_place). It counts as no get. A growth from TP_TIER_NONE is no event.
 */
void tp_model_grow(struct tp_model *model, unsigned from, unsigned to, unsigned cpu, uint64_t ns);

/* A tick, whatever the time. */
void tp_model_tick(struct tp_model *model);

/* ---- what came of them ---- */

uint64_t tp_model_gets(const struct tp_model *model);

/* Gets that took a new block, at a bound, by its index. */
uint64_t tp_model_misses(const struct tp_model *model, unsigned bound);

/* Idle buffers of a tier, and the bytes that are leased, at a bound. */
size_t tp_model_idle(const struct tp_model *model, unsigned bound, unsigned tier);
size_t tp_model_leased(const struct tp_model *model, unsigned bound);

#endif
