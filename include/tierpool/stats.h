/* SPDX-License-Identifier: MIT */
/*
 * What a pool has done, and what it keeps now.
 */
#ifndef TIERPOOL_STATS_H
#define TIERPOOL_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tierpool/pool.h>
#include <tierpool/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A pool's numbers, counted since it was made. Freed: the block went back to the backing.
 *
 * While calls run, idle_bytes never exceeds retain, and no counter goes backwards. While no call
 * runs all numbers are exact: gets - puts == borrowed, and allocs - frees == borrowed + idle. These
 * two are counted independently of each other.
 */
struct tierpool_stats {
	size_t size; /* sizeof(struct tierpool_stats), set by the caller */

	/* Calls. */
	uint64_t gets, puts; /* that succeeded */
	uint64_t hits;       /* gets served from an idle buffer, wherever it lay */

	/* Blocks. */
	uint64_t allocs, frees; /* blocks that the backing gave, and that were freed, with growth */
	uint64_t grows;         /* growths */
	uint64_t grows_pooled;  /* growths served by exchange with an idle buffer */

	/* Buffers that were freed, by the reason. */
	/* Larger than max_size of the options; or of 64 KiB or more, and not asked for twice: see */
	/* tierpool_put. */
	uint64_t drops_oversize;
	uint64_t drops_retain; /* no room under retain or the shared budget, or no memory for the */
			       /* pool's own tables */
	uint64_t drops_idle_count; /* no room under max_idle */
	uint64_t drops_decay;      /* idle through two decay steps of any cause: see ticks */
	uint64_t drops_trim;       /* by tierpool_trim or tierpool_retain_set */
	uint64_t drops_destroy;    /* the pool was destroyed */

	/* What is there now. */
	size_t borrowed;        /* buffers that are borrowed */
	size_t idle;            /* buffers that are kept */
	size_t idle_bytes;      /* what they take, with a header of 64 bytes each: on libc and on */
				/* jemalloc a buffer of 1 KiB takes 1,105 bytes */
	size_t idle_bytes_peak; /* the most bytes of retain that were ever reserved, for idle */
				/* buffers and for puts to come; never less than idle_bytes was */
	size_t overhead_bytes; /* the pool's own tables, and blocks that are free and still spend */
			       /* memory: 1 MiB, or small ones between others in use; retain */
			       /* does not bound them */
	size_t retain;         /* the bound that holds now, in bytes */

	/* How the pool works. */
	size_t default_size;   /* what tierpool_get lends where it has no site, as calibrated now */
	size_t max_size;       /* the largest tier that is kept now (tierpool_put); 0: none */
	uint64_t calibrations; /* of all sites */
	uint64_t ticks;      /* decay steps of any cause: by itself, tierpool_tick, the reaper, a */
			     /* shared budget (also at TIERPOOL_DECAY_NEVER) */
	uint64_t fences;     /* stops of other CPUs by membarrier(2), of one or of all at once */
	const char *percpu;  /* "rseq" or "locked": see tierpool_create */
	const char *backing; /* "jemalloc", "libc" or "custom" */
	/* 1: the system has refused membarrier(2): see "how CPUs are stopped" in pool.h. */
	uint64_t fence_lost;
};

/*
 * Reads a pool's numbers. No get waits for this; a put may, for as long as the library's list of
 * pools is searched, if it takes from a shared budget or is the last one of a destroyed pool.
 *
 * Before:  out->size is set to sizeof(struct tierpool_stats).
 * After:   out->size bytes of *out are written; none on failure. The strings live as long as the
 *          process.
 * Errors:  -EINVAL: pool or out is NULL, or out->size is less than sizeof(size_t) or more than this
 *          library knows; -ENOENT: the pool is gone (destroyed, and its last buffer put).
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_stats_read(tierpool *pool, struct tierpool_stats *out);

/*
 * Prints what each site of a pool has learned, a line a site: first the calls without a site, then
 * the others in the order in which they first borrowed.
 *
 *   gets      an estimate, from one get in 256: a few hundred off
 *   default   the size that tierpool_get lends there now; K, M: KiB, MiB
 *   changes   how often the default changed
 *   growths   per get; growths are counted exactly, and divided by the estimate
 *   p50, p95  half of the buffers that were put lately, and 95 %, fit into this size
 *   site      file, line and label; and to which sizes a buffer of the default grows, one after the
 *             other, if any buffer outgrew it
 *
 * A - stands where nothing was learned: the site borrows only by size, its puts were empty or are
 * still to come, or calibration is off (then gets is 0, too).
 *
 * Errors:  -EINVAL: pool or out is NULL; -ENOENT: the pool is gone; -EIO: out reports an error
 *          (a buffered stream does so later).
 * Returns: 0, or a negative errno.
 */
TIERPOOL_API int tierpool_sites_print(tierpool *pool, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
