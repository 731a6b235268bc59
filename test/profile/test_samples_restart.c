/* SPDX-License-Identifier: MIT */
/* Another profile begins while a stack is captured, which the lock is not held for. */
#include <criterion/criterion.h>

#include "profile/rate.h"
#include "profile/samples.h"

static bool restarts;

/* In place of the C library's: here another thread would have its turn. */
int backtrace(void **frame, int most)
{
	(void)frame;
	(void)most;
	if (restarts) {
		tp_samples_end();
		cr_assert(tp_samples_begin(1));
	}
	return 0;
}

Test(samples_restart, a_get_of_the_profile_before_is_not_in_a_new_one)
{
	static char place, buffer;
	struct tp_sampled_get get = {.buffer = &buffer,
		.site = &place,
		.pool = "pool",
		.file = "file.c",
		.label = "",
		.pool_id = 1,
		.step = 80, /* a weight of 1024, and in a complete profile each is 1 */
		.cap = 64,
		.served = TP_SERVED_CPU,
		.frame = __builtin_frame_address(0)};
	struct tp_snapshot *s;

	cr_assert(tp_samples_begin((size_t)1 << 20));
	restarts = true;
	cr_assert_not(tp_samples_get(&get));
	restarts = false;
	get.step = 0;
	cr_assert(tp_samples_get(&get));
	s = tp_snapshot_take();
	cr_assert_eq(s->sites, 1);
	cr_assert_eq(s->site[0].gets.sum, 1);
	cr_assert_eq(s->site[0].gets.variance, 0);
	cr_assert_eq(s->samples, 1);
	cr_assert_eq(s->dropped, 0);
	tp_snapshot_free(s);
	tp_samples_end();
}
