/* SPDX-License-Identifier: MIT */
/*
 * What each contender of burst_decay does, in its own process: the burst, the quiet after it, and
 * samples of its memory. Only the workload allocates here.
 *
 * The burst: four threads borrow buffers until together they have BURST_BYTES, and touch every page.
 * The buffers have 256 bytes to 256 KiB, every magnitude as often as any other; or all have 4 KiB.
 * The threads hold them, and then give all back. The threads live on, as those of a server would. In the quiet one more thread borrows a
 * kilobyte a thousand times a second, or no thread does anything.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stddef.h>

#include "contenders.h"

#define MIB 1048576.0
#define THREADS 4
#define BURST_BYTES ((size_t)192 << 20) /* three times what the pool may keep */

/* The buffers of the burst. */
enum burst { BURST_MIXED, BURST_SMALL, BURSTS };

#define BORROW_SECONDS 1.0  /* when the burst begins */
#define RELEASE_SECONDS 3.0 /* when it ends, and the quiet begins */

#define SAMPLES_MOST 2048

struct sample {
	double seconds;
	double rss, idle; /* MiB; idle is 0 without a pool */
};

/*
 * The process of a contender: its samples go to standard output.
 * seconds: of the quiet. Returns: the exit status.
 */
int workload_run(const struct contender *c, enum burst burst, double seconds, double decay_ms);

#endif
