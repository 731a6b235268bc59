/* SPDX-License-Identifier: MIT */
/*
 * What is kept of samples: sums by site and stack, and what is out; without memory, samples are dropped
 * and counted.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocations.h"
#include "base/lock.h"
#include "cpus.h"
#include "profile/rate.h"
#include "profile/samples.h"

/* ---- samples ---- */

static char place[4], buffer[100000];

/* Of the ith place, of step 8: a weight of 2. */
static bool sample(unsigned i, const void *of, size_t cap, enum tp_served served)
{
	static const char *const label[] = {"a", "b", "c", "d"};

	return tp_samples_get(&(struct tp_sampled_get){.buffer = of,
		.site = &place[i],
		.pool = "pool",
		.file = "file.c",
		.label = label[i],
		.pool_id = 7,
		.line = 10 + i,
		.step = 8,
		.asked = cap - 24,
		.cap = cap,
		.served = served,
		.frame = __builtin_frame_address(0)});
}

static void start(void)
{
	cr_assert(tp_samples_begin(0));
}

static void end(void)
{
	tp_samples_end();
}

TestSuite(samples, .init = start, .fini = end);

Test(samples, are_summed_by_site)
{
	struct tp_snapshot *s;

	cr_assert(sample(0, &buffer[0], 1024, TP_SERVED_CPU));
	cr_assert(sample(0, &buffer[1], 1024, TP_SERVED_NEW));
	cr_assert(sample(1, &buffer[2], 64, TP_SERVED_DEPOT));
	tp_samples_put(&buffer[0], 100);
	s = tp_snapshot_take();
	cr_assert_eq(s->sites, 2);
	cr_assert_eq(s->samples, 3);
	cr_assert_str_eq(s->site[0].pool, "pool");
	cr_assert_str_eq(s->site[0].file, "file.c");
	cr_assert_str_eq(s->site[1].label, "b");
	cr_assert_eq(s->site[1].line, 11);
	cr_assert_eq(s->site[0].samples, 2);
	cr_assert_eq(s->site[0].gets.sum, 4);
	cr_assert_eq(s->site[0].gets.variance, 2 * 2 * (2 - 1));
	cr_assert_eq(s->site[0].bytes.sum, 4096);
	cr_assert_eq(s->site[0].bytes.variance, 2 * 1024.0 * 1024 * 2 * (2 - 1));
	cr_assert_eq(s->site[0].misses.sum, 2);
	cr_assert_eq(s->site[0].served[TP_SERVED_CPU], 2);
	cr_assert_eq(s->site[1].served[TP_SERVED_DEPOT], 2);
	cr_assert_eq(s->site[0].asked.max, 1000);
	cr_assert_eq(s->site[0].used.p50, 100);
	cr_assert_eq(s->site[0].waste.sum, 2 * 924);
	cr_assert_eq(s->site[0].out.sum, 2);
	cr_assert_eq(s->site[0].out_bytes.sum, 2048);
	cr_assert_eq(s->site[0].out_long, 0);
	cr_assert_gt(s->site[0].oldest_ns, 0);
	tp_snapshot_free(s);
}

Test(samples, of_one_stack_are_one_entry)
{
	struct tp_snapshot *s;
	double gets = 0, bytes = 0;

	for (unsigned i = 0; i < 100; i++)
		cr_assert(sample(0, &buffer[i], 1024, TP_SERVED_CPU));
	cr_assert(sample(0, &buffer[100], 1024, TP_SERVED_CPU));
	s = tp_snapshot_take();
	/* The second call stands at another place; where there are no stacks, all are one. */
	cr_assert_leq(s->stacks, 3);
	for (size_t i = 0; i < s->stacks; i++) {
		gets += s->stack[i].gets;
		bytes += s->stack[i].bytes;
		cr_assert_eq(s->stack[i].out, s->stack[i].gets);
	}
	cr_assert_eq(gets, 202);
	cr_assert_eq(bytes, 202 * 1024);
	tp_snapshot_free(s);
}

Test(samples, growth_counts_what_is_copied_and_the_largest_capacity)
{
	struct tp_snapshot *s;

	cr_assert(sample(0, &buffer[0], 1000, TP_SERVED_CPU));
	tp_samples_grow(&buffer[0], 2000, 900);
	tp_samples_grow(&buffer[0], 4000, 1800);
	s = tp_snapshot_take();
	cr_assert_eq(s->site[0].bytes.sum, 2 * 4000);
	cr_assert_eq(s->site[0].bytes.variance, 4000.0 * 4000 * 2);
	cr_assert_eq(s->site[0].growths.sum, 2 * 2);
	cr_assert_eq(s->site[0].growths.variance, 2 * 2 * 2);
	cr_assert_eq(s->site[0].regrown.sum, 2 * 2700);
	cr_assert_eq(s->site[0].out_bytes.sum, 2 * 4000);
	cr_assert_eq(s->stack[0].regrown, 2 * 2700);
	tp_snapshot_free(s);
	tp_samples_put(&buffer[0], 3000);
	s = tp_snapshot_take();
	cr_assert_eq(s->site[0].waste.sum, 2 * 1000);
	cr_assert_eq(s->site[0].capacity.max, 4000);
	cr_assert_eq(s->site[0].out.sum, 0);
	tp_snapshot_free(s);
}

