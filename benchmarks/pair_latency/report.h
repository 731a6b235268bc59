/* SPDX-License-Identifier: MIT */
/*
 * What pair_latency makes of its rounds: medians of the quiet batches, a table for each
 * setting, the comparisons at the end, and the CSV.
 *
 * The floor always does the same work. A batch is quiet if the floor before it and the floor after
 * it took at most 3 % longer than the floor takes on a quiet machine. The other batches do not
 * count. The rounds go on until the time is spent, so there are enough quiet ones in the end.
 */
#ifndef REPORT_H
#define REPORT_H

#include "rounds.h"

/* Makes the results of this many settings, and prints them. */
void results_print(struct cell cells[SETTINGS_MOST][SIZES], unsigned settings);

/* Writes what results_print made. Returns: 0; -errno. */
int results_write(const char *path, unsigned settings);

#endif
