/* SPDX-License-Identifier: MIT */
/*
 * The hard bound on idle bytes: whoever would keep a byte leases it first. Owns two numbers and
 * their promise, leased <= limit, at every instant; what was leased for what, the lessee knows.
 * Layer 2.
 *
 * A lease is one compare-and-swap, never an addition that is undone when it turns out too much: a
 * reader between the two would see the bound broken. (It is undone only where the limit was lowered
 * in the same instant, and so does not hold yet.)
 */
#ifndef TP_BUDGET_H
#define TP_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tp_budget {
	size_t limit;  /* written by tp_budget_limit_set; read by anyone */
	size_t leased; /* written by lease and release; read by anyone */
	uint64_t peak; /* the most that leased has been */
};

/* Leases bytes. False: they would not fit, and nothing happened. Any thread. */
bool tp_budget_lease(struct tp_budget *budget, size_t bytes);

/* Gives leased bytes back. Any thread. */
void tp_budget_release(struct tp_budget *budget, size_t bytes);

/*
 * Changes the limit. What is leased already stays: a lower limit holds once tp_budget_holds says
 * so, and then no lease goes beyond it. Any thread.
 */
void tp_budget_limit_set(struct tp_budget *budget, size_t limit);
bool tp_budget_holds(const struct tp_budget *budget);

/* tierpool_budget: a budget that several pools share. Its users keep it alive. */
struct tierpool_budget {
	struct tp_budget budget;
	size_t users; /* pools, and 1 for the program's handle */
};

void tp_budget_share(struct tierpool_budget *budget);

#endif
