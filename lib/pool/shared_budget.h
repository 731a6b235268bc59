/* SPDX-License-Identifier: MIT */
/*
 * A budget that several pools share: its life, and how a pool that it keeps from keeping a buffer
 * gets back what the others do not use.
 */
#ifndef TP_SHARED_BUDGET_H
#define TP_SHARED_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include <tierpool/pool.h>

#include "memory/budget.h"

struct tierpool_budget {
	struct tp_budget budget;
	size_t users;        /* pools, and 1 for the program's handle */
	uint32_t reclaiming; /* a lock that is only tried; what is below is its holder's */
	uint32_t next_neighbour;
	uint64_t reclaimed_ms;
};

/* One more pool uses the budget, and keeps it alive; it gives it up by tierpool_budget_destroy. */
struct tp_budget *tp_shared_budget_join(tierpool_budget *budget);

/*
 * Where only what other pools have leased of the budget keeps the pool from keeping a buffer of the
 * tier: takes some of that from them. Whether it is worth another try.
 */
bool tp_pool_reclaim(tierpool *pool, unsigned tier);

/* TP_FORK_CHILD_FIRST: nothing is leased of it, and nobody is reclaiming. */
void tp_shared_budget_fork(tierpool_budget *budget);

#endif
