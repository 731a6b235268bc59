/* SPDX-License-Identifier: MIT */
/*
 * A hard bound, on idle bytes or on idle buffers: whoever would keep one leases it first. Owns the
 * numbers and their promise, leased <= limit at every instant; what was leased for what, the lessee
 * knows.
 *
 * All that decides is in one word, free. So a lease is one compare-and-swap that sees the limit as
 * it is, never an addition that is undone when it turns out too much: a reader between the two
 * would see the bound broken. A limit that was lowered below what is leased makes free negative:
 * then nothing more is leased, and the limit holds once free is 0 again.
 *
 * leased is there to be read. It is raised after free was lowered, and lowered before free is
 * raised; leased == limit - free when no call is under way.
 */
#ifndef TP_BUDGET_H
#define TP_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tp_budget {
	int64_t free;  /* written by lease, release and tp_budget_limit_set; read by anyone */
	size_t leased; /* written by lease and release; read by anyone */
	size_t limit;  /* written by tp_budget_limit_set; read by anyone */
	uint64_t peak; /* the most that leased has been */
};

/* A limit above PTRDIFF_MAX is taken as that: no bound. */
void tp_budget_init(struct tp_budget *budget, size_t limit);

/* Leases bytes. False: they would not fit, and nothing happened. Any thread. */
bool tp_budget_lease(struct tp_budget *budget, size_t bytes);

/* Gives leased bytes back. Any thread. */
void tp_budget_release(struct tp_budget *budget, size_t bytes);

/*
 * Changes the limit. What is leased stays: a lower one holds once tp_budget_excess is 0. One thread
 * at a time; leases may go on meanwhile.
 */
void tp_budget_limit_set(struct tp_budget *budget, size_t limit);

/* What holds now: the limit, and the excess over one that is being lowered. */
size_t tp_budget_bound(const struct tp_budget *budget);

/* By how much what is leased is above a limit that was lowered; 0: the limit holds. */
size_t tp_budget_excess(const struct tp_budget *budget);

/* Says what is leased, whatever was. While nobody else uses the budget. */
void tp_budget_recount(struct tp_budget *budget, size_t leased);

#endif
