/* SPDX-License-Identifier: MIT */
/*
 * CPUs that are stopped, and what is done there: pointers are taken out, room is set, the CPU is
 * closed. CPUs that have no slab yet, and how they get one.
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
	cr_assert_eq(own_stop()->slab, own.slabs[0]);
	own_start();
	cr_assert_not(slab_install(&own.cpus, own.cpu_id, own.slabs[1]));
	cr_assert_eq(own_stop()->slab, own.slabs[0]);
}

/* ---- what a stopper does ---- */

/* Takes n out from slot first on, and expects those of own.item from item on. */
static void take_out(unsigned first, unsigned n, unsigned item)
{
	void *out[SLOTS + 1] = {NULL};

	tp_stack_take_out(&own.cpus, own_stop(), FIRST, first, n, out, false);
	own_start();
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(out[i], &own.item[item + i], "slot %u", first + i);
	cr_assert_null(out[n]);
}

Test(stop, what_is_taken_out_takes_its_lease_along_and_the_rest_moves_down)
{
	own_install();
	own_room_set(FIRST, 15);
	for (unsigned i = 0; i < 10; i++)
		cr_assert(own_push(FIRST, &own.item[i]));
	take_out(1, 2, 0); /* the bottom */
	expect_word(FIRST, 8, 5, 0);
	take_out(7, 2, 8); /* the top */
	expect_word(FIRST, 6, 5, 0);
	take_out(3, 1, 4); /* the middle */
	expect_word(FIRST, 5, 5, 0);
	expect_counts(0, 10);
	cr_assert_eq(own_pop(FIRST), &own.item[7]);
	for (unsigned i = 6; i > 4; i--)
		cr_assert_eq(own_pop(FIRST), &own.item[i]);
	take_out(1, 2, 2); /* all */
	expect_word(FIRST, 0, 8, -3);
	expect_counts(3, 10);
}

Test(stop, the_ages_of_what_moves_down_move_with_it)
{
	static uint64_t slab[FIRST_AT + AGED_WORDS] __attribute__((aligned(TP_LINE)));
	uint8_t *ages = tp_stack_ages(slab + FIRST_AT);
	void *out[SLOTS];

	cr_assert(slab_install(&own.cpus, own.cpu_id, slab));
	own_room_set(FIRST, SLOTS);
	for (unsigned i = 0; i < 9; i++) {
		cr_assert(tp_stack_push_aged(&own.cpus, FIRST_AT, &own.item[i]));
		ages[1 + i] = (uint8_t)(100 + i);
	}
	tp_stack_take_out(&own.cpus, own_stop(), FIRST, 3, 2, out, true);
	own_start();
	for (unsigned slot = 1; slot <= 7; slot++) {
		unsigned i = slot < 3 ? slot - 1 : slot + 1;

		cr_assert_eq(slab[FIRST_AT + slot], (uintptr_t)&own.item[i]);
		cr_assert_eq(ages[slot], 100 + i, "slot %u has the age %u", slot, ages[slot]);
	}
}

Test(stop, room_is_set_without_a_touch_of_depth_and_countdown)
{
	own_install();
	own.slabs[0][FIRST_AT] = own_word(3, 2, -5);
	for (unsigned room = 0; room <= TP_STACK_MAX; room++) {
		own_room_set(FIRST, room);
		expect_word(FIRST, 3, room, -5);
	}
	own_room_set(FIRST, 0);
	expect_word(FIRST, 3, 0, -5);
	expect_word(SECOND, 0, 0, 0);
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
		tp_stack_room_set(&own.cpus, tp_cpus_stop(&own.cpus, cpu_id), FIRST, SLOTS);
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
