/* SPDX-License-Identifier: MIT */
/*
 * What is done to the stacks of a stopped CPU: moved, leased, hurried, closed; and that the counts
 * are exact at rest whatever was done.
 */
#include <signal.h>

#include "cpucache_fixture.h"
#include "slab_install.h"

TestSuite(cpucache, .init = setup);

Test(cpucache, what_is_moved_in_and_out_takes_its_lease_along)
{
	uint64_t *stack;

	install();
	stack = stop(FIRST);
	tp_stack_room_set(stack, 5);
	for (unsigned i = 0; i < 4; i++)
		tp_stack_move_in(&cpus.cpu[own], stack, &item[i]);
	expect_word(FIRST, 4, 5, 0);
	cr_assert_eq(tp_stack_move_out(&cpus.cpu[own], stack, 1), &item[0], "the bottom");
	cr_assert_eq(tp_stack_move_out(&cpus.cpu[own], stack, 2), &item[2], "the middle");
	cr_assert_eq(tp_stack_move_out(&cpus.cpu[own], stack, 2), &item[3], "the top");
	expect_word(FIRST, 1, 5, 0);
	cr_assert_eq(tp_stack_move_out(&cpus.cpu[own], stack, 1), &item[1]);
	expect_word(FIRST, 0, 5, 0);
	publish();
	expect_counts(0, 0);
}

Test(cpucache, room_is_set_without_a_touch_of_depth_and_countdown)
{
	uint64_t *stack;

	install();
	stack = stop(FIRST);
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
	slabs[0][FIRST] += (uint64_t)countdown * TP_WORD_COUNTDOWN;
	cpus.cpu[own].armed += (uint64_t)countdown;
}

static void hurry(unsigned mean)
{
	uint64_t *stack = stop(FIRST);

	tp_stack_shorten(&cpus.cpu[own], stack, mean);
	publish();
}

/* Pops, each with its push, up to the strike and with it. */
static unsigned pops_to_strike(void)
{
	uint64_t after = 0;

	for (unsigned pops = 1;; pops++) {
		cr_assert_eq(tp_stack_pop(&cpus, FIRST, &after), item);
		cr_assert(tp_stack_push(&cpus, FIRST, item));
		if ((int64_t)after < 0)
			return pops;
	}
}

Test(cpucache, a_stack_that_is_hurried_strikes_a_random_gap_later)
{
	enum { MEAN = 100, ROUNDS = 2000 };
	unsigned seen[2 * MEAN] = {0}, distinct = 0;
	int64_t sum = 0;

	install();
	room_set(FIRST, 1);
	cr_assert(tp_stack_push(&cpus, FIRST, item));
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned gap;

		arm(FAR);
		hurry(MEAN);
		expect_counts(sum, sum + 1);
		gap = pops_to_strike();
		cr_assert_leq(gap, 2u * MEAN - 1);
		sum += gap;
		distinct += !seen[gap]++;
	}
	/* As for arming (test_cpucache.c). */
	cr_assert(sum > 90 * ROUNDS && sum < 110 * ROUNDS, "mean %.1f", (double)sum / ROUNDS);
	cr_assert_gt(distinct, 190);
	arm(FAR);
	hurry(1);
	cr_assert_eq(pops_to_strike(), 1, "in a mean of one it is the next pop");
}

Test(cpucache, a_strike_is_never_put_off_by_hurry)
{
	unsigned nearer = 0;

	install();
	room_set(FIRST, 3);
	cr_assert(tp_stack_push(&cpus, FIRST, item));
	for (int64_t before = 200; before > -3; before--) {
		int64_t after;

		arm(before - tp_word_countdown(slabs[0][FIRST]));
		hurry(100);
		after = tp_word_countdown(slabs[0][FIRST]);
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
	tp_cpus_stop_all(&cpus);
	tp_cpus_close_all(&cpus);
	tp_cpus_start_all(&cpus);
}

Test(cpucache, a_closed_cpu_gives_and_takes_nothing_for_ever)
{
	install();
	room_set(FIRST, 4);
	tp_stack_push(&cpus, FIRST, item);
	tp_stack_push(&cpus, FIRST, item);
	pop(FIRST);
	close_all();
	cr_assert_null(pop(FIRST));
	cr_assert_not(tp_stack_push(&cpus, FIRST, item));
	cr_assert_eq(change(2, 0, 0, (void *[]){item}).after, 0);
	cr_assert_null(tp_cpus_stop(&cpus, own));
	cr_assert_null(tp_cpus_stop_own(&cpus));
	cr_assert_not(slab_install(&cpus, own, slabs[1]));
	/* Its slab is the pool's to free, and what was counted in it counts still. */
	cr_assert_eq(cpus.cpu[own].slab, slabs[0]);
	expect_word(FIRST, 1, 3, -1);
	expect_counts(1, 2);
}

Test(cpucache, a_cpu_closed_before_it_had_a_slab_gets_none)
{
	close_all();
	cr_assert_not(slab_install(&cpus, own, slabs[0]));
	cr_assert_not(tp_stack_push(&cpus, FIRST, item));
	cr_assert_eq(tp_stack_word(&cpus, own, FIRST), 0);
}

Test(cpucache, all_cpus_are_stopped_together_and_those_without_a_slab_are_not)
{
	install();
	room_set(FIRST, 1);
	tp_cpus_stop_all(&cpus);
	for (unsigned cpu_id = 0; cpu_id < cpus.count; cpu_id++)
		cr_assert_eq(tp_cpu_is_stopped(&cpus.cpu[cpu_id]), cpu_id == own);
	cr_assert_not(tp_stack_push(&cpus, FIRST, item));
	tp_cpus_start_all(&cpus);
	cr_assert_not(tp_cpu_is_stopped(&cpus.cpu[own]));
	cr_assert(tp_stack_push(&cpus, FIRST, item));
}

Test(cpucache, nobody_writes_to_the_closed_slab, .signal = SIGSEGV)
{
	*cpus.visible[own] = 1;
}

Test(cpucache, counts_are_exact_at_rest_whatever_was_moved_or_armed)
{
	int64_t pops = 0, pushes = 0;
	uint64_t random = 1, *stack;

	install();
	for (unsigned i = 0; i < 100000; i++) {
		unsigned at = stacks[(random >> 40) % 2], depth;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		depth = tp_word_depth(slabs[0][at]);
		stack = NULL;
		switch (random >> 61) {
		case 0:
		case 1:
		case 2:
			pushes += tp_stack_push(&cpus, at, item);
			break;
		case 3:
		case 4:
			pops += pop(at) != NULL;
			break;
		case 5:
			stack = stop(at);
			tp_stack_room_set(stack, (unsigned)(random >> 30) % (SLOTS - depth + 1));
			if (random >> 20 & 1)
				tp_stack_shorten(&cpus.cpu[own], stack, 5);
			break;
		case 6:
			stack = stop(at);
			if (depth + tp_word_room(*stack) < SLOTS)
				tp_stack_move_in(&cpus.cpu[own], stack, item);
			else if (depth)
				tp_stack_move_out(&cpus.cpu[own], stack, depth);
			break;
		case 7:
			tp_stack_arm(&cpus, at, 50);
			break;
		}
		if (stack)
			publish();
		expect_counts(pops, pushes);
	}
	cr_assert(pops > 1000 && pushes > 1000);
}
