/* SPDX-License-Identifier: MIT */
/* Quantiles of weighted numbers. */
#include <criterion/criterion.h>

#include "profile/sketch.h"

static struct tp_sketch sketch;

Test(sketch, of_nothing_all_quantiles_are_0)
{
	struct tp_quantiles q = tp_sketch_quantiles(&sketch);

	cr_assert(q.p50 == 0 && q.p95 == 0 && q.p99 == 0 && q.max == 0);
}

Test(sketch, a_power_of_two_is_exact_and_others_are_a_quarter_too_large_at_most)
{
	for (uint64_t n = 1; n < UINT64_C(1) << 47; n = n < 100 ? n + 1 : n * 9 / 8) {
		struct tp_quantiles q;

		sketch = (struct tp_sketch){.max = 0};
		tp_sketch_add(&sketch, n, 1);
		/* So that the largest is another one. */
		tp_sketch_add(&sketch, UINT64_C(1) << 47, 1e-6);
		q = tp_sketch_quantiles(&sketch);
		cr_assert(q.p50 >= (double)n && q.p50 <= (double)n * 1.25 + 0.01, "%llu: %g",
			(unsigned long long)n, q.p50);
		if ((n & (n - 1)) == 0)
			cr_assert_eq(q.p50, (double)n);
	}
}

Test(sketch, weights_count)
{
	struct tp_quantiles q;

	tp_sketch_add(&sketch, 100, 96);
	tp_sketch_add(&sketch, 1000, 3.5);
	tp_sketch_add(&sketch, 70000, 0.5);
	q = tp_sketch_quantiles(&sketch);
	cr_assert(q.p50 >= 100 && q.p50 < 125);
	cr_assert(q.p95 >= 100 && q.p95 < 125);
	cr_assert(q.p99 >= 1000 && q.p99 < 1250);
	cr_assert_eq(q.max, 70000);
}

Test(sketch, what_is_beyond_it_lies_in_the_last_bucket)
{
	tp_sketch_add(&sketch, UINT64_MAX, 1);
	tp_sketch_add(&sketch, 0, 1);
	cr_assert_eq(tp_sketch_quantiles(&sketch).max, (double)UINT64_MAX);
	cr_assert_eq(tp_sketch_quantiles(&sketch).p50, 1);
}
