/* SPDX-License-Identifier: MIT */
/*
 * What is made of a histogram after the measurement: histogram.h.
 */
#include "support/histogram.h"

/* The largest value that lies in a bin. */
static uint64_t histogram_bin_most(unsigned bin)
{
	unsigned shift = bin < 2 * HALF_BINS ? 0 : bin / HALF_BINS - 1;

	return (((uint64_t)bin - shift * HALF_BINS + 1) << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *h, double part)
{
	uint64_t rank = (uint64_t)(part * (double)h->count), seen = 0;

	for (unsigned bin = 0; bin < BINS; bin++) {
		seen += h->bin[bin];
		if (seen > rank) {
			uint64_t most = histogram_bin_most(bin);

			return most < h->most ? most : h->most;
		}
	}
	return h->most;
}
