/* SPDX-License-Identifier: MIT */
/*
 * A weighted distribution of numbers from 0 to 2^48, in buckets whose upper borders are a quarter of
 * a doubling apart. A quantile is the upper border of its bucket: exact for sizes that are powers of
 * two, at most a quarter too large for others.
 */
#ifndef TP_SKETCH_H
#define TP_SKETCH_H

#include <stdint.h>

#include "profile/snapshot.h"

#define TP_SKETCH_DOUBLINGS 48
#define TP_SKETCH_BUCKETS (4 * TP_SKETCH_DOUBLINGS + 1)

struct tp_sketch {
	double weight[TP_SKETCH_BUCKETS];
	uint64_t max;
};

void tp_sketch_add(struct tp_sketch *sketch, uint64_t n, double weight);
struct tp_quantiles tp_sketch_quantiles(const struct tp_sketch *sketch);

#endif
