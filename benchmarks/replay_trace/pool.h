/* SPDX-License-Identifier: MIT */
/*
 * The pool itself as a contender: one tierpool for each pool of the trace, driven by one thread. It
 * ticks by the time of the trace alone.
 */
#ifndef POOL_H
#define POOL_H

#include "replay.h"
#include "sites.h"

/*
 * Plays the trace; ends the program if a pool cannot be had. one_site: as if no call had a site of
 * its own. seen: its first is given, the rest is filled in.
 */
void pool_replay(
	const struct trace *t, bool one_site, struct result *result, struct sites_seen *seen);

#endif
