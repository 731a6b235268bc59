/* SPDX-License-Identifier: MIT */
/*
 * The idle buffers of a pool: which one is taken, where one is kept, and which are evicted, aged and
 * trimmed. Owns the decisions, the tables are tiers.h's. Allocates and frees no block: what must go is
 * handed to the caller, with its lease, in a list of victims. Layer 4.
 */
#ifndef TP_IDLE_H
#define TP_IDLE_H

#include <stddef.h>

#include <tierpool/buffer.h>

#include "depot.h"
#include "tiers.h"

/*
 * Takes an idle buffer that holds the tier: from the own stack, the depot, other CPUs' stacks, or an
 * aged one of the next larger tier. The caller's, in state idle; NULL: there is none.
 */
tierpool_buf *tp_idle_take(struct tp_tiers *tiers, unsigned tier, struct tp_list *victims);

/* Keeps a buffer in state idle, or says what stood against it: then it is the caller's still. */
enum tp_kept tp_idle_keep(struct tp_tiers *tiers, tierpool_buf *b, struct tp_list *victims);

/* Takes one buffer of a larger tier, aged ones first, to be freed; with its lease. NULL: none. */
tierpool_buf *tp_idle_evict(struct tp_tiers *tiers, unsigned tier);

/*
 * One decay step: buffers that age out go to victims; room is halved. In rseq mode a CPU that is hard at
 * work does its own part a moment later, in tp_idle_age_own.
 */
void tp_idle_tick(struct tp_tiers *tiers, struct tp_list *victims);

/* The caller's CPU's part of a tick that was left to it, if one was. For strikes and slow calls. */
void tp_idle_age_own(struct tp_tiers *tiers, struct tp_list *victims);

/*
 * Moves at least excess bytes of buffers, if there are, to victims: aged and large ones first. Gives up
 * all room of buffers that are not there.
 */
void tp_idle_strip(struct tp_tiers *tiers, size_t excess, struct tp_list *victims);

/* Gives up all room of buffers that are not there. */
void tp_idle_room_drop(struct tp_tiers *tiers);

/* Closes everything for ever; all that was idle goes to victims. */
void tp_idle_close(struct tp_tiers *tiers, struct tp_list *victims);

#endif
