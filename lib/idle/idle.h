/* SPDX-License-Identifier: MIT */
/*
 * The idle buffers of a pool. Which one is
 * taken, where one is kept, and which ones go, in which order. Owns the decisions; the tables are
 * tiers.h's. Allocates and frees no block: what must go is handed to the caller, with its lease, in
 * a list of victims.
 */
#ifndef TP_IDLE_H
#define TP_IDLE_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/buffer.h>

#include "idle/tiers.h"

/* ---- take.c, keep.c ---- */

/*
 * Takes an idle buffer that holds the tier: from the own stack, the depot, other CPUs' stacks, or
 * an aged one of the next larger tier. The caller's, in state idle; NULL: there is none.
 */
tierpool_buf *tp_idle_take(struct tp_tiers *tiers, unsigned tier, struct tp_buflist *victims);

/* Keeps a buffer in state idle, or says what stood against it: then it is the caller's still. */
enum tp_kept tp_idle_keep(struct tp_tiers *tiers, tierpool_buf *b, struct tp_buflist *victims);

/* ---- how they leave: evict.c, age.c ---- */

/* Takes one buffer of a larger tier, aged ones first, to be freed; with its lease. NULL: none. */
tierpool_buf *tp_idle_evict(struct tp_tiers *tiers, unsigned tier);

/* One decay step: buffers that age out go to victims; room is halved. asked: see decay.h. */
void tp_idle_tick(struct tp_tiers *tiers, bool asked, struct tp_buflist *victims);

/* Begins a tick before it is due, to be done in pieces. */
void tp_idle_tick_begin(struct tp_tiers *tiers);

/*
 * For slow calls and strikes: a piece of the decay steps that have fallen due. What ages out goes
 * to the depots to die there, and a few of those to victims. Whether there is more to do.
 */
bool tp_idle_age_some(struct tp_tiers *tiers, struct tp_buflist *victims);

/*
 * Moves at least excess bytes of buffers, if there are, but some thousand buffers at the most, to
 * victims: aged and large ones first. So nobody waits for long, however many there are. Gives up
 * all room of buffers that are not there. False: there are CPUs that could not be reached.
 */
bool tp_idle_trim(struct tp_tiers *tiers, size_t excess, struct tp_buflist *victims);

/* Closes everything for ever; all that was idle goes to victims. */
void tp_idle_close(struct tp_tiers *tiers, struct tp_buflist *victims);

#endif
