/* SPDX-License-Identifier: MIT */
/*
 * How a tick is divided, so that no call is long for it, and by what a CPU notices that one is due:
 * pieces of one CPU, CPUs that owe two ticks, ticks that follow each other too soon, and countdowns.
 */
#include <criterion/criterion.h>
#include <limits.h>

#include "base/clock.h"
#include "cpus.h"
#include "decay_fixture.h"
#include "step_through.h"

/* ---- CPUs that owe two ticks ---- */

static void nothing(void)
{
}

static void push_and_pop(void)
{
	decay_work(1, 1);
}

static void slow_put(void)
{
	decay_hold(1, 2, 0);
}

Test(decay, one_that_missed_a_tick_owes_two_only_where_nothing_was_in_use_meanwhile)
{
	static const struct {
		void (*meanwhile)(void);
		unsigned ticks;
	} cases[] = {{nothing, 2}, {push_and_pop, 1}, {slow_put, 1}};

	decay_start(1, UINT_MAX);
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		decay_begin(true);
		decay_all();
		decay_aged[1].ticks = 0;
		cases[i].meanwhile();
		for (unsigned missed = 0; missed < 5; missed++)
			decay_begin(false);
		cr_assert_not(decay_some());
		cr_assert_eq(decay_aged[1].ticks, cases[i].ticks, "case %u: %u ticks", i,
			decay_aged[1].ticks);
	}
}

static unsigned one_step;
static void (*happen)(void);
static bool happened, happened_before;

/* On the other CPU, as long as it is not stopped. */
static void happen_at_one_step(unsigned step)
{
	struct tp_cpu *cpu_id = decay_cpu(1);

	if (step != one_step || tp_cpu_is_stopped(cpu_id) || (!tp_cpu_rseq && cpu_id->lock))
		return;
	happen();
	happened = true;
}

static bool age_stepped(unsigned i, unsigned ticks)
{
	happened_before = happened;
	return decay_count(i, ticks);
}

static void some_stepped(void)
{
	decay_some();
}

/*
 * CPU 1 owes two ticks. At one step of doing them something happens there, each time at a later step.
 * If that is early enough the CPU ages by ticks, else by two; if it is too late for one step, it is
 * for all that follow. Every seventh step will do: from the look to the stop there are
 * hundreds.
 */
static void expect_stepped(void (*what)(void), unsigned ticks)
{
	unsigned too_late = 0;

	decay_start(1, UINT_MAX);
	decay_age = age_stepped;
	happen = what;
	while (too_late < 5) {
		bool late;

		one_step += SANITIZED ? 41 : 7;
		decay_aged[1].ticks = 0;
		happened = happened_before = false;
		/* Two ticks have begun since anything moved there, and the look goes there. */
		decay.ticks += 2;
		*decay_cpu_aged(0) = (uint32_t)decay.ticks;
		decay_state(1)->uses_at_tick = tp_decay_moves(&decay, decay_own + 1);
		decay.swept = decay.ticks << 32 | (decay_own + 1);
		decay.first_cpu = 0;
		step_through(some_stepped, happen_at_one_step);
		late = decay_aged[1].ticks && !happened_before;
		cr_assert_eq(decay_aged[1].ticks, late ? 2 : ticks, "at step %u: %u ticks",
			one_step, decay_aged[1].ticks);
		too_late += late;
	}
	cr_assert_gt(one_step, 70);
}

Test(decay, one_that_is_used_before_it_is_stopped_owes_one_tick_only)
{
	expect_stepped(push_and_pop, 1);
}

static void age_by_another(void)
{
	*decay_cpu_aged(1) = (uint32_t)decay.ticks;
}

Test(decay, one_that_another_caller_has_aged_before_it_is_stopped_is_not_aged_again)
{
	expect_stepped(age_by_another, 0);
}

/* ---- ticks that follow each other too soon ---- */

/* As if ticks came apart_ms apart, and the last was done everywhere done_ms ago. */
static void ticks_apart(uint32_t apart_ms, uint32_t done_ms)
{
	decay.apart_ms = apart_ms;
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		decay_cpu_aged_ago(i, done_ms);
}

Test(decay, a_cpu_that_was_late_with_a_tick_is_spared_by_the_next_unless_it_was_asked_for)
{
	static const struct {
		bool asked;
		uint32_t done_ms;
		bool ages;
	} cases[] = {{false, 1000, false}, {true, 1000, true}, {false, 1u << 19, true}};

	decay_start(DECAY_OTHERS, UINT_MAX);
	decay_begin(true);
	decay_all();
	for (unsigned n = 0, ticks = 1; n < sizeof cases / sizeof *cases; n++) {
		decay_begin(cases[n].asked);
		ticks_apart(1u << 20, cases[n].done_ms);
		if (cases[n].asked)
			decay_all();
		else
			decay_rest();
		ticks += cases[n].ages;
		for (unsigned i = 0; i <= DECAY_OTHERS; i++)
			cr_assert(decay_aged[i].ticks == ticks && !decay_owed(i),
				"case %u, CPU %u: %u ticks", n, i, decay_aged[i].ticks);
	}
}

