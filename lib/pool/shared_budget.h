/* SPDX-License-Identifier: MIT */
/*
 * A budget that several pools share. Owns its life, and how a pool that needs a part of it takes
 * back what the other pools do not use. Leases and the bound are memory/budget.h's.
 */
#ifndef TP_SHARED_BUDGET_H
#define TP_SHARED_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include <tierpool/pool.h>

#include "memory/budget.h"
#include "process/registry.h"

struct tierpool_budget {
	struct tp_registered registered; /* first */
	struct tp_budget budget;
	uint32_t given_up;     /* by tierpool_budget_destroy: 1 from the first call on */
	struct tp_group pools; /* those that are not destroyed */
	uint32_t reclaiming;   /* a lock that puts only try; its holder alone walks the pools */
	uint64_t reclaimed_ms; /* in that lock: when it was last taken with effect */
	char name[];
};

/*
 * One more pool uses the budget and keeps it alive, until tp_shared_budget_leave. Returns: false: there
 * is no such budget, and nothing was taken. NULL: no budget, which is right too.
 */
bool tp_shared_budget_join(tierpool_budget *budget);
void tp_shared_budget_leave(tierpool_budget *budget);

/*
 * Takes from other pools of the budget what they do not use, if only their leases keep this pool
 * from keeping a buffer of the tier. Returns: whether another try to keep it is worth while.
 */
bool tp_pool_reclaim(tierpool *pool, unsigned tier);

#endif
