/* SPDX-License-Identifier: MIT */
/*
 * Ticks by themselves: how much of one is done in a piece, where the next piece goes on, and what
 * does not hold it up.
 */
#include <errno.h>

#include "decay_fixture.h"
#include "syscall_filter.h"

#define PIECE 4 /* as many other CPUs a call may look at */

Test(decay, idle_cpus_are_aged_by_who_passes_by_a_few_at_a_time_and_in_the_end_all)
{
	unsigned before = 0;
	bool more;

	start(OTHERS, UINT_MAX);
	begin(false);
	do {
		more = some();
		cr_assert_leq(others_aged() - before, PIECE);
		cr_assert(!more || others_aged() > before, "a piece of nothing");
		before = others_aged();
	} while (more);
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert(aged[i].ticks == 1 && !owed(i), "CPU %u was aged by %u ticks", i,
			aged[i].ticks);
	cr_assert_eq(cpus.fences, tp_cpu_rseq ? OTHERS : 0);
}

Test(decay, an_explicit_tick_does_all_at_once_and_puts_off_the_next)
{
	start(OTHERS, 1u << 30);
	decay.due = 0;
	begin(true);
	tp_decay_all(&decay, &ager);
	cr_assert_eq(decay.ticks, 1);
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert_eq(aged[i].ticks, 1);
	cr_assert_geq(decay.due, (uint64_t)1 << 30);
	cr_assert_not(begin_due());
	cr_assert_not(some(), "nothing of it is left");
	cr_assert_eq(others_aged(), OTHERS);
}

Test(decay, what_a_piece_leaves_of_a_cpu_is_gone_on_with)
{
	unsigned calls = 0;

	start(OTHERS, UINT_MAX);
	begin(false);
	pieces_more = 2;
	while (some()) {
		cr_assert_lt(calls++, 6u * OTHERS, "it comes to no end");
		for (unsigned i = 0; i <= OTHERS; i++)
			cr_assert_eq(owed(i), aged[i].pieces < 3);
	}
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert(aged[i].pieces == 3 && !owed(i), "CPU %u: %u pieces", i, aged[i].pieces);
	/* Where nobody else is to do it, what is left of the own one is. */
	begin(false);
	decay.swept += OTHERS + 1 + own;
	cr_assert(some() && some());
	cr_assert_not(some());
	cr_assert(aged[0].pieces == 6 && !owed(0));
}

Test(decay, cpus_out_of_reach_do_not_hold_up_the_others)
{
	start(OTHERS, UINT_MAX);
	for (unsigned i = 2; i <= OTHERS; i += 2)
		cpu_of(i)->closed = 1;
	begin(false);
	for (unsigned calls = 0; some(); calls++)
		cr_assert_lt(calls, 2u * OTHERS, "it comes to no end");
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert_eq(aged[i].pieces, i == 0 || i % 2);
	if (!tp_cpu_rseq)
		return;
	/*
	 * And where the system lets us stop none of them: 128 is membarrier's fence, see percpu.c.
	 */
	if (syscall_refuse(SYS_membarrier, UINT32_MAX, 128, EPERM) ||
		syscall_refuse(SYS_sched_setaffinity, 0, 0, EPERM))
		skip("the system takes no filter");
	begin(false);
	for (unsigned calls = 0; some(); calls++)
		cr_assert_lt(calls, 2u * OTHERS, "it comes to no end");
	cr_assert_eq(aged[0].ticks, 2, "the own one needs no fence");
	cr_assert_eq(others_aged(), OTHERS / 2);
}

static unsigned afters;

static void after(void *context)
{
	cr_assert_eq(context, &decay);
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert(!tp_cpu_is_stopped(cpu_of(i)) && !cpu_of(i)->lock);
	afters++;
	cr_assert_eq(afters, others_aged() + aged[0].pieces);
}

Test(decay, what_is_to_follow_follows_when_the_cpu_has_its_slab_again)
{
	start(OTHERS, UINT_MAX);
	begin(false);
	pieces_more = 1;
	while (tp_decay_some(&decay, &(struct tp_ager){age, after, &decay}))
		;
	pieces_more = 0;
	begin(true);
	tp_decay_all(&decay, &(struct tp_ager){age, after, &decay});
	cr_assert_eq(afters, 3 * (OTHERS + 1));
}

