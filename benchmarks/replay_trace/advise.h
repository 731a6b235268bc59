/* SPDX-License-Identifier: MIT */
/*
 * Advice: which share of a pool's gets each bound would have served without a new block, by the
 * library's own model of a pool (lib/profile/model.h). It is fed with the gets, growths and puts of the
 * trace, each on its CPU and at its time.
 */
#ifndef ADVISE_H
#define ADVISE_H

#include "trace.h"

#define ADVICE_BOUNDS 24
#define ADVICE_TARGET 0.99

/* A bound, and the share of gets that it serves without a new block. */
struct served {
	size_t retain;
	double share;
};

/* Of one pool. */
struct advice {
	size_t pool; /* its index in the trace */
	size_t gets;
	struct served curve[ADVICE_BOUNDS]; /* ascending */
	struct served now;                  /* the bound that the pool has */
	/*
	 * The smallest bound for ADVICE_TARGET, between two of the curve by their shares; if it is the
	 * first one of the curve, a smaller one may do. If reached is false, no bound serves so many, and
	 * this is the smallest that serves as many as any.
	 */
	struct served enough;
	bool reached;
};

/*
 * cpus: that the traced machine has; 0: as many as this one, and as are in the trace.
 * Returns: the advice for each pool of the trace, of malloc; that of a pool without gets has none.
 * Ends the program if it is out of memory.
 */
struct advice *advise_all(const struct trace *t, unsigned cpus);

#endif
