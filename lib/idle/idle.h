/* SPDX-License-Identifier: MIT */
/*
 * What is done with a pool's idle buffers: which one a get takes, where a put keeps one, which ones
 * leave, and what a tick does. Owns these decisions; the tables and the leases are tiers.h's. No
 * block is allocated or freed here: a buffer that must go is handed to the caller in victims, with
 * its lease, which the caller ends after it has freed the block.
 */
#ifndef TP_IDLE_H
#define TP_IDLE_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/buffer.h>

#include "idle/tiers.h"

/* ---- take.c, keep.c ---- */

/*
 * Takes an idle buffer of a tier: from the stack of the caller's CPU; the depot; if it is large,
 * other CPUs' stacks; of the next larger tier, an aged one from the depot.
 *
 * Returns: the buffer, in state idle, the caller's; NULL: none was found.
 */
tierpool_buf *tp_idle_take(struct tp_tiers *tiers, unsigned tier, struct tp_buflist *victims);

/* Keeps a buffer in state idle. If it returns anything but TP_KEPT, b is still the caller's. */
enum tp_kept tp_idle_keep(struct tp_tiers *tiers, tierpool_buf *b, struct tp_buflist *victims);

/* ---- how they leave: evict.c, age.c ---- */

/* Takes one buffer of a larger tier, with its lease, to be freed: aged ones first. NULL: none. */
tierpool_buf *tp_idle_evict(struct tp_tiers *tiers, unsigned tier);

/* One whole tick: buffers that age out go to victims; room is halved. asked: by the program. */
void tp_idle_tick(struct tp_tiers *tiers, bool asked, struct tp_buflist *victims);

/* Begins a tick before it is due. Slow calls and expiries do it in pieces. */
void tp_idle_tick_begin(struct tp_tiers *tiers);

/*
 * For slow calls and expiries: a piece of the ticks that have fallen due. What ages out goes to the
 * depots' expired lists, and a few of the expired ones to victims. Returns: whether more is left.
 */
bool tp_idle_age_some(struct tp_tiers *tiers, struct tp_buflist *victims);

/*
 * Moves buffers to victims until they are excess bytes, but 1,024 at most, so that no get waits
 * long for the CPUs: aged ones first, and of these the largest. Gives up all room.
 *
 * Returns: whether all CPUs could be stopped.
 */
bool tp_idle_trim(struct tp_tiers *tiers, size_t excess, struct tp_buflist *victims);

/* Closes all CPUs and depots for ever; all that was idle goes to victims. */
void tp_idle_close(struct tp_tiers *tiers, struct tp_buflist *victims);

#endif
