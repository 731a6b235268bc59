/* SPDX-License-Identifier: MIT */
/*
 * CPUs that are stopped, and what is done there: buffers move, room is leased, countdowns are
 * shortened, the CPU is closed. CPUs that have no slab yet, and how they get one.
 */
#include <signal.h>

#include "slab_install.h"
#include "stack_fixture.h"

TestSuite(stop, .init = own_setup);

Test(stop, a_cpu_without_a_slab_gives_and_takes_nothing)
{
	cr_assert_null(own_pop(FIRST));
	cr_assert_not(own_push(FIRST, own.item));
	cr_assert_null(tp_cpus_stop(&own.cpus, own.cpu_id));
	cr_assert_null(tp_cpus_stop_own(&own.cpus));
	cr_assert_eq(tp_stack_word(&own.cpus, own.cpu_id, FIRST), 0);
	expect_counts(0, 0);
}

Test(stop, a_slab_is_installed_once)
{
	own_install();
	cr_assert_eq(own_stop(0), own.slabs[0]);
	own_start();
	cr_assert_not(slab_install(&own.cpus, own.cpu_id, own.slabs[1]));
	cr_assert_eq(own_stop(0), own.slabs[0]);
}

Test(stop, what_is_moved_in_and_out_takes_its_lease_along)
{
	uint64_t *stack;

	own_install();
	stack = own_stop(FIRST);
	tp_stack_room_set(stack, 5);
	for (unsigned i = 0; i < 4; i++)
		tp_stack_move_in(&own.cpus.cpu[own.cpu_id], stack, &own.item[i]);
	expect_word(FIRST, 4, 5, 0);
	cr_assert_eq(
		tp_stack_move_out(&own.cpus.cpu[own.cpu_id], stack, 1), &own.item[0], "the bottom");
	cr_assert_eq(
		tp_stack_move_out(&own.cpus.cpu[own.cpu_id], stack, 2), &own.item[2], "the middle");
	cr_assert_eq(
		tp_stack_move_out(&own.cpus.cpu[own.cpu_id], stack, 2), &own.item[3], "the top");
	expect_word(FIRST, 1, 5, 0);
	cr_assert_eq(tp_stack_move_out(&own.cpus.cpu[own.cpu_id], stack, 1), &own.item[1]);
	expect_word(FIRST, 0, 5, 0);
	own_start();
	expect_counts(0, 0);
}

Test(stop, room_is_set_without_a_touch_of_depth_and_countdown)
{
	uint64_t *stack;

	own_install();
	stack = own_stop(FIRST);
	*stack = 3 * TP_WORD_DEPTH + 2 * TP_WORD_ROOM - 5 * TP_WORD_COUNTDOWN;
	for (unsigned room = 0; room <= TP_STACK_MAX; room++) {
		tp_stack_room_set(stack, room);
		expect_word(FIRST, 3, room, -5);
	}
	tp_stack_room_set(stack, 0);
	expect_word(FIRST, 3, 0, -5);
}

/* ---- hurried ---- */

#define FAR 1000000

/* As arming does. */
static void arm(int64_t countdown)
{
	own.slabs[0][FIRST] += (uint64_t)countdown * TP_WORD_COUNTDOWN;
	own.cpus.cpu[own.cpu_id].armed += (uint64_t)countdown;
}

static void shorten(unsigned mean)
{
	uint64_t *stack = own_stop(FIRST);

	tp_stack_shorten(&own.cpus.cpu[own.cpu_id], stack, mean);
	own_start();
}

/* Pops, each with its push, up to the expiry and with it. */
static unsigned pops_to_expiry(void)
{
	uint64_t after = 0;

	for (unsigned pops = 1;; pops++) {
		cr_assert_eq(tp_stack_pop(&own.cpus, FIRST, &after), own.item);
		cr_assert(own_push(FIRST, own.item));
		if ((int64_t)after < 0)
			return pops;
	}
}

Test(stop, a_countdown_that_is_shortened_expires_a_random_gap_later)
{
	struct gaps gaps = {0};

	own_install();
	own_room_set(FIRST, 1);
	cr_assert(own_push(FIRST, own.item));
	for (unsigned round = 0; round < GAP_ROUNDS; round++) {
		arm(FAR);
		shorten(GAP_MEAN);
		expect_counts(gaps.sum, gaps.sum + 1);
		gap_drawn(&gaps, pops_to_expiry());
	}
	expect_uniform(&gaps);
	arm(FAR);
	shorten(1);
	cr_assert_eq(pops_to_expiry(), 1, "in a mean of one it is the next pop");
}

