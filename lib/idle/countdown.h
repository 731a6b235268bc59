/* SPDX-License-Identifier: MIT */
/*
 * Why a get leaves the fast path though it popped something: the stack's countdown has expired. Then
 * it looks at the clock, or is sampled, or both. Owns, for each stack of each CPU, how many pops are
 * left until each of the two.
 *
 * Looks come as the clock says (tp_decay_gap). Samples come after gaps that nothing but the number of
 * pops decides: so a sequence of calls on one CPU has the same samples in every run. Both gaps are
 * random: a fixed one would fall into step with loops.
 */
#ifndef TP_COUNTDOWN_H
#define TP_COUNTDOWN_H

#include <stdbool.h>

#include "idle/tiers.h"

/* One get in so many is sampled. */
#define TP_SAMPLE 256

struct tp_expiry {
	bool look, sampled;
};

/* What the expired countdown of a tier's stack on the caller's CPU stands for. */
struct tp_expiry tp_idle_expiry(const struct tp_tiers *tiers, unsigned tier);

/*
 * Arms it again, for whichever comes first. more: a look is due at the next get, as work is left
 * that looks do.
 */
void tp_idle_arm(struct tp_tiers *tiers, unsigned tier, bool more);

/* Whether a get that popped nothing is sampled. */
bool tp_idle_samples(struct tp_tiers *tiers);

#endif
