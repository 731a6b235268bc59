/* SPDX-License-Identifier: MIT */
/*
 * What a pool has done and what it keeps.
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
 * While calls run, idle_bytes never exceeds retain and no counter goes backwards. At rest, with no
 * call under way, all are exact: gets - puts == borrowed, allocs - frees == borrowed + idle, the
 * two counted independently of each other; each buffer is one block.
 */
struct tierpool_stats {
	size_t size;             /* sizeof(struct tierpool_stats), set by the caller */
	uint64_t gets, puts;     /* that succeeded */
	uint64_t hits;           /* gets served from an idle buffer, of whichever layer */
	uint64_t allocs, frees;  /* blocks taken from and given back to the backing, with growth */
	uint64_t grows;          /* growths */
	uint64_t grows_pooled;   /* growths served by exchange with an idle buffer */
	uint64_t drops_oversize; /* freed: above max_size */
	uint64_t drops_retain;   /* freed: no room under retain or the shared budget */
	uint64_t drops_idle_count; /* freed: no room under max_idle */
	uint64_t drops_decay;      /* freed: idle through two decay steps */
	uint64_t drops_trim;       /* freed: by tierpool_trim or tierpool_retain_set */
	uint64_t drops_destroy;    /* freed: the pool was destroyed */
	size_t borrowed;           /* buffers out now */
	size_t idle;               /* buffers kept now */
	size_t idle_bytes;         /* theirs, as the backing spends them, headers included */
	size_t idle_bytes_peak;    /* the most ever set aside for idle buffers; idle_bytes never */
				   /* exceeded it */
	size_t overhead_bytes;     /* the pool's own tables; not bounded by retain */
	size_t retain;             /* the bound that holds now, bytes */
	size_t default_size, max_size; /* as calibrated now, bytes */
	uint64_t calibrations, ticks;
	uint64_t fences;     /* stops of other CPUs by membarrier(2), of one or of all at once */
	const char *percpu;  /* "rseq" or "locked" */
	const char *backing; /* "jemalloc", "libc" or "custom" */
	/*
	 * 1: the system has refused a fence since the pool was made. Other CPUs are then stopped by
	 * going there; where that is refused too, what lies idle on them stays until they use it.
	 */
	uint64_t fence_lost;
};

/*
 * Reads a pool's statistics into *out, of which out->size bytes are written.
 * 0; -EINVAL: a NULL, or out->size is less than a size_t or more than this library knows; -ENOENT:
 * the pool is gone, destroyed and its last buffer put. Any thread; takes no lock that a get or put
 * waits for.
 */
TIERPOOL_API int tierpool_stats_read(tierpool *pool, struct tierpool_stats *out);

#ifdef __cplusplus
}
#endif

#endif
