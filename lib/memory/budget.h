/* SPDX-License-Identifier: MIT */
/*
 * A hard bound on idle bytes or on idle buffers. A caller leases them here before it keeps them,
 * and remembers itself what each lease is for. Owns the numbers and their promise:
 *
 *   leased <= limit          at every instant, once a lower limit holds
 *   leased == limit - free   when no call is under way
 *
 * One word, free, decides. So a lease is one compare-and-swap that sees the limit as it is. It is
 * never an addition that is undone if it was too much: a reader between the two would see the bound
 * broken. If a limit is lowered below what is leased, free becomes negative: then nothing more is
 * leased, and the limit holds once free is 0 again. leased is only for readers: it is raised after
 * free is lowered, and lowered before free is raised.
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
	uint64_t peak; /* the most that leased has been; by lease, and by readers of leased */
};

/* A limit of PTRDIFF_MAX or more is no bound. */
void tp_budget_init(struct tp_budget *budget, size_t limit);

/*
 * The halves of a lease and of a release, for who has to ask another budget in between: claim and
 * yield, which decide; count and uncount, which readers see. A budget without a bound needs only
 * these, if its limit never changes. A lease is claimed, then counted; uncounted, then yielded.
 */
bool tp_budget_claim(struct tp_budget *budget, size_t bytes);
void tp_budget_count(struct tp_budget *budget, size_t bytes);
void tp_budget_uncount(struct tp_budget *budget, size_t bytes);
void tp_budget_yield(struct tp_budget *budget, size_t bytes);

/* Leases bytes, or buffers. False: they do not fit, and nothing happened. Any thread. */
bool tp_budget_lease(struct tp_budget *budget, size_t bytes);

/* Gives leased bytes back. Any thread. */
void tp_budget_release(struct tp_budget *budget, size_t bytes);

/*
 * Changes the limit. What is leased stays leased: a lower limit holds once tp_budget_excess is 0.
 * Before: no other thread changes the limit. Leases may go on.
 */
void tp_budget_limit_set(struct tp_budget *budget, size_t limit);

/* The bound that holds now: the limit, plus the excess over one that is being lowered. */
size_t tp_budget_bound(const struct tp_budget *budget);

/* By how much more is leased than a limit that was lowered allows; 0: the limit holds. */
size_t tp_budget_excess(const struct tp_budget *budget);

/* Sets what is leased. Before: no other thread uses the budget. */
void tp_budget_recount(struct tp_budget *budget, size_t leased);

#endif
