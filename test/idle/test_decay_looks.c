/* SPDX-License-Identifier: MIT */
/*
 * By what is noticed that a tick is due: strikes, which come soon after a tick and after a slow
 * call, and then sixteen times in a period, whatever the rate of gets. And that the reaper, which
 * sleeps while nothing is kept, hears of the first thing that is. Ticks themselves: test_decay.c.
 */
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "decay_fixture.h"

#define GAP_SOON 16   /* gets to the next strike, in the mean */
#define GAP_MOST 4096 /* and when gets are many */
#define MS 1600000u   /* a period that does not end here */
#define PART (MS / 16)

/* ---- strikes ---- */

/* The mean gap after a strike that came so many milliseconds after the last. */
static unsigned gap_after(uint32_t ms)
{
	state_of(0)->expired_ms = (uint32_t)tp_clock_ms() - ms;
	return tp_decay_gap(&decay, false);
}

static unsigned gap_grow(void)
{
	unsigned gap = 0;

	for (unsigned strikes = 0; strikes < 100; strikes++)
		gap = gap_after(0);
	return gap;
}

/* Says when slow calls brought a strike near the last time. */
static void hurried_ago(uint32_t ms)
{
	state_of(0)->shortened_ms = (uint32_t)tp_clock_ms() - ms;
}

static int64_t countdown(unsigned i, unsigned stack)
{
	return tp_word_countdown(slab[i][at[stack]]);
}

/* Within the first gap, at its most. */
static bool strikes_soon(unsigned i)
{
	for (unsigned stack = 0; stack < STACKS; stack++)
		if (countdown(i, stack) >= 2 * GAP_SOON - 1)
			return false;
	return true;
}

Test(decay, strikes_that_come_early_come_half_as_often_up_to_a_limit)
{
	unsigned before, gap;

	start(0, MS);
	for (before = gap_after(0); before < GAP_MOST; before = gap) {
		gap = gap_after(0);
		cr_assert_eq(gap, 2 * before);
	}
	cr_assert_eq(gap_grow(), GAP_MOST);
}

Test(decay, strikes_that_come_late_come_as_much_more_often_and_those_in_time_as_before)
{
	start(0, MS);
	gap_grow();
	cr_assert_eq(gap_after(PART * 3 / 2), GAP_MOST, "between one and two parts of a period");
	for (unsigned gap = GAP_MOST; gap > 8; gap /= 4) {
		uint64_t before = tp_clock_ms();
		unsigned next = gap_after(4 * PART);
		uint64_t took = 4 * PART + tp_clock_ms() - before;

		cr_assert(next <= gap / 4 && next >= (uint64_t)gap * PART / took, "from %u to %u",
			gap, next);
		state_of(0)->gap = gap / 4;
	}
	cr_assert_eq(gap_after(100 * PART), 1, "at each get at the most");
	cr_assert_eq(gap_after(100 * PART), 1);
	cr_assert_eq(tp_decay_gap(&decay, false), 2, "this one came early, behind the last");
}

Test(decay, on_a_cpu_that_was_aged_strikes_come_soon_and_nothing_is_miscounted)
{
	struct tp_stack_counts before, counts;

	start(1, MS);
	work(1, 10);
	gap_grow();
	before = tp_stack_count(&cpus, at, STACKS);
	begin(false);
	cr_assert_not(some());
	for (unsigned i = 0; i < 2; i++)
		cr_assert(strikes_soon(i), "CPU %u goes on for %lld gets", i,
			(long long)countdown(i, 0));
	counts = tp_stack_count(&cpus, at, STACKS);
	cr_assert(counts.pops == before.pops && counts.pushes == before.pushes);
	cr_assert_eq(gap_after(0), 2 * GAP_SOON);
}

Test(decay, after_a_slow_call_strikes_come_soon)
{
	struct tp_stack_counts before, counts;

	start(0, MS);
	gap_grow();
	hurried_ago(PART);
	before = tp_stack_count(&cpus, at, STACKS);
	tp_decay_shorten(&decay);
	cr_assert(strikes_soon(0));
	counts = tp_stack_count(&cpus, at, STACKS);
	cr_assert(counts.pops == before.pops && counts.pushes == before.pushes);
	cr_assert_not(tp_cpu_is_stopped(cpu_of(0)));
	cr_assert_eq(gap_after(0), 2 * GAP_SOON);
}

