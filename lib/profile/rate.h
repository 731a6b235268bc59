/* SPDX-License-Identifier: MIT */
/*
 * How likely a get is to be sampled for the profile. Owns that, and the draws.
 *
 * A get that lends `bytes` is sampled with the probability
 *
 *     p = of_gets + 1 - exp(-bytes / of_bytes)         (1, if that is more)
 *
 * of_gets spreads samples over gets, of_bytes over bytes, as heap profilers do; of bytes alone, a site
 * of 1 KiB with 180,000 gets drew 5 samples. Automatic: each of the two gets half of the samples that
 * the budget of time allows, by the gets and the bytes of the last interval.
 *
 * A probability is rounded to a step: 2 to the power of -step / 8. So a word can keep the one by
 * which its gap was drawn, in a byte, and the weight of a sample is exact.
 */
#ifndef TP_RATE_H
#define TP_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/compiler.h"

/* The step of no sample at all. */
#define TP_RATE_OFF 255u

/* Slow gets are sampled so many times as often: they are few, and tell what a user wants to know. */
#define TP_RATE_SLOW 8

/* Whether gets are sampled now; how often that began. Written by tp_rate_start and tp_rate_stop. */
extern tp_hidden uint32_t tp_rate_running, tp_rate_starts;

/* sample_bytes: as of tierpool_profile_start. Before: not running; the lock of samples.c is held. */
void tp_rate_start(size_t sample_bytes);
void tp_rate_stop(void);

/* Whether each get is sampled. */
bool tp_rate_is_complete(void);

/* The step of a get that lends so many bytes, or TP_RATE_OFF. slow: of one that popped nothing. */
unsigned tp_rate_step(size_t bytes, bool slow);

/* What a sample of this step weighs: 1 / p. */
double tp_rate_weight(unsigned step);

/* Draws whether one get is sampled. */
bool tp_rate_draw(unsigned step);

/*
 * Draws after how many gets the next sample is, from 1 on: geometric, so that each get is sampled with
 * p, whatever came before. Above TP_RATE_GAP_MOST it says TP_RATE_GAP_MOST + 1: so many gets are not
 * sampled, and then another gap is drawn, which is the same.
 */
uint32_t tp_rate_gap(unsigned step);
#define TP_RATE_GAP_MOST 0xfffffeu

/*
 * Notes a sample for the budget, of a get that lent so many bytes: it took cost_ns, and it is now_ns.
 * Before: the caller holds the lock of samples.c.
 */
void tp_rate_note(unsigned step, size_t bytes, uint64_t cost_ns, uint64_t now_ns);

#endif
