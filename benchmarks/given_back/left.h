/* SPDX-License-Identifier: MIT */
/*
 * What is left of a burst after it was put: resident memory, the pool's tables and its idle bytes.
 */
#ifndef LEFT_H
#define LEFT_H

#include <stddef.h>

#define LEFT_BURST ((size_t)96 << 20) /* bytes, without what each buffer costs besides */
#define LEFT_DECAYS 2.25 /* how long the pool has: after two, what lay idle is gone; and a margin */

/* What happens after the puts. */
enum left_way {
	LEFT_TRIM,   /* tierpool_trim(pool, 0) */
	LEFT_REAPER, /* nothing is called for LEFT_DECAYS; the reaper runs */
	LEFT_USE,    /* for as long a pair of 1 KiB every millisecond; no reaper */
	LEFT_WAYS
};

struct left {
	double burst;  /* bytes that became resident as it was borrowed */
	double part;   /* of these, what was resident at the end */
	double kept;   /* part of the burst that was idle right after the puts */
	double tables; /* overhead_bytes at the end */
	double idle;   /* idle_bytes at the end */
};

/*
 * decay:   the pool's decay_ms
 * Returns: as child_run.
 */
int left_measure(struct left *left, size_t size, enum left_way way, double decay);

#endif
