/* SPDX-License-Identifier: MIT */
/*
 * What the profile knows at a moment, of all pools together: what is written in the formats of write.h. Owns
 * no state; a snapshot is a copy, which its holder reads without a lock.
 *
 * Each sample weighs the inverse of the probability with which it was taken. So a sum of weights
 * estimates a number of gets, without bias; and the sum of x * x * w * (w - 1) estimates the variance
 * of the sum of x * w (Horvitz and Thompson, 1952, of independent draws).
 */
#ifndef TP_SNAPSHOT_H
#define TP_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/advisor.h"

/* An estimate and its variance. */
struct tp_estimate {
	double sum, variance;
};

/* Where a get found its buffer. */
enum tp_served {
	TP_SERVED_CPU,       /* in the stack of its CPU */
	TP_SERVED_DEPOT,     /* in the depot of its tier */
	TP_SERVED_OTHER_CPU, /* in the stack of another CPU */
	TP_SERVED_LARGER,    /* in the depot of the next larger tier */
	TP_SERVED_NEW,       /* nothing was idle: a new block */
	TP_SERVED_OVERSIZE,  /* larger than the largest tier: always a new block */
	TP_SERVED_WAYS,
};

/* A weighted distribution, as its quantiles; 0 if nothing was put yet. */
struct tp_quantiles {
	double p50, p95, p99, max;
};

/* A site of a pool. The strings live as long as the snapshot. */
struct tp_snapshot_site {
	const char *pool;
	uint64_t pool_id;         /* of the registry: reports show it */
	const char *file, *label; /* "" and "": calls without a site */
	unsigned line;
	uint64_t samples;
	struct tp_estimate gets;
	struct tp_estimate bytes;  /* of the largest capacity that each buffer had */
	struct tp_estimate misses; /* gets that took a new block */
	struct tp_estimate growths;
	struct tp_estimate regrown;    /* bytes copied by growth */
	struct tp_estimate waste;      /* of put buffers: capacity less the largest len */
	double served[TP_SERVED_WAYS]; /* gets, by where they found their buffer */
	struct tp_quantiles asked;     /* bytes; of gets with a size */
	struct tp_quantiles capacity;  /* bytes; the largest that each buffer had */
	struct tp_quantiles used;      /* bytes; the largest len of put buffers */
	struct tp_quantiles held;      /* nanoseconds from get to put */
	struct tp_estimate out,
		out_bytes;  /* buffers that are still borrowed, and their capacity now */
	double out_long;    /* those that are out for a minute or longer */
	uint64_t oldest_ns; /* how long the oldest of them is out; 0: none */
	bool unwinds;       /* its stacks come from the unwinder: frame pointers are not there */
};

/* The samples of one site that came by one stack. */
struct tp_snapshot_stack {
	size_t site; /* index of its site */
	const uintptr_t
		*frames; /* addresses inside the calls (return address - 1): the borrower's first */
	unsigned depth;
	uint64_t samples;
	double gets, bytes, out, out_bytes, waste, regrown; /* as of the site */
};

/* Bounds of which a share is estimated: of the curve, and the pool's own. The share that is enough. */
#define TP_SNAPSHOT_BOUNDS 17
#define TP_SNAPSHOT_ENOUGH 0.99

/* What the advisor knows of a pool: how many gets each bound would serve without a new block. */
struct tp_snapshot_advice {
	char *pool;
	uint64_t pool_id;
	uint64_t gets; /* that it is about */
	unsigned
		windows; /* in which each event was seen; below TP_ADVISOR_WINDOWS_LEAST: not known */
	struct tp_advised curve[TP_SNAPSHOT_BOUNDS - 1]; /* by their bounds */
	struct tp_advised now;                           /* at the bound that the pool has */
	size_t least;                                    /* a bound below this keeps nothing */
	bool enough_known;
	size_t enough; /* the smallest bound that serves enough, or, if none is known, as much as any */
};

struct tp_snapshot {
	struct tp_snapshot_site *site;
	size_t sites;
	struct tp_snapshot_stack *stack;
	size_t stacks;
	struct tp_snapshot_advice *advice;
	size_t advices;
	uint64_t samples, dropped; /* dropped: there was no memory to record it */
	uint64_t begun_ns,
		ns;    /* when the profile was started (CLOCK_REALTIME); how long it has run */
	bool complete; /* each get was recorded: the numbers are no estimates */
	size_t sample_bytes; /* the mean of bytes between samples that was asked for; 0: automatic */
};

/* A copy of what is known now. NULL: out of memory. */
struct tp_snapshot *tp_snapshot_take(void);
void tp_snapshot_free(struct tp_snapshot *snapshot);

#endif