/* ---- pieces of one CPU ---- */

Test(decay, what_a_piece_leaves_of_a_cpu_is_gone_on_with)
{
	unsigned calls = 0;

	decay_start(DECAY_OTHERS, UINT_MAX);
	decay_begin(false);
	decay_pieces = 3;
	while (decay_some()) {
		cr_assert_lt(calls++, 6u * DECAY_OTHERS, "it comes to no end");
		for (unsigned i = 0; i <= DECAY_OTHERS; i++)
			cr_assert_eq(decay_owed(i), decay_aged[i].pieces < 3);
	}
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert(decay_aged[i].pieces == 3 && !decay_owed(i), "CPU %u: %u pieces", i,
			decay_aged[i].pieces);
	/* Where nobody else is to do it, what is left of the own one is. */
	decay_begin(false);
	decay.swept += DECAY_OTHERS + 1 + decay_own;
	cr_assert(decay_some() && decay_some());
	cr_assert_not(decay_some());
	cr_assert(decay_aged[0].pieces == 6 && !decay_owed(0));
}

/* Of two ticks where nothing was used before the first piece. */
Test(decay, what_a_cpu_owes_is_settled_by_the_first_piece_unless_it_is_used_before_the_second)
{
	static const struct {
		void (*meanwhile)(void);
		unsigned ticks;
	} cases[] = {{nothing, 2 + 2}, {push_and_pop, 2 + 1}};

	decay_start(1, UINT_MAX);
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		decay_pieces = 1;
		decay_begin(true);
		decay_all();
		decay_begin(false);
		decay_begin(false);
		decay_aged[1] = (struct decay_aged){0, 0};
		decay_pieces = 2;
		cr_assert(decay_some());
		cr_assert_eq(decay_aged[1].ticks, 2);
		cases[i].meanwhile();
		decay_rest();
		cr_assert(decay_aged[1].pieces == 2 && decay_aged[1].ticks == cases[i].ticks,
			"case %u: %u ticks", i, decay_aged[1].ticks);
	}
}

Test(decay, what_was_aged_for_a_tick_that_did_not_end_owes_one_for_the_next)
{
	decay_start(1, UINT_MAX);
	decay_begin(false);
	decay_pieces = 2;
	while (!decay_aged[1].pieces)
		decay_some();
	decay_pieces = 1;
	decay_begin(true);
	decay_all();
	cr_assert(decay_aged[1].ticks == 1 + 1 && !decay_owed(1));
}

/* Another caller has the next CPU meanwhile. */
static bool age_while_another_goes_on(unsigned i, unsigned ticks)
{
	decay.swept++;
	return decay_count(i, ticks);
}

Test(decay, what_a_piece_leaves_is_not_forgotten_where_another_caller_goes_on_meanwhile)
{
	decay_start(DECAY_OTHERS, UINT_MAX);
	decay_age = age_while_another_goes_on;
	decay_begin(false);
	decay_pieces = 3;
	decay_rest();
	for (unsigned i = 0; i <= DECAY_OTHERS; i++)
		cr_assert(decay_aged[i].pieces % 3 == 0, "CPU %u: %u pieces", i,
			decay_aged[i].pieces);
}

Test(decay, one_that_is_left_to_itself_is_not_looked_at_again_for_what_others_have_left)
{
	decay_start(2, UINT_MAX);
	if (!tp_cpu_rseq)
		skip("in locked mode nothing is left to those at work");
	decay_work(1, DECAY_BUSILY);
	decay_begin(false);
	decay_pieces = 3;
	decay_rest();
	cr_assert(decay_aged[1].pieces == 0 && decay_aged[2].pieces == 3);
}

static unsigned from; /* where the last piece began */

/* As the ager of a pool does it, of three parts. */
static bool age_a_part(unsigned i, unsigned ticks)
{
	(void)ticks;
	from = decay_state(i)->ager++;
	return decay_state(i)->ager == 3;
}

/* One piece of the next tick, of the own CPU: in which part it began. */
static unsigned part_of_next_tick(bool asked)
{
	decay_begin(false);
	decay.swept += decay_own + 1; /* nothing for the look at others */
	decay.apart_ms = 1u << 20;
	decay.asked = asked;
	decay_some();
	return from;
}

Test(decay, what_was_aged_a_moment_ago_for_a_tick_that_did_not_end_is_left_out)
{
	decay_start(0, UINT_MAX);
	decay_age = age_a_part;
	decay_cpu_aged_ago(0, 1u << 20);
	cr_assert_eq(part_of_next_tick(false), 0);
	cr_assert_eq(part_of_next_tick(false), 1, "it begins where the last tick came to");
	decay_state(0)->ager_ms -= 1u << 19;
	cr_assert_eq(part_of_next_tick(false), 0, "that was long ago");
	cr_assert_eq(part_of_next_tick(true), 0, "who asks means all that is there");
}

