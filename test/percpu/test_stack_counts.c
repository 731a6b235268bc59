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

Test(stack_counts, counts_are_exact_at_rest_whatever_was_moved_or_armed)
{
	int64_t pops = 0, pushes = 0;
	uint64_t random = 1, dice, *stack;

	own_install();
	for (unsigned i = 0; i < 100000; i++) {
		unsigned at, depth;

		dice = next_random(&random);
		at = own_stacks[dice >> 8 & 1];
		depth = tp_word_depth(own.slabs[0][at]);
		stack = NULL;
		switch (dice & 7) {
		case 0:
		case 1:
		case 2:
			pushes += own_push(at, own.item);
			break;
		case 3:
		case 4:
			pops += own_pop(at) != NULL;
			break;
		case 5:
			stack = own_stop(at);
			tp_stack_room_set(stack, (unsigned)(dice >> 9) % (SLOTS - depth + 1));
			if (dice >> 20 & 1)
				tp_stack_shorten(&own.cpus.cpu[own.cpu_id], stack, 5);
			break;
		case 6:
			stack = own_stop(at);
			if (depth + tp_word_room(*stack) < SLOTS)
				tp_stack_move_in(&own.cpus.cpu[own.cpu_id], stack, own.item);
			else if (depth)
				tp_stack_move_out(&own.cpus.cpu[own.cpu_id], stack, depth);
			break;
		case 7:
			tp_stack_arm(&own.cpus, at, 50);
			break;
		}
		if (stack)
			own_start();
		expect_counts(pops, pushes);
	}
	cr_assert(pops > 1000 && pushes > 1000);
}

/* ---- one instruction at a time ---- */

static struct tp_stack_counts reading, highest;

static void read_counts(unsigned step)
{
	(void)step;
	reading = tp_stack_count(&own.cpus, own_stacks, 2);
	highest.pops = reading.pops > highest.pops ? reading.pops : highest.pops;
	highest.pushes = reading.pushes > highest.pushes ? reading.pushes : highest.pushes;
}

/* As arming does, of a CPU that is stopped. */
static void arm(struct tp_cpu *cpu, uint64_t *stack, unsigned gap)
{
	tp_store_release(stack, *stack + gap * TP_WORD_COUNTDOWN);
	tp_add_release(&cpu->armed, gap);
}

static void stopper_work(void)
{
	struct tp_cpu *cpu = tp_cpus_stop(&own.cpus, own.cpu_id);

	for (unsigned i = 0; i < 3; i++)
		tp_stack_move_in(cpu, cpu->slab, &own.item[i]);
	arm(cpu, cpu->slab, 20);
	tp_stack_shorten(cpu, cpu->slab, 5);
	for (unsigned i = 0; i < 3; i++)
		tp_stack_move_out(cpu, cpu->slab, 1);
	tp_cpu_start(cpu);
}

Test(stack_counts, no_step_of_a_stopper_makes_a_reading_rise)
{
	own_install();
	own_room_set(FIRST, SLOTS);
	if (tp_cpu_rseq && tp_cpu_fence((int)own.cpu_id))
		skip("a stop that is stepped through takes a fence, and they are refused");
	step_through(stopper_work, read_counts);
	cr_assert_eq(highest.pops, 0);
	cr_assert_eq(highest.pushes, 0);
	read_counts(0);
	cr_assert(reading.pops == 0 && reading.pushes == 0);
}

static uint64_t pops, pushes; /* the truth */
static unsigned one_step, one_operation;

/* One whole operation, in the middle of a reading; what a pop and a push do is plain here. */
static void work_at_one_step(unsigned step)
{
	uint64_t *stack = own.slabs[0];

	if (step != one_step)
		return;
	switch (one_operation) {
	case 0:
		tp_stack_move_in(&own.cpus.cpu[own.cpu_id], stack, &own.item[0]);
		break;
	case 1:
		arm(&own.cpus.cpu[own.cpu_id], stack, 20);
		break;
	case 2:
		tp_stack_shorten(&own.cpus.cpu[own.cpu_id], stack, 5);
		break;
	case 3:
		tp_stack_move_out(&own.cpus.cpu[own.cpu_id], stack, 1);
		break;
	case 4:
		stack[tp_word_depth(*stack) + 1] = (uintptr_t)&own.item[0];
		*stack += TP_WORD_PUSH;
		pushes++;
		break;
	default:
		*stack += TP_WORD_POP;
		pops++;
	}
}

static void read_once(void)
{
	reading = tp_stack_count(&own.cpus, own_stacks, 1);
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
			read_once();
			cr_assert_eq(reading.pops, (int64_t)pops);
			cr_assert_eq(reading.pushes, (int64_t)pushes);
		}
	} while (one_step < steps);
	cr_assert(pops > 20 && pushes == pops);
}
