/* SPDX-License-Identifier: MIT */
/*
 * What a site of a profile costs, and plain sentences on what to change there. Owns the thresholds
 * (a table in hints.c).
 */
#ifndef TP_HINTS_H
#define TP_HINTS_H

#include "profile/snapshot.h"

#define TP_HINTS_MOST 4

struct tp_hints {
	unsigned count;
	char text[TP_HINTS_MOST][192];
};

/* A site in the order of what sites cost. */
struct tp_hints_rank {
	double cost; /* nanoseconds, of all its gets together: an estimate, for comparing sites */
	size_t site; /* index */
};

/* Sentences without a full stop. exact: the numbers are no estimates. */
void tp_hints_find(struct tp_hints *hints, const struct tp_snapshot_site *site, bool exact);

/* The sites, the dearest first. NULL: out of memory; else the caller frees it. */
struct tp_hints_rank *tp_hints_order(const struct tp_snapshot *snapshot);

#endif
