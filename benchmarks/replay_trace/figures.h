/* SPDX-License-Identifier: MIT */
/*
 * What a contender did in a part of a replay, and the modelled time that it took: cost.h.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct figures {
	uint64_t gets;
	uint64_t grown;   /* gets whose buffer grew at least once */
	uint64_t growths; /* all of them */
	uint64_t blocks;  /* new ones */
	uint64_t copied;  /* bytes, by growths */
	uint64_t drops;   /* buffers that were put, or lay idle, and were not kept */
	uint64_t calibrations;
	double len_sum, cap_sum; /* bytes at puts */
	size_t idle_peak, in_use_peak;
	double ns;
};

/* They count what happened. */
void figures_get(struct figures *f);
void figures_growth(struct figures *f, size_t copied, double cost);
void figures_block(struct figures *f, size_t cap);

/* bytes: of all of these blocks. Each counts as one of their mean size. */
void figures_freed(struct figures *f, uint64_t blocks, double bytes);

/*
 * A block of cap bytes, of which *written were written since it was new, has been written up to
 * len. After: *written is what it is then.
 */
void figures_written(struct figures *f, size_t cap, size_t *written, size_t len);

/* Notes that so many bytes are idle now. */
void figures_idle(struct figures *f, size_t bytes);

/* Returns: the figures of both parts together. */
struct figures figures_add(const struct figures *a, const struct figures *b);

#endif
