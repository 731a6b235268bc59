/* SPDX-License-Identifier: MIT */
/*
 * How the calls of the per-CPU stacks are counted: exactly at rest; and never above the truth,
 * whatever step of a reader or of a writer the other one falls into. Threads that count while others
 * work: stress_stack.c.
 */
#include "random.h"
#include "stack_fixture.h"
#include "step_through.h"

/* A reading looks at each CPU before ours: so that these are few. */
static void setup(void)
{
	pin(0);
	own_setup();
}

TestSuite(stack_counts, .init = setup);

/* By how much a word's fields are to grow, or, below zero, to shrink. */
struct growth {
	int depth, room, countdown;
};

static uint64_t grow(uint64_t word, const void *context)
{
	const struct growth *by = context;

	return word + (uint64_t)by->depth * TP_WORD_DEPTH + (uint64_t)by->room * TP_WORD_ROOM +
	       (uint64_t)by->countdown * TP_WORD_COUNTDOWN;
}

static void change(unsigned stack, int depth, int room, int countdown)
{
	struct growth by = {depth, room, countdown};
	void *items[SLOTS];

	for (unsigned i = 0; i < SLOTS; i++)
		items[i] = &own.item[i];
	tp_stack_change(&own.cpus, stack, grow, &by, items, NULL);
}

/* As a stopper, of the first stack: the lowest n go, and become room. */
static void take_out(unsigned n)
{
	struct tp_cpu *cpu = tp_cpus_stop(&own.cpus, own.cpu_id);
	void *items[SLOTS];

	tp_stack_take_out(&own.cpus, cpu, FIRST, 1, n, items, false);
	tp_stack_room_set(&own.cpus, cpu, FIRST, tp_word_room(cpu->slab[FIRST_AT]) + n);
	tp_cpu_start(cpu);
}

Test(stack_counts, counts_are_exact_at_rest_whatever_was_moved_or_armed)
{
	int64_t pops = 0, pushes = 0;
	uint64_t random = 1;

	own_install();
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t dice = next_random(&random);
		unsigned stack = dice >> 8 & 1;
		int depth = (int)tp_word_depth(own.slabs[0][own_at[stack]]);
		int room = (int)tp_word_room(own.slabs[0][own_at[stack]]);
		int some = (int)(dice >> 10 & 3);

		switch (dice & 7) {
		case 0:
		case 1:
		case 2:
			pushes += own_push(stack, own.item);
			break;
		case 3:
		case 4:
			pops += own_pop(stack) != NULL;
			break;
		case 5:
			if (dice >> 9 & 1)
				own_room_set(stack,
					(unsigned)(dice >> 10) % (unsigned)(SLOTS - depth + 1));
			else if (stack == FIRST && depth)
				take_out((unsigned)(dice >> 10) % (unsigned)depth + 1);
			break;
		case 6:
			if (dice >> 9 & 1 && depth + some + room <= SLOTS)
				change(stack, some, 0, some);
			else if (depth >= some)
				change(stack, -some, some, 0);
			break;
		case 7:
			tp_stack_arm(&own.cpus, stack, 50);
			break;
		}
		expect_counts(pops, pushes);
	}
	cr_assert(pops > 1000 && pushes > 1000);
}

/* ---- one instruction at a time ---- */

static struct tp_stack_counts reading, highest;

static void read_counts(unsigned step)
{
	(void)step;
	reading = own_counts();
	highest.pops = reading.pops > highest.pops ? reading.pops : highest.pops;
	highest.pushes = reading.pushes > highest.pushes ? reading.pushes : highest.pushes;
}

/* In rseq mode each of its tries is aborted, and undone. */
static void owner_work(void)
{
	change(FIRST, 3, -3, 0);
	change(FIRST, 0, 0, 20);
	change(FIRST, -2, 2, 5);
}

static void stopper_work(void)
{
	take_out(2);
}

static void expect_no_rise(void (*work)(void))
{
	step_through(work, read_counts);
	cr_assert_eq(highest.pops, 0);
	cr_assert_eq(highest.pushes, 0);
	expect_counts(0, 0);
}

Test(stack_counts, no_step_of_a_change_makes_a_reading_rise)
{
	own_install();
	own_room_set(FIRST, SLOTS);
	expect_no_rise(owner_work);
	expect_word(
		FIRST, tp_cpu_rseq ? 0 : 1, tp_cpu_rseq ? SLOTS : SLOTS - 1, tp_cpu_rseq ? 0 : 25);
}

Test(stack_counts, no_step_of_a_stopper_makes_a_reading_rise)
{
	own_install();
	own_room_set(FIRST, SLOTS);
	change(FIRST, 5, -5, 0);
	if (tp_cpu_rseq && tp_cpu_fence((int)own.cpu_id))
		skip("a stop that is stepped through takes a fence, and they are refused");
	expect_no_rise(stopper_work);
	expect_word(FIRST, 3, SLOTS - 3, 0);
}

static uint64_t pops, pushes; /* the truth */
static unsigned one_step, one_operation;

/* One whole operation, in the middle of a reading. */
static void work_at_one_step(unsigned step)
{
	if (step != one_step)
		return;
	switch (one_operation) {
	case 0:
		change(FIRST, 3, -3, 0);
		break;
	case 1:
		change(FIRST, 0, 0, 20);
		break;
	case 2:
		pushes += own_push(FIRST, own.item);
		break;
	case 3:
		take_out(2);
		break;
	case 4:
		pops += own_pop(FIRST) != NULL;
		break;
	default:
		change(FIRST, -1, 1, 0);
	}
}

static void read_once(void)
{
	reading = tp_stack_count(&own.cpus, FIRST);
}

Test(stack_counts, no_reading_is_above_the_truth_at_whichever_step_something_happens)
{
	unsigned steps = 0;

	own_install();
	own_room_set(FIRST, SLOTS);
	do {
		one_step++;
		for (one_operation = 0; one_operation < 6; one_operation++) {
			steps = step_through(read_once, work_at_one_step);
			cr_assert_leq(reading.pops, (int64_t)pops, "operation %u at step %u",
				one_operation, one_step);
			cr_assert_leq(reading.pushes, (int64_t)pushes, "operation %u at step %u",
				one_operation, one_step);
			expect_counts((int64_t)pops, (int64_t)pushes);
		}
	} while (one_step < steps);
	cr_assert(pops > 20 && pushes == pops);
}
