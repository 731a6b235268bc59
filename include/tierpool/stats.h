/* SPDX-License-Identifier: MIT */
/*
 * What a pool has done, and what it keeps now.
 */
#ifndef TIERPOOL_STATS_H
#define TIERPOOL_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <tierpool/pool.h>
#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A pool's numbers, counted since it was made.
 *
 * While calls run, idle_bytes never exceeds retain, and no counter goes backwards. While no call
 * runs all numbers are exact: gets - puts == borrowed, and allocs - frees == borrowed + idle. These
 * two are counted independently of each other. Each buffer is one block.
 */
struct tierpool_stats {
	size_t size; /* sizeof(struct tierpool_stats), set by the caller */

	/* Calls. */
	uint64_t gets, puts; /* that succeeded */
	uint64_t hits;       /* gets served from an idle buffer, wherever it lay */

	/* Blocks. */
	uint64_t allocs, frees; /* blocks taken from and given back to the backing, with growth */
	uint64_t grows;         /* growths */
	uint64_t grows_pooled;  /* growths served by exchange with an idle buffer */

	/* Buffers that were freed, by the reason. */
	uint64_t drops_oversize;   /* larger than max_size */
	uint64_t drops_retain;     /* no room under retain or the shared budget */
	uint64_t drops_idle_count; /* no room under max_idle */
	uint64_t drops_decay;      /* idle through two decay steps */
	uint64_t drops_trim;       /* by tierpool_trim or tierpool_retain_set */
	uint64_t drops_destroy;    /* the pool was destroyed */

	/* What is there now. */
	size_t borrowed;        /* buffers that are borrowed */
	size_t idle;            /* buffers that are kept */
	size_t idle_bytes;      /* their bytes, as the backing spends them, headers included */
	size_t idle_bytes_peak; /* the most bytes ever set aside for idle buffers; idle_bytes */
				/* never exceeded it */
	size_t overhead_bytes;  /* the pool's own tables; retain does not bound them */
	size_t retain;          /* the bound that holds now, in bytes */

	/* What the pool has learned, and how it works. */
	size_t default_size, max_size; /* as calibrated now, in bytes */
	uint64_t calibrations, ticks;
	uint64_t fences;     /* stops of other CPUs by membarrier(2), of one or of all at once */
	const char *percpu;  /* "rseq" or "locked" */
	const char *backing; /* "jemalloc", "libc" or "custom" */
	/*
	 * 1: the system has refused a fence since the pool was made. Other CPUs are then stopped by
	 * going there. If that is refused too, what lies idle on them stays until they use it: see
	 * tierpool_retain_set.
	 */
	uint64_t fence_lost;
};

/*
 * Reads a pool's numbers. Takes no lock that a get or put waits for.
 *
 * Before:  out->size is set to sizeof(struct tierpool_stats).
 * After:   out->size bytes of *out are written; none on failure. The strings live as long as the
 *          process.
 * Errors:  -EINVAL: pool or out is NULL, or out->size is less than sizeof(size_t) or more than this
 *          library knows; -ENOENT: the pool is gone (destroyed, and its last buffer put).
 * Returns: 0, or a negative errno.
 */
TIERPOOL_API int tierpool_stats_read(tierpool *pool, struct tierpool_stats *out);

#ifdef __cplusplus
}
#endif

#endif