Test(stop, an_expiry_is_never_put_off_by_shorten)
{
	unsigned nearer = 0;

	own_install();
	own_room_set(FIRST, 3);
	cr_assert(own_push(FIRST, own.item));
	for (int64_t before = 200; before > -3; before--) {
		int64_t after;

		arm(before - tp_word_countdown(own.slabs[0][FIRST]));
		shorten(100);
		after = tp_word_countdown(own.slabs[0][FIRST]);
		cr_assert_leq(after, before);
		expect_word(FIRST, 1, 2, after);
		expect_counts(0, 1);
		nearer += after < before;
	}
	cr_assert(nearer > 50 && nearer < 150, "%u of 203 were brought nearer", nearer);
}

/* ---- closed ---- */

static void close_all(void)
{
	tp_cpus_stop_all(&own.cpus);
	tp_cpus_close_all(&own.cpus);
	tp_cpus_start_all(&own.cpus);
}

Test(stop, a_closed_cpu_gives_and_takes_nothing_for_ever)
{
	own_install();
	own_room_set(FIRST, 4);
	own_push(FIRST, own.item);
	own_push(FIRST, own.item);
	own_pop(FIRST);
	close_all();
	cr_assert_null(own_pop(FIRST));
	cr_assert_not(own_push(FIRST, own.item));
	cr_assert_eq(own_change(2, 0, 0, (void *[]){own.item}).after, 0);
	cr_assert_null(tp_cpus_stop(&own.cpus, own.cpu_id));
	cr_assert_null(tp_cpus_stop_own(&own.cpus));
	cr_assert_not(slab_install(&own.cpus, own.cpu_id, own.slabs[1]));
	/* Its slab is the pool's to free, and what was counted in it counts still. */
	cr_assert_eq(own.cpus.cpu[own.cpu_id].slab, own.slabs[0]);
	expect_word(FIRST, 1, 3, -1);
	expect_counts(1, 2);
}

Test(stop, a_cpu_closed_before_it_had_a_slab_gets_none)
{
	close_all();
	cr_assert_not(slab_install(&own.cpus, own.cpu_id, own.slabs[0]));
	cr_assert_not(own_push(FIRST, own.item));
	cr_assert_eq(tp_stack_word(&own.cpus, own.cpu_id, FIRST), 0);
}

Test(stop, all_cpus_are_stopped_together_and_those_without_a_slab_are_not)
{
	own_install();
	own_room_set(FIRST, 1);
	tp_cpus_stop_all(&own.cpus);
	for (unsigned cpu_id = 0; cpu_id < own.cpus.count; cpu_id++)
		cr_assert_eq(tp_cpu_is_stopped(&own.cpus.cpu[cpu_id]), cpu_id == own.cpu_id);
	cr_assert_not(own_push(FIRST, own.item));
	tp_cpus_start_all(&own.cpus);
	cr_assert_not(tp_cpu_is_stopped(&own.cpus.cpu[own.cpu_id]));
	cr_assert(own_push(FIRST, own.item));
}

Test(stop, nobody_writes_to_the_closed_slab, .signal = SIGSEGV)
{
	*own.cpus.visible[own.cpu_id] = 1;
}

Test(stop, a_busy_door_sends_on_to_the_next_and_when_all_are_busy_away)
{
	if (tp_cpu_rseq)
		skip("in rseq mode nobody waits for a CPU");
	cpus_setup(2);
	for (unsigned cpu_id = 0; cpu_id < 2; cpu_id++) {
		cr_assert(slab_install(&own.cpus, cpu_id, own.slabs[cpu_id]));
		tp_stack_room_set(tp_cpus_stop(&own.cpus, cpu_id)->slab, SLOTS);
		tp_cpu_start(&own.cpus.cpu[cpu_id]);
	}
	for (unsigned stopped = 0; stopped < 2; stopped++) {
		unsigned other = 1 - stopped;

		tp_cpus_stop(&own.cpus, stopped);
		cr_assert(own_push(FIRST, own.item));
		cr_assert_eq(tp_word_depth(tp_stack_word(&own.cpus, other, FIRST)), 1);
		tp_cpus_stop(&own.cpus, other);
		cr_assert_not(own_push(FIRST, own.item));
		cr_assert_null(own_pop(FIRST));
		tp_cpu_start(&own.cpus.cpu[other]);
		tp_cpu_start(&own.cpus.cpu[stopped]);
	}
}
