/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs are stopped for what, with a real pool on real CPUs. In rseq mode, where to stop another
 * CPU costs that CPU dear: one hard at work ages itself, one that is idle is aged by the thread that
 * ticks, and what can be done without is not done to one at work. In locked mode a stop costs
 * nothing, and all CPUs are stopped alike.
 */
#include <criterion/criterion.h>
#include <time.h>

#include "cpus.h"
#include "idle_fixture.h"
#include "pool/pool.h"
#include "pool_checks.h"

#define IDLE 8u
#define BUSILY 10000 /* pairs, among which a countdown surely expires: the largest gap is 8,191 */

static struct idle_fixture f;
static struct counting_backing counting;
static tierpool *pool;

/* A pool with IDLE buffers on the first CPU, which were used there. */
static void pool_with_idle(void)
{
	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	counting_backing_init(&counting);
	pool = pool_on(&counting, .min_size = 1024, .max_size = 4096);
	cycle(pool, 1024, IDLE);
	cr_assert_eq(at_rest(pool).idle, IDLE);
}

/* One buffer, again and again, so that all the others lie untouched. */
static void work_on_first_cpu(unsigned pairs)
{
	pin(0);
	for (unsigned i = 0; i < pairs; i++)
		cycle(pool, 1024, 1);
}

static void tick_from_second_cpu(void)
{
	pin(1);
	tierpool_tick(pool);
}

static bool in_rseq_mode(void)
{
	return tp_cpu_rseq;
}

/* In locked mode, and where fences are refused, there are none. */
static void expect_fences(unsigned fences)
{
	struct tierpool_stats s = at_rest(pool);

	cr_assert_eq(s.fences, in_rseq_mode() && !s.fence_lost ? fences : 0, "%lu fences",
		(unsigned long)s.fences);
}

Test(decay, one_at_work_is_not_fenced_by_a_tick_and_ages_itself)
{
	struct tierpool_stats s;

	pool_with_idle();
	if (!in_rseq_mode())
		skip("in locked mode there are no fences");
	for (unsigned tick = 0; tick < 2; tick++) {
		work_on_first_cpu(BUSILY);
		tick_from_second_cpu();
		cr_assert_eq(stats_of(pool).drops_decay, 0, "a tick reached a CPU at work");
		work_on_first_cpu(BUSILY);
	}
	s = at_rest(pool);
	cr_assert_eq(s.fences, 0);
	cr_assert_eq(s.drops_decay, IDLE - 1, "all but the one in use have aged");
	cr_assert_eq(s.idle, 1);
	pool_end(pool, &counting);
}

Test(decay, one_that_fell_quiet_owes_what_was_left_to_it)
{
	struct tierpool_stats s;

	pool_with_idle();
	work_on_first_cpu(BUSILY);
	tick_from_second_cpu();
	cr_assert_eq(at_rest(pool).idle, IDLE);
	tick_from_second_cpu();
	s = at_rest(pool);
	cr_assert_eq(s.idle, 0, "what nobody touched between two ticks is gone, as anywhere");
	cr_assert_eq(s.drops_decay, IDLE);
	expect_fences(1);
	pool_end(pool, &counting);
}

Test(decay, one_that_works_a_little_is_aged_by_the_one_that_ticks)
{
	pool_with_idle();
	for (unsigned tick = 0; tick < 2; tick++) {
		work_on_first_cpu(10);
		tick_from_second_cpu();
	}
	cr_assert_eq(at_rest(pool).idle, 1);
	expect_fences(2);
	pool_end(pool, &counting);
}

Test(decay, a_trim_reaches_one_at_work_with_one_fence_for_all)
{
	pool_with_idle();
	work_on_first_cpu(BUSILY);
	pin(1);
	cr_assert_gt(tierpool_trim(pool, 0), 0);
	cr_assert_eq(at_rest(pool).idle, 0);
	expect_fences(1);
	pool_end(pool, &counting);
}

Test(decay, for_what_can_be_done_without_only_one_that_has_not_moved_is_stopped)
{
	uint64_t after;
	unsigned first;
	void *b;

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	idle_new(&f, PLENTY, NULL, SIZE_MAX, 1024);
	first = idle_own_cpu(&f);
	b = idle_keep_new(&f, 0, 1);
	pin(1);
	cr_assert(tp_decay_may_stop(&f.tiers.decay, first, false),
		"nothing was popped or pushed there");
	pin(0);
	cr_assert_eq(tp_stack_pop(&f.tiers.cpus, f.tiers.stack_index[0], &after), b);
	cr_assert(tp_stack_push(&f.tiers.cpus, f.tiers.stack_index[0], b));
	cr_assert(tp_decay_may_stop(&f.tiers.decay, first, false), "the own one, always");
	pin(1);
	cr_assert_eq(tp_decay_may_stop(&f.tiers.decay, first, false), !in_rseq_mode());
	cr_assert(tp_decay_may_stop(&f.tiers.decay, first, false), "not moved since that look");
	pin(0);
	cr_assert_eq(tp_stack_pop(&f.tiers.cpus, f.tiers.stack_index[0], &after), b);
	cr_assert(tp_stack_push(&f.tiers.cpus, f.tiers.stack_index[0], b));
	pin(1);
	cr_assert(tp_decay_may_stop(&f.tiers.decay, first, true), "once a millisecond, any");
	idle_end(&f);
}

#define DUE 40

Test(decay, any_may_be_stopped_once_a_millisecond, .timeout = 60)
{
	unsigned due = 0;
	struct timespec begin, now;

	idle_new(&f, PLENTY, NULL, SIZE_MAX, 1024);
	cr_assert(tp_decay_stop_due(&f.tiers.decay), "the first time");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (due < DUE)
		due += tp_decay_stop_due(&f.tiers.decay);
	clock_gettime(CLOCK_MONOTONIC, &now);
	/* The coarse clock may be behind by a tick of its own at the beginning, 10 ms at HZ=100. */
	cr_assert_geq((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000,
		DUE - 1 - 10);
	idle_end(&f);
}
