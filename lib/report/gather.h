/* SPDX-License-Identifier: MIT */
/*
 * What metrics.c writes, as it was at a moment: a list of objects, each with its labels and numbers. It
 * is a copy, so that nothing of the library is held while it is written.
 */
#ifndef TP_GATHER_H
#define TP_GATHER_H

#include <stdint.h>

#include <tierpool/stats.h>

#include "process/registry.h"

enum tp_gathered {
	TP_GATHERED_PROCESS,
	TP_GATHERED_INFO, /* what the library is */
	TP_GATHERED_POOL,
	TP_GATHERED_POOL_INFO, /* what a pool was made with */
	TP_GATHERED_TIER,
	TP_GATHERED_BUDGET,
	TP_GATHERED_SITE,
	TP_GATHERED_CACHE,
};

struct tp_gathered_object {
	struct tp_gathered_object *next;
	enum tp_gathered class;
	union { /* by class */
		struct {
			uint64_t misuses, reaper_running, reaper_ticks, pressure_trims;
			uint64_t samples, dropped_samples;
		} process;
		uint64_t one; /* 1, of an info */
		struct {
			struct tierpool_stats stats;
			uint64_t grows_backing;
		} pool;
		struct {
			struct tierpool_tier_stats stats;
			uint64_t hits;
		} tier;
		uint64_t figure[TP_FIGURES]; /* of a budget or cache */
		struct {
			double gets, misses, borrowed_bytes;
		} site; /* estimates */
	};
	char labels[]; /* name="value",name="value", escaped; "": none */
};

/* The sites that are gathered at most, of all pools together: those with the most gets. */
#define TP_GATHERED_SITES 100

/*
 * Gathers. Of each class in the order of the entries' ids; tiers that nobody has used are left out; no
 * two objects of a class have the same labels. Returns: NULL: out of memory.
 */
struct tp_gathered_object *tp_gather(void);
void tp_gather_free(struct tp_gathered_object *first);

#endif
