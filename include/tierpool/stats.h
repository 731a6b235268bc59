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
			       /* pool's own tables; or TIERPOOL_DEBUG=unpooled */
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
	size_t max_size;       /* the largest tier that is kept now (tierpool_put), at most the */
			       /* max_size of the options, if retain has room for it; 0: none */
	uint64_t calibrations; /* of all sites */
	uint64_t ticks;      /* decay steps of any cause: by itself, tierpool_tick, the reaper, a */
			     /* shared budget (also at TIERPOOL_DECAY_NEVER) */
	uint64_t fences;     /* stops of other CPUs by membarrier(2), of one or of all at once */
	const char *percpu;  /* "rseq" or "locked": see tierpool_create */
	const char *backing; /* "jemalloc", "libc" or "custom" */
	/* 1: the system has refused membarrier(2) to this pool: see "how CPUs are stopped" in pool.h. */
	uint64_t fence_lost;

	/* Where gets found their buffer: the four add up to hits. */
	uint64_t hits_cpu;       /* idle on the CPU of the get */
	uint64_t hits_depot;     /* in the store that all CPUs share */
	uint64_t hits_other_cpu; /* idle on another CPU */
	uint64_t hits_larger; /* a buffer of the next larger tier, which nobody had used lately */
	uint64_t grow_bytes;  /* copied by growth */
	size_t leased_bytes;  /* of retain: for idle buffers, and for puts to come */
};

/*
 * The same of one tier. A get counts in the tier that was asked for; a put, and all else, in the tier
 * of the block. So a get that found a larger buffer, and a growth, move a borrowed buffer from tier to
 * tier: gets - puts need not be what is borrowed. allocs - frees == borrowed + idle, while no call
 * runs.
 */
struct tierpool_tier_stats {
	size_t block_size;   /* capacity of its buffers, bytes */
	size_t cost;         /* bytes that an idle one takes of retain */
	uint64_t gets, puts; /* that succeeded */
	uint64_t hits_cpu, hits_depot, hits_other_cpu,
		hits_larger; /* as in struct tierpool_stats */
	uint64_t allocs,
		frees;         /* blocks of this size; one that grows where it is leaves its tier */
	uint64_t grows;        /* growths to this tier */
	uint64_t grows_pooled; /* those of them that were served by exchange with an idle buffer */
	uint64_t grow_bytes;   /* copied by them */
	uint64_t drops_oversize, drops_retain, drops_idle_count, drops_decay, drops_trim,
		drops_destroy;
	size_t borrowed;    /* buffers that are borrowed */
	size_t idle;        /* buffers that are kept */
	size_t leased;      /* buffers for which retain is reserved: idle, and for puts to come */
	size_t leased_peak; /* the most that were */
};

/*
 * Reads a pool's numbers. No get waits for this; a put may, for as long as the library's list of
 * pools is searched, if it takes from a shared budget or is the last one of a destroyed pool.
 *
 * Before:  out->size is set to sizeof(struct tierpool_stats).
 * After:   out->size bytes of *out are written; none on failure. The strings live as long as the
 *          process.
 * Errors:  -EINVAL: pool or out is NULL, or out->size is less than sizeof(size_t) or more than this
 *          library knows; -ENOENT: the pool is gone: destroyed, and its last buffer put, and all that
 *          was idle freed (see "Blocks" of tierpool_destroy).
 * Returns: 0, or a negative errno.
 */
TIERPOOL_NODISCARD TIERPOOL_API int tierpool_stats_read(tierpool *pool, struct tierpool_stats *out);

/*
 * Reads the numbers of each tier of a pool, the smallest first. Buffers larger than the largest tier
 * are in the numbers of the pool only.
 *
 * n:       elements that there is room for at out
 * stride:  sizeof(struct tierpool_tier_stats), as the caller was compiled; bytes from one element to
 *          the next, of which no more are written
 * Errors:  -EINVAL: pool is NULL, out is NULL and n is not 0, or stride is not a multiple of 8 or more
 *          than this library knows; -ENOENT: the pool is gone.
 * Returns: how many tiers there are, which may be more than n; or a negative errno.
 */
TIERPOOL_API int tierpool_stats_tiers(
	tierpool *pool, struct tierpool_tier_stats *out, size_t n, size_t stride);

/*
 * Prints a pool's numbers for people: one screen of 80 columns. First those of the pool: behind its name
 * the pool_id of tierpool_metrics_write; then a number a line, and behind it its parts. The shares of
 * hits are per cent of the gets. "sizes" shows default_size and max_size of struct tierpool_stats. Then
 * a line for each tier that was ever used (if these are more than 26, for those with the most gets):
 *
 *   gets, hit%   gets of this size, and how many of them were served from an idle buffer; the next
 *                four say where it lay
 *   new, freed   blocks that the backing gave, and buffers that were dropped
 *   idle, leased buffers that are kept, and those that retain is reserved for, with puts to come
 *   peak         the most that was leased
 *   cost         bytes that an idle one takes of retain
 *
 * k, M: thousands, millions; cut off, not rounded.
 *
 * Errors:  -EINVAL: pool or out is NULL; -ENOENT: the pool is gone; -ENOMEM; -EIO: out reports an
 *          error (a buffered stream does so later).
 * Returns: 0, or a negative errno.
 */
TIERPOOL_API int tierpool_stats_print(tierpool *pool, FILE *out);

/*
 * Writes the numbers of all pools, object caches and shared budgets, in the text format of Prometheus
 * (0.0.4); each name begins with tierpool_. Those of one name stay apart by the label pool_id, which is
 * also what tierpool_stats_print shows. Tiers that were never used are left out, and pools that are
 * destroyed. Of sites, which the profile knows (tierpool/profile.h), the 100 with the most gets are
 * written. What is no UTF-8 in a name is replaced. The last line is "# EOF": a program that adds metrics
 * of its own writes them before. The Content-Type is text/plain; version=0.0.4; out may be the stream of
 * a buffer (tierpool_buf_open).
 * lib/PROFILING.md has an example of an HTTP handler.
 *
 * Errors:  -EINVAL: out is NULL; -ENOMEM; -EIO: out reports an error (a buffered stream does so later).
 * Returns: 0, or a negative errno.
 */
TIERPOOL_API int tierpool_metrics_write(FILE *out);

/*
 * Prints what each site of a pool has learned, a line a site: first the calls without a site, then
 * the others in the order in which they first borrowed.
 *
 *   gets      an estimate, from one get in 256: off by some 16 times its square root (10,000: 1,600)
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