Test(decay, slow_calls_bring_them_near_once_in_a_part_of_a_period)
{
	start(0, MS);
	gap_grow();
	hurried_ago(PART / 2);
	tp_decay_shorten(&decay);
	cr_assert_not(strikes_soon(0), "by slow calls among many gets all would strike");
	hurried_ago(PART);
	tp_decay_shorten(&decay);
	cr_assert(strikes_soon(0));
	fill(0);
	gap_grow();
	tp_decay_shorten(&decay);
	cr_assert_not(strikes_soon(0), "just now it was");
}

Test(decay, strikes_that_come_soon_anyway_are_not_put_off_by_slow_calls)
{
	start(0, MS);
	gap_grow();
	for (unsigned pops = 0; pops < 2 * GAP_SOON; pops++) {
		hurried_ago(PART);
		tp_decay_shorten(&decay);
		if (countdown(0, 0) < 0)
			return;
		work(0, 1);
	}
	cr_assert_fail("slow calls between the gets kept the strike away");
}

Test(decay, where_the_own_cpu_cannot_be_stopped_the_next_slow_call_hurries_it)
{
	start(0, MS);
	gap_grow();
	hurried_ago(PART);
	cr_assert(tp_spinlock_try(&cpu_of(0)->lock));
	tp_decay_shorten(&decay);
	cr_assert_not(strikes_soon(0), "another one has stopped it");
	tp_spinlock_unlock(&cpu_of(0)->lock);
	tp_decay_shorten(&decay);
	cr_assert(strikes_soon(0));
}

/* ---- the reaper ---- */

static uint32_t wakes;

/* In place of the reaper's own, which is not linked then. */
void tp_reaper_wake(void)
{
	tp_add_relaxed(&wakes, 1u);
}

Test(decay, who_keeps_something_wakes_the_reaper_once_after_each_of_its_looks)
{
	start(0, UINT_MAX);
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 1, "it may sleep, and knows nothing of what was made since");
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 1, "now it knows, and will look");
	tp_decay_unwatch(&decay);
	tp_decay_kept(&decay);
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 2);
	tp_decay_unwatch(&decay);
	tp_decay_due(&decay, true);
	tp_decay_kept(&decay);
	cr_assert_eq(wakes, 2, "it saw that something was there and need not be told");
}

#define ROUNDS 20000

static struct {
	uint32_t arrived, kept;
} round_of;

/* Spins, so that what follows begins at once in both threads, within a few steps of each other. */
static void both_arrive(unsigned times, unsigned delay)
{
	tp_add_release(&round_of.arrived, 1u);
	for (unsigned looks = 1; tp_load_acquire(&round_of.arrived) < 2 * times; looks++)
		if (looks % 1024 == 0)
			sched_yield();
	for (unsigned volatile i = 0; i < delay; i++)
		;
}

static void *keep_in_rounds(void *unused)
{
	pin(1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		both_arrive(2 * round + 1, round % 16);
		tp_store_relaxed(&round_of.kept, round + 1);
		tp_decay_kept(&decay);
		both_arrive(2 * round + 2, 0);
	}
	return unused;
}

Test(decay, of_a_keeper_and_a_reaper_that_looks_at_once_one_sees_the_other)
{
	unsigned seen = 0, woken = 0;
	pthread_t keeper;

	start(0, UINT_MAX);
	tp_decay_due(&decay, true);
	cr_assert_eq(pthread_create(&keeper, NULL, keep_in_rounds, NULL), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		bool saw;

		wakes = 0;
		both_arrive(2 * round + 1, round / 16 % 16);
		tp_decay_unwatch(&decay);
		saw = tp_load_relaxed(&round_of.kept) == round + 1;
		both_arrive(2 * round + 2, 0);
		cr_assert(saw || wakes == 1, "round %u: neither saw the other", round);
		tp_decay_due(&decay, true);
		seen += saw;
		woken += wakes;
	}
	pthread_join(keeper, NULL);
	cr_log_info("%u looks of %u saw what was kept, %u were told of it", seen, ROUNDS, woken);
}
