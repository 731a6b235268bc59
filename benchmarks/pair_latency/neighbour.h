/* SPDX-License-Identifier: MIT */
/*
 * The other CPU of pair_latency: what keeps it busy, and what tells the first one that it is.
 */
#ifndef NEIGHBOUR_H
#define NEIGHBOUR_H

#include <stdbool.h>

/* Adds in four chains, and stores, until *end. */
void neighbour_keep_busy(const bool *end);

/*
 * Adds that wait for each other tell how fast the CPU's clock is; adds in four chains also what
 * another thread takes of its core.
 */
enum { ONE_CHAIN, FOUR_CHAINS, PROBES };

/* Returns: ns an add. */
double neighbour_probe(unsigned probe);

#endif
