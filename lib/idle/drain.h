/* SPDX-License-Identifier: MIT */
/*
 * How idle buffers leave: evicted for a smaller one, aged by ticks, trimmed, or all of them at the
 * end. Owns the order in which they go. Frees none: what goes is handed to the caller, with its
 * lease, in a list of victims. Layer 6.
 */
#ifndef TP_DRAIN_H
#define TP_DRAIN_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/buffer.h>

#include "idle/depot.h"
#include "idle/tiers.h"

/* Takes one buffer of a larger tier, aged ones first, to be freed; with its lease. NULL: none. */
tierpool_buf *tp_drain_evict(struct tp_tiers *tiers, unsigned tier);

/* One decay step: buffers that age out go to victims; room is halved. asked: see decay.h. */
void tp_drain_tick(struct tp_tiers *tiers, bool asked, struct tp_list *victims);

/* Begins a tick before it is due, to be done in pieces. */
void tp_drain_begin(struct tp_tiers *tiers);

/*
 * For slow calls and strikes: a piece of the decay steps that have fallen due. What ages out goes
 * to the depots to die there, and a few of those to victims. Whether there is more to do.
 */
bool tp_drain_some(struct tp_tiers *tiers, struct tp_list *victims);

/*
 * Moves at least excess bytes of buffers, if there are, but some thousand buffers at the most, to
 * victims: aged and large ones first. So nobody waits for long, however many there are. Gives up
 * all room of buffers that are not there. False: there are CPUs that could not be reached.
 */
bool tp_drain_strip(struct tp_tiers *tiers, size_t excess, struct tp_list *victims);

/* Closes everything for ever; all that was idle goes to victims. */
void tp_drain_close(struct tp_tiers *tiers, struct tp_list *victims);

#endif
