/* SPDX-License-Identifier: MIT */
/*
 * The idle buffers of a pool: which one is taken, and where one is kept. Owns the decisions, the
 * tables are tiers.h's, and what goes is drain.h's. Allocates and frees no block: what must go is
 * handed to the caller, with its lease, in a list of victims. Layer 6.
 */
#ifndef TP_IDLE_H
#define TP_IDLE_H

#include <stddef.h>

#include <tierpool/buffer.h>

#include "idle/depot.h"
#include "idle/tiers.h"

/*
 * Takes an idle buffer that holds the tier: from the own stack, the depot, other CPUs' stacks, or
 * an aged one of the next larger tier. The caller's, in state idle; NULL: there is none.
 */
tierpool_buf *tp_idle_take(struct tp_tiers *tiers, unsigned tier, struct tp_list *victims);

/* Keeps a buffer in state idle, or says what stood against it: then it is the caller's still. */
enum tp_kept tp_idle_keep(struct tp_tiers *tiers, tierpool_buf *b, struct tp_list *victims);

#endif
