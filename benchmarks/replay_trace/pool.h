/* SPDX-License-Identifier: MIT */
/*
 * The pool itself as a contender: one tierpool for each pool of the trace, driven by one thread. It
 * ticks by the time of the trace alone.
 */
#ifndef POOL_H
#define POOL_H

#include <tierpool.h>

#include "replay.h"
#include "sites.h"

/* What a borrow was lent, and what it had when it was put; capacities. */
struct lending {
	size_t lent, cap;
};

/* Makes a pool with the options that a traced one had; ends the program if it cannot be had. */
tierpool *pool_make(const struct traced_pool *traced, unsigned decay_ms);

/*
 * Plays the trace; ends the program if a pool cannot be had. one_site: as if no call had a site of
 * its own. seen: its first is given, the rest is filled in. lendings: of each borrow, filled in;
 * NULL: not wanted.
 */
void pool_replay(const struct trace *t, bool one_site, struct result *result,
	struct sites_seen *seen, struct lending *lendings);

#endif
