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
 * its own. first: after how many gets of a site its first figures are taken; 0: never. sites: one
 * for each site of the trace, all 0.
 */
void pool_replay(const struct trace *t, bool one_site, uint64_t first, struct result *result,
	struct site_figures *sites);

#endif
