/* SPDX-License-Identifier: MIT */
/*
 * Sides of a comparison that take turns: turns.h.
 */
#include "support/turns.h"

#include "support/measure.h"

void turns_run(struct turns *t, double (*run)(void *context, unsigned side), void *context)
{
	if (t->rounds == TURNS_MOST)
		return;
	for (unsigned turn = 0; turn < t->sides; turn++) {
		unsigned side = (t->rounds + turn) % t->sides;

		t->ns[side][t->rounds] = run(context, side);
	}
	t->rounds++;
}

double turns_quiet(struct turns *t, unsigned side)
{
	return quantile(t->ns[side], t->rounds, 0.25);
}

double turns_spread(struct turns *t, unsigned side)
{
	double quiet = turns_quiet(t, side);

	return 100 * (quantile(t->ns[side], t->rounds, 0.5) / quiet - 1);
}