Test(samples, what_is_not_followed_is_left_alone)
{
	struct tp_snapshot *s;

	tp_samples_put(&buffer[0], 100);
	tp_samples_grow(&buffer[0], 100, 10);
	s = tp_snapshot_take();
	cr_assert_eq(s->sites + s->stacks + s->samples, 0);
	tp_snapshot_free(s);
}

Test(samples, a_buffer_whose_put_was_not_seen_is_out_once)
{
	struct tp_snapshot *s;

	cr_assert(sample(0, &buffer[0], 1024, TP_SERVED_CPU));
	cr_assert(sample(1, &buffer[0], 64, TP_SERVED_CPU));
	s = tp_snapshot_take();
	cr_assert_eq(s->site[0].out.sum, 0);
	cr_assert_eq(s->site[1].out.sum, 2);
	tp_snapshot_free(s);
}

Test(samples, are_forgotten_when_another_profile_begins)
{
	struct tp_snapshot *s;

	for (unsigned i = 0; i < sizeof buffer; i += 10)
		cr_assert(sample(i % 4, &buffer[i], 1024, TP_SERVED_CPU));
	end();
	start();
	tp_samples_put(&buffer[0], 100);
	cr_assert(sample(2, &buffer[10], 128, TP_SERVED_CPU));
	s = tp_snapshot_take();
	cr_assert_eq(s->samples, 1);
	cr_assert_eq(s->sites, 1);
	cr_assert_str_eq(s->site[0].label, "c");
	cr_assert_eq(s->site[0].gets.sum, 2);
	cr_assert_eq(s->site[0].out.sum, 2);
	cr_assert_eq(s->site[0].used.max, 0);
	tp_snapshot_free(s);
}

Test(samples, many_that_are_out_are_all_found)
{
	struct tp_snapshot *s;

	for (unsigned i = 0; i < sizeof buffer; i++)
		cr_assert(sample(0, &buffer[i], 1024, TP_SERVED_CPU));
	s = tp_snapshot_take();
	cr_assert_eq(s->site[0].out.sum, 2 * sizeof buffer);
	tp_snapshot_free(s);
	for (unsigned i = 0; i < sizeof buffer; i++)
		tp_samples_put(&buffer[i], 1);
	s = tp_snapshot_take();
	cr_assert_eq(s->site[0].out.sum, 0);
	cr_assert_eq(s->site[0].used.p50, 1);
	tp_snapshot_free(s);
}

/* ---- without memory ---- */

Test(samples, without_memory_are_dropped_and_counted)
{
	struct tp_snapshot *s;
	unsigned dropped = 0, taken = 0;

	/* Each allocation of a first sample fails once; and then all of them. */
	for (unsigned nth = 1; nth <= 8; nth++) {
		allocation_fails = (struct failing){.at = nth};
		dropped += !sample(nth % 4, &buffer[nth], 1024, TP_SERVED_CPU);
		taken = nth;
	}
	for (unsigned i = 0; i < 2000; i++) {
		allocation_fails = (struct failing){.at = 1, .forever = true};
		dropped += !sample(i % 4, &buffer[100 + i], 1024, TP_SERVED_CPU);
		taken++;
	}
	allocation_fails.at = 0;
	cr_assert_gt(dropped, 1000);
	s = tp_snapshot_take();
	cr_assert_eq(s->dropped, dropped);
	cr_assert_eq(s->samples, taken - dropped);
	tp_snapshot_free(s);
	cr_assert(sample(0, &buffer[0], 1024, TP_SERVED_CPU), "memory is back");
}

Test(samples, without_memory_there_is_no_snapshot)
{
	struct tp_snapshot *s;

	cr_assert(sample(0, &buffer[0], 1024, TP_SERVED_CPU));
	allocation_fails.at = 1;
	s = tp_snapshot_take();
	allocation_fails.at = 0;
	cr_assert_null(s);
}

/* ---- fork ---- */

Test(samples, are_the_childs_too_after_a_fork)
{
	struct tp_snapshot *s;
	int status;
	pid_t child;

	cr_assert(sample(0, &buffer[0], 1024, TP_SERVED_CPU));
	tp_samples_fork(TP_FORK_PREPARE);
	child = fork();
	tp_lock_fork_give(!child);
	tp_samples_fork(child ? TP_FORK_PARENT : TP_FORK_CHILD);
	tp_lock_fork_give(false);
	if (!child) {
		tp_samples_put(&buffer[0], 10);
		s = sample(1, &buffer[1], 64, TP_SERVED_CPU) ? tp_snapshot_take() : NULL;
		_exit(s && s->site[0].out.sum == 0 && s->site[1].out.sum > 0 ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	s = tp_snapshot_take();
	cr_assert_eq(s->site[0].out.sum, 2);
	tp_snapshot_free(s);
}
