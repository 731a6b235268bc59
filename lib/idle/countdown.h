/* SPDX-License-Identifier: MIT */
/*
 * Why a get leaves the fast path though it popped something: the stack's countdown has expired. Then
 * it looks at the clock; or is sampled, for calibration or for the profile; or several of these. Owns,
 * for each stack of each CPU, how many pops are left until each of the three.
 *
 * Looks come as the clock says (tp_decay_gap). Samples for calibration come after gaps that nothing but
 * the number of pops decides: so a sequence of calls on one CPU has the same samples in every run.
 * Samples for the profile come as profile/rate.h says, each pop with the same probability, whatever
 * came before. All gaps are random: a fixed one would fall into step with loops.
 */
#ifndef TP_COUNTDOWN_H
#define TP_COUNTDOWN_H

#include <stdbool.h>

#include "idle/tiers.h"

/* One get in so many is sampled for calibration. */
#define TP_SAMPLE 256

struct tp_expiry {
	bool look, sampled;
	unsigned step; /* by which it was drawn for the profile, or TP_RATE_OFF */
};

/* What the expired countdown of a tier's stack on the caller's CPU stands for. */
struct tp_expiry tp_idle_expiry(struct tp_tiers *tiers, unsigned tier);

/*
 * Arms it again, for whichever comes first. more: a look is due at the next get, as work is left
 * that looks do.
 */
void tp_idle_arm(struct tp_tiers *tiers, unsigned tier, bool more);

/*
 * Has the countdowns of all stacks expire at the next pop, after the profile was started: until then
 * no pop is drawn for it. One stop of each CPU.
 */
void tp_idle_expire(struct tp_tiers *tiers);

/* What a get stands for that popped nothing; look is not set. bytes: that it lends. */
struct tp_expiry tp_idle_draw(struct tp_tiers *tiers, size_t bytes);

#endif