Test(decay, the_turn_of_each_cpu_comes_where_one_piece_is_done_in_a_tick)
{
	start(OTHERS, UINT_MAX);
	for (unsigned tick = 0; tick < OTHERS / PIECE + 1; tick++) {
		begin(false);
		some();
	}
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert_gt(aged[i].pieces, 0, "CPU %u was passed by", i);
}

/* The first of two pieces of the two ticks that a CPU owes where nothing was used. */
static void one_piece_of_two_ticks(void)
{
	start(1, UINT_MAX);
	begin(false);
	some();
	begin(false);
	begin(false);
	aged[1].pieces = aged[1].ticks = 0;
	pieces_more = 1;
	cr_assert(some());
	cr_assert_eq(aged[1].ticks, 2);
}

Test(decay, what_a_cpu_owes_is_settled_by_the_first_piece_of_it)
{
	one_piece_of_two_ticks();
	while (some())
		;
	cr_assert(aged[1].pieces == 2 && aged[1].ticks == 2 + 2, "%u ticks", aged[1].ticks);
}

Test(decay, one_used_between_two_pieces_owes_one_tick_for_the_rest)
{
	one_piece_of_two_ticks();
	work(1, 1);
	while (some())
		;
	cr_assert(aged[1].pieces == 2 && aged[1].ticks == 2 + 1, "%u ticks", aged[1].ticks);
}

Test(decay, what_was_aged_for_a_tick_that_did_not_end_owes_one_for_the_next)
{
	start(1, UINT_MAX);
	begin(false);
	pieces_more = 1;
	while (!aged[1].pieces)
		some();
	pieces_more = 0;
	begin(true);
	tp_decay_all(&decay, &ager);
	cr_assert(aged[1].ticks == 1 + 1 && !owed(1), "%u ticks", aged[1].ticks);
}

static bool someone_goes_on(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	/* Another caller has the next CPU meanwhile. */
	decay.swept++;
	return age(context, cpu, progress, ticks);
}

Test(decay, what_a_piece_leaves_is_not_forgotten_where_another_caller_goes_on_meanwhile)
{
	unsigned calls = 0;

	start(OTHERS, UINT_MAX);
	begin(false);
	pieces_more = 2;
	while (tp_decay_some(&decay, &(struct tp_ager){someone_goes_on, NULL, &decay}))
		cr_assert_lt(calls++, 6u * OTHERS, "it comes to no end");
	for (unsigned i = 0; i <= OTHERS; i++)
		cr_assert(aged[i].pieces % 3 == 0, "CPU %u: %u pieces", i, aged[i].pieces);
}

Test(decay, who_is_left_to_itself_is_not_looked_at_again_for_what_others_have_left)
{
	start(2, UINT_MAX);
	if (!tp_cpu_rseq)
		skip("in locked mode nothing is left to those at work");
	work(1, BUSILY);
	begin(false);
	pieces_more = 2;
	while (some())
		;
	cr_assert(aged[1].pieces == 0 && aged[2].pieces == 3);
}

static unsigned from; /* where the last piece began */

/* As slab_age does it, of three parts. */
static bool age_a_part(void *context, struct tp_cpu *cpu, uint16_t *progress, unsigned ticks)
{
	(void)context, (void)ticks;
	(void)cpu;
	from = (*progress)++;
	return *progress == 3;
}

/* One piece of the next tick, of the own CPU: in which part it began. */
static unsigned part_of_next_tick(bool asked)
{
	begin(false);
	decay.swept += own + 1; /* nothing for the look at others */
	decay.apart_ms = 1u << 20;
	decay.asked = asked;
	tp_decay_some(&decay, &(struct tp_ager){.age = age_a_part, .context = &decay});
	return from;
}

Test(decay, what_was_aged_a_moment_ago_for_a_tick_that_did_not_end_is_left_out)
{
	start(0, UINT_MAX);
	state_of(0)->aged_ms -= 1u << 20;
	cr_assert_eq(part_of_next_tick(false), 0);
	cr_assert_eq(part_of_next_tick(false), 1, "it begins where the last tick came to");
	state_of(0)->ager_ms -= 1u << 19;
	cr_assert_eq(part_of_next_tick(false), 0, "that was long ago");
	cr_assert_eq(part_of_next_tick(true), 0, "whoever asks means all that is there");
}
