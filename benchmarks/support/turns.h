/* SPDX-License-Identifier: MIT */
/*
 * Sides of a comparison that take turns: many short rounds, and in each round every side once. Each
 * round begins with the next side, so that none always comes after the same one.
 *
 * Of a side the lower quartile counts: what else the machine does makes a turn only longer.
 */
#ifndef TURNS_H
#define TURNS_H

#define SIDES_MOST 8
#define TURNS_MOST 4096

struct turns {
	unsigned sides, rounds;
	double ns[SIDES_MOST][TURNS_MOST];
};

/* One round, unless there were TURNS_MOST. run returns the ns of a side's turn. */
void turns_run(struct turns *t, double (*run)(void *context, unsigned side), void *context);

/* Returns: the lower quartile of a side, in ns. */
double turns_quiet(struct turns *t, unsigned side);

/* Returns: how much longer the median is, in percent. */
double turns_spread(struct turns *t, unsigned side);

#endif
