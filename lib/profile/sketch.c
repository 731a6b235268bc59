/* SPDX-License-Identifier: MIT */
#include "profile/sketch.h"

#include "base/compiler.h"

/* Bucket 0 is of 0 and 1; above, quarter q of doubling d ends with 2^d + q 2^d / 4. */
static unsigned sketch_bucket(uint64_t n)
{
	uint64_t offset, quarter;
	unsigned doubling;

	if (n <= 1)
		return 0;
	doubling = 63u - (unsigned)__builtin_clzll(n - 1);
	/* n - 1 less the doubling is the offset in it; of a doubling of 1 or 2 numbers, spread out. */
	offset = n - 1 - (UINT64_C(1) << doubling);
	quarter = doubling < 2 ? ((offset + 1) << (2 - doubling)) - 1 : offset >> (doubling - 2);
	return (unsigned)tp_min(1 + 4 * doubling + quarter, TP_SKETCH_BUCKETS - 1);
}

static double sketch_border(unsigned bucket)
{
	unsigned doubling = (bucket - 1) / 4, quarter = (bucket - 1) % 4;

	return bucket ? (double)(UINT64_C(1) << doubling) * (1 + (quarter + 1) / 4.0) : 1;
}

void tp_sketch_add(struct tp_sketch *sketch, uint64_t n, double weight)
{
	sketch->weight[sketch_bucket(n)] += weight;
	if (n > sketch->max)
		sketch->max = n;
}

static double sketch_quantile(const struct tp_sketch *sketch, double sum, double part)
{
	double reached = 0;

	for (unsigned i = 0; i < TP_SKETCH_BUCKETS; i++) {
		reached += sketch->weight[i];
		if (reached >= part * sum && reached > 0)
			return sketch_border(i) < (double)sketch->max ? sketch_border(i)
								      : (double)sketch->max;
	}
	return (double)sketch->max;
}

struct tp_quantiles tp_sketch_quantiles(const struct tp_sketch *sketch)
{
	double sum = 0;

	for (unsigned i = 0; i < TP_SKETCH_BUCKETS; i++)
		sum += sketch->weight[i];
	return (struct tp_quantiles){.p50 = sketch_quantile(sketch, sum, 0.50),
		.p95 = sketch_quantile(sketch, sum, 0.95),
		.p99 = sketch_quantile(sketch, sum, 0.99),
		.max = (double)sketch->max};
}
