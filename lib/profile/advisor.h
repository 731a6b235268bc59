/* SPDX-License-Identifier: MIT */
/*
 * The online advisor: estimates which share of a running pool's gets each bound would serve without a
 * new block, from polls and from short windows in which each event is seen. It knows no pool: what it
 * is fed is the caller's business, and so is the lock, if several threads feed it. No globals.
 *
 *     poll                    how many buffers of each tier are out now. A model at each bound
 *                             (model.h) is stepped by the net change. It misses what happens between
 *                             two polls: so far its misses are too few
 *     window                  the model has each event. A copy of it is stepped by the polls in the
 *                             window. What the first misses more than the second is what polls do not
 *                             see; it is scaled up to all gets
 *
 *     misses = those of the polled model, and of the copy in windows
 *            + the sum over all gets of what a get misses more, between two windows their mean
 *
 * (A control variate: Lavenberg and Welch, 1981.) So a window must contain several polls, at the same
 * pace as outside. Its first half only settles the model: what was borrowed before it comes back then.
 *
 * The interval: two standard errors, by how windows differ from their neighbours; 0.4 of what windows
 * have added, since a window begins with the state that polls have left, which has too little idle;
 * 0.03 of all misses; and half a point. It needs three windows; until then it is from 0 to 1.
 *
 * With a tenth of the events in ten windows, and a poll each 100 to 2,000 events: where the share is
 * 0.95 or more it is 1.7 points off at most. Elsewhere it may be far off (a pool without decay that
 * keeps what an earlier phase has left: 26 points), and the interval says so (test_advisor). What it
 * says of running programs: benchmarks/README.md, online_advice.
 */
#ifndef TP_ADVISOR_H
#define TP_ADVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/model.h"

struct tp_advisor;

/* Buffers by which a poll steps a model at most: for a millisecond, about. */
#define TP_ADVISOR_STEPS 500u

/* With fewer windows nothing is known: the interval is from 0 to 1. */
#define TP_ADVISOR_WINDOWS_LEAST 3u

/* At one bound; share, low and high: 0 to 1. */
struct tp_advised {
	size_t retain;
	double share, low, high;
};

/* The options of the model; those bounds are advised on. NULL: out of memory. No other call allocates. */
struct tp_advisor *tp_advisor_create(const struct tp_model_options *options);
void tp_advisor_free(struct tp_advisor *advisor);

/*
 * out:  of each tier, the buffers that are borrowed
 * gets: of the pool, all so far, those beyond the largest tier too; never less than before. The gets
 *       before the first poll do not count
 * ns:   a clock that does not go back, the same in all calls
 *
 * The first poll says what was out before. A poll may come in a window too.
 * Returns: whether the model has what is out now; else the next polls go on, by as many buffers each.
 */
bool tp_advisor_poll(struct tp_advisor *advisor, const size_t *out, uint64_t gets, uint64_t ns);

/*
 * Advises on other bounds, as many as before; not in a window. What is known of a bound that stays stays; one
 * that is new begins with what is known of the next smaller one.
 */
void tp_advisor_bounds_set(struct tp_advisor *advisor, const size_t *bound);

/*
 * A window begins with a poll. Until it ends each event of the pool is given to the calls below, in the
 * order in which they happened, as far as that is known. If events were lost, the window is ended by
 * tp_advisor_window_drop in place of _end: then it only counts as polls.
 *
 * What the model misses counts from tp_advisor_window_count on, if that is called; before, it settles.
 * That call, and an end, wait until tp_advisor_window_settle has returned true: the first poll may
 * have left something, and polls in the window do nothing until then.
 */
void tp_advisor_window_begin(
	struct tp_advisor *advisor, const size_t *out, uint64_t gets, uint64_t ns);
bool tp_advisor_window_settle(struct tp_advisor *advisor, uint64_t ns);
void tp_advisor_window_count(
	struct tp_advisor *advisor, const size_t *out, uint64_t gets, uint64_t ns);
void tp_advisor_window_end(
	struct tp_advisor *advisor, const size_t *out, uint64_t gets, uint64_t ns);
void tp_advisor_window_drop(
	struct tp_advisor *advisor, const size_t *out, uint64_t gets, uint64_t ns);

/* As the calls of the model. Before: a window has begun. */
void tp_advisor_get(struct tp_advisor *advisor, unsigned tier, unsigned cpu, uint64_t ns);
void tp_advisor_put(struct tp_advisor *advisor, unsigned tier, unsigned cpu, uint64_t ns);
void tp_advisor_grow(
	struct tp_advisor *advisor, unsigned from, unsigned to, unsigned cpu, uint64_t ns);

/* Forgets what was counted, but not what lies idle: the estimates are of what follows. */
void tp_advisor_forget(struct tp_advisor *advisor);

/* The gets that the estimates are of; and the windows. */
uint64_t tp_advisor_gets(const struct tp_advisor *advisor);
unsigned tp_advisor_windows(const struct tp_advisor *advisor);

/* Writes the estimate for each bound of the options, in their order. */
void tp_advisor_curve(const struct tp_advisor *advisor, struct tp_advised *curve);

/*
 * The smallest bound that serves a share, between two of an ascending curve. False: none does, and
 * *retain is the smallest that serves as many as any.
 */
bool tp_advised_enough(
	const struct tp_advised *curve, unsigned bounds, double share, size_t *retain);

#endif