/* ---- countdowns ---- */

#define GAP_SOON 16   /* gets to the next expiry, in the mean */
#define GAP_MOST 4096 /* and when gets are many */
#define MS 1600000u   /* a period that does not end here */
#define PART (MS / 16)

/* The mean gap after an expiry that came ms after the one before. */
static unsigned gap_after(uint32_t ms)
{
	decay_cpu_expired_ago(0, ms);
	return tp_decay_gap(&decay, false);
}

/* Expiries are as rare as they can be, and a slow call shortened the gap shortened_ms ago. */
static void gap_grow(uint32_t shortened_ms)
{
	for (unsigned times = 0; times < 100; times++)
		gap_after(0);
	decay_cpu_shortened_ago(0, shortened_ms);
}

/* All stacks of a CPU expire within the first gap, at its most. */
static bool expires_soon(unsigned i)
{
	for (unsigned stack = 0; stack < DECAY_STACKS; stack++)
		if (decay_countdown(i, stack) >= 2 * GAP_SOON - 1)
			return false;
	return true;
}

Test(decay, countdowns_expire_half_as_often_while_they_are_early_and_more_often_when_they_are_late)
{
	unsigned before, gap;

	decay_start(0, MS);
	for (before = gap_after(0); before < GAP_MOST; before = gap) {
		gap = gap_after(0);
		cr_assert_eq(gap, 2 * before);
	}
	cr_assert_eq(gap_after(0), GAP_MOST, "but no less often than this");
	cr_assert_eq(gap_after(PART * 3 / 2), GAP_MOST, "between one and two parts of a period");
	for (gap = GAP_MOST; gap > 8; gap /= 4) {
		uint64_t begin = tp_clock_ms();
		unsigned next = gap_after(4 * PART);
		uint64_t took = 4 * PART + tp_clock_ms() - begin;

		cr_assert(next <= gap / 4 && next >= (uint64_t)gap * PART / took, "from %u to %u",
			gap, next);
		decay_cpu_gap_set(0, gap / 4);
	}
	for (unsigned late = 0; late < 2; late++)
		cr_assert_eq(gap_after(100 * PART), 1, "at each get at the most");
	cr_assert_eq(tp_decay_gap(&decay, false), 2, "this one came early, behind the last");
}

Test(decay, on_a_cpu_that_was_aged_and_after_a_slow_call_countdowns_expire_soon_and_all_is_counted)
{
	struct tp_stack_counts before, counts;

	decay_start(1, MS);
	decay_work(1, 10);
	before = tp_stack_count(&decay_cpus, decay.stack_index, DECAY_STACKS);
	gap_grow(0);
	decay_begin(false);
	cr_assert_not(decay_some());
	cr_assert(expires_soon(0) && expires_soon(1));
	cr_assert_eq(gap_after(0), 2 * GAP_SOON);
	counts = tp_stack_count(&decay_cpus, decay.stack_index, DECAY_STACKS);
	cr_assert(counts.pops == before.pops && counts.pushes == before.pushes);
	decay_fill(0);
	before = tp_stack_count(&decay_cpus, decay.stack_index, DECAY_STACKS);
	gap_grow(PART);
	tp_decay_shorten(&decay);
	cr_assert(expires_soon(0));
	cr_assert_eq(gap_after(0), 2 * GAP_SOON);
	cr_assert_not(tp_cpu_is_stopped(decay_cpu(0)));
	counts = tp_stack_count(&decay_cpus, decay.stack_index, DECAY_STACKS);
	cr_assert(counts.pops == before.pops && counts.pushes == before.pushes);
}

Test(decay, slow_calls_bring_expiries_near_once_in_a_part_of_a_period_and_put_none_off)
{
	decay_start(0, MS);
	gap_grow(PART / 2);
	tp_decay_shorten(&decay);
	cr_assert_not(expires_soon(0), "by slow calls among many gets each would expire");
	/* Where the own CPU cannot be stopped the next slow call does it. */
	decay_cpu_shortened_ago(0, PART);
	cr_assert(tp_spinlock_try(&decay_cpu(0)->lock));
	tp_decay_shorten(&decay);
	cr_assert_not(expires_soon(0), "another one has stopped it");
	tp_spinlock_unlock(&decay_cpu(0)->lock);
	for (unsigned pops = 0; decay_countdown(0, 0) >= 0; pops++) {
		cr_assert_lt(pops, 2u * GAP_SOON, "slow calls between the gets put it off");
		decay_cpu_shortened_ago(0, PART);
		tp_decay_shorten(&decay);
		cr_assert(expires_soon(0));
		decay_work(0, 1);
	}
}
