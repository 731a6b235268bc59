/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU stacks under threads: nothing is lost or given twice while one pops, another pushes,
 * a third stops the CPU; and who counts meanwhile never counts more than there was.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>

#include "cpus.h"
#include "percpu/stack.h"
#include "slab_install.h"
#include "step_through.h"

#define THREADS 3
#define SLOTS 31 /* of each of the two stacks, whose words begin a slab of 64 and its half */
#define WORDS 64
#define CPUS 256
#define ITEMS 100
#define ROUNDS 1000000

static const uint16_t stacks[] = {0, 32};
static uint64_t slabs[CPUS][WORDS] __attribute__((aligned(TP_LINE)));
static struct tp_cpus cpus;
static char memory[(CPUS / 8 + 1 + 2 * CPUS) * TP_LINE] __attribute__((aligned(TP_LINE)));

static uint32_t owners[ITEMS];
static uint32_t twice, running;

/*
 * The truth, or above it: each is raised before the call and lowered after one that did nothing. So
 * whoever reads these after the cache's own counts reads no less than what happened.
 */
static uint64_t pops, pushes;

static void own(const void *item)
{
	if (tp_add_relaxed(&owners[(const uint32_t *)item - owners], 1u))
		tp_add_relaxed(&twice, 1u);
}

static void disown(const void *item)
{
	tp_sub_relaxed(&owners[(const uint32_t *)item - owners], 1u);
}

static void *pop(unsigned at)
{
	uint64_t after;
	void *item;

	tp_add_relaxed(&pops, 1u);
	item = tp_stack_pop(&cpus, at, &after);
	if (!item) {
		tp_sub_relaxed(&pops, 1u);
		return NULL;
	}
	own(item);
	if ((int64_t)after < 0)
		tp_stack_arm(&cpus, at, 20);
	return item;
}

static bool push(unsigned at, void *item)
{
	bool pushed;

	tp_add_relaxed(&pushes, 1u);
	disown(item);
	pushed = tp_stack_push(&cpus, at, item);
	if (!pushed) {
		own(item);
		tp_sub_relaxed(&pushes, 1u);
	}
	return pushed;
}

/* What this thread holds, at most: every item there is. */
struct hand {
	void *item[ITEMS];
	unsigned count;
};

/* Until it has popped and pushed so often, not tried: what others hold up is tried again. */
static void *pop_and_push(void *hand)
{
	struct hand *mine = hand;
	uint64_t random = (uintptr_t)hand;

	for (unsigned done = 0; done < ROUNDS;) {
		unsigned at, before = mine->count;
		void *item;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		at = stacks[(random >> 40) % 2];
		if (random >> 63 && mine->count) {
			mine->count -= push(at, mine->item[mine->count - 1]);
		} else {
			item = pop(at);
			if (item)
				mine->item[mine->count++] = item;
		}
		done += mine->count != before;
	}
	tp_sub_relaxed(&running, 1u);
	return NULL;
}

/* Takes items out of stopped CPUs, from any slot, puts others in, and changes the room. */
static void *stop_and_move(void *hand)
{
	struct hand *mine = hand;
	uint64_t random = 1;

	while (tp_load_relaxed(&running)) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		unsigned cpu_id = (unsigned)(random >> 33) % cpus.count,
			 what = (unsigned)(random >> 61);
		struct tp_cpu *cpu = tp_cpus_stop(&cpus, cpu_id);
		uint64_t *stack = cpu->slab + stacks[(random >> 60) % 2];
		unsigned depth = tp_word_depth(*stack), slot;

		if (what < 2) {
			tp_stack_room_set(stack, (unsigned)(random >> 20) % (SLOTS - depth + 1));
			tp_stack_shorten(cpu, stack, 5);
		} else if (what < 4 && depth) {
			slot = 1 + (unsigned)(random >> 20) % depth;
			mine->item[mine->count] = tp_stack_move_out(cpu, stack, slot);
			own(mine->item[mine->count++]);
		} else if (mine->count && depth + tp_word_room(*stack) < SLOTS) {
			disown(mine->item[--mine->count]);
			tp_stack_move_in(cpu, stack, mine->item[mine->count]);
		}
		tp_cpu_start(cpu);
		sched_yield();
	}
	return NULL;
}

static void start(unsigned cpu_count)
{
	cr_assert_eq(tp_cpus_init(&cpus, memory, cpu_count), 0);
	for (unsigned cpu_id = 0; cpu_id < cpu_count; cpu_id++) {
		struct tp_cpu *cpu;

		cr_assert(slab_install(&cpus, cpu_id, slabs[cpu_id]));
		cpu = tp_cpus_stop(&cpus, cpu_id);
		if (!cpu)
			skip("a CPU of the table cannot be stopped from here");
		for (unsigned i = 0; i < 2; i++)
			tp_stack_room_set(cpu->slab + stacks[i], SLOTS);
		tp_cpu_start(cpu);
	}
}

static void run_and_count(unsigned cpu_count)
{
	static struct hand hands[THREADS + 1];
	pthread_t thread[THREADS + 1];
	struct tp_stack_counts counts, most = {0, 0};
	unsigned held = 0, lying = 0;

	start(cpu_count);
	for (unsigned i = 0; i < ITEMS; i++) {
		struct hand *hand = &hands[i % (THREADS + 1)];

		owners[i] = 1;
		hand->item[hand->count++] = &owners[i];
	}
	running = THREADS;
	for (unsigned i = 0; i <= THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL,
				     i == THREADS ? stop_and_move : pop_and_push, &hands[i]),
			0);
	while (tp_load_acquire(&running)) {
		counts = tp_stack_count(&cpus, stacks, 2);
		/* A read-modify-write, which no load above can pass. */
		int64_t true_pops = (int64_t)tp_sub_acq_rel(&pops, 0u);
		int64_t true_pushes = (int64_t)tp_sub_acq_rel(&pushes, 0u);

		cr_assert_leq(counts.pops, true_pops);
		cr_assert_leq(counts.pushes, true_pushes);
		most.pops = counts.pops > most.pops ? counts.pops : most.pops;
		most.pushes = counts.pushes > most.pushes ? counts.pushes : most.pushes;
		sched_yield();
	}
	for (unsigned i = 0; i <= THREADS; i++)
		pthread_join(thread[i], NULL);
	counts = tp_stack_count(&cpus, stacks, 2);
	cr_assert_eq(counts.pops, (int64_t)pops);
	cr_assert_eq(counts.pushes, (int64_t)pushes);
	cr_assert(counts.pops >= most.pops && counts.pushes >= most.pushes);
	cr_assert_eq(counts.pops + counts.pushes, INT64_C(1) * THREADS * ROUNDS);

	cr_assert_eq(twice, 0);
	for (unsigned i = 0; i <= THREADS; i++)
		held += hands[i].count;
	for (unsigned cpu_id = 0; cpu_id < cpu_count; cpu_id++)
		for (unsigned i = 0; i < 2; i++)
			lying += tp_word_depth(tp_stack_word(&cpus, cpu_id, stacks[i]));
	cr_assert_eq(held + lying, ITEMS, "%u held and %u in the stacks", held, lying);
}

Test(cpucache_threads, one_cpu_that_all_share_counts_exactly_and_loses_nothing)
{
	cpu_set_t one;

	/* The one that the table has. */
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof one, &one))
		skip("CPU 0 is not ours to run on");
	run_and_count(1);
}

Test(cpucache_threads, all_cpus_together_count_exactly_and_lose_nothing)
{
	unsigned cpu_count = tp_cpu_count();

	run_and_count(cpu_count < CPUS ? cpu_count : CPUS);
}

/* As an arming is, of a CPU that is stopped. */
static void arm(struct tp_cpu *cpu, uint64_t *stack, unsigned gap)
{
	tp_store_release(stack, *stack + gap * TP_WORD_COUNTDOWN);
	tp_add_release(&cpu->armed, gap);
}

static void *move_and_arm(void *unused)
{
	struct tp_cpu *cpu = tp_cpus_stop(&cpus, 0);

	(void)unused;
	for (unsigned i = 0; i < 5 * ROUNDS; i++) {
		tp_stack_move_in(cpu, cpu->slab, owners);
		arm(cpu, cpu->slab, 20);
		tp_stack_shorten(cpu, cpu->slab, 5);
		tp_stack_move_out(cpu, cpu->slab, 1);
	}
	tp_cpu_start(cpu);
	tp_sub_relaxed(&running, 1u);
	return NULL;
}

/* Here the truth is known without doubt: nothing was popped or pushed at all. */
Test(cpucache_threads, a_stopper_at_work_never_makes_a_reading_rise)
{
	struct tp_stack_counts counts;
	pthread_t thread;
	unsigned below = 0;

	start(1);
	running = 1;
	cr_assert_eq(pthread_create(&thread, NULL, move_and_arm, NULL), 0);
	while (tp_load_relaxed(&running)) {
		counts = tp_stack_count(&cpus, stacks, 2);
		cr_assert_leq(counts.pops, 0, "%lld pops", (long long)counts.pops);
		cr_assert_leq(counts.pushes, 0, "%lld pushes", (long long)counts.pushes);
		below += counts.pops < 0 || counts.pushes < 0;
	}
	pthread_join(thread, NULL);
	counts = tp_stack_count(&cpus, stacks, 2);
	cr_assert_eq(counts.pops, 0);
	cr_assert_eq(counts.pushes, 0);
	cr_log_info("%u readings fell into the middle", below);
}

/* ---- the same, one instruction at a time ---- */

static struct tp_stack_counts reading, highest;

static void read_counts(unsigned step)
{
	(void)step;
	reading = tp_stack_count(&cpus, stacks, 2);
	highest.pops = reading.pops > highest.pops ? reading.pops : highest.pops;
	highest.pushes = reading.pushes > highest.pushes ? reading.pushes : highest.pushes;
}

static void stopper_work(void)
{
	struct tp_cpu *cpu = tp_cpus_stop(&cpus, 0);

	for (unsigned i = 0; i < 3; i++)
		tp_stack_move_in(cpu, cpu->slab, &owners[i]);
	arm(cpu, cpu->slab, 20);
	tp_stack_shorten(cpu, cpu->slab, 5);
	for (unsigned i = 0; i < 3; i++)
		tp_stack_move_out(cpu, cpu->slab, 1);
	tp_cpu_start(cpu);
}

Test(cpucache_threads, no_step_of_a_stopper_makes_a_reading_rise)
{
	start(1);
	if (tp_cpu_rseq && tp_cpu_fence(0))
		skip("a stop that is stepped through takes a fence, and they are refused");
	step_through(stopper_work, read_counts);
	cr_assert_eq(highest.pops, 0);
	cr_assert_eq(highest.pushes, 0);
	read_counts(0);
	cr_assert(reading.pops == 0 && reading.pushes == 0);
}

static unsigned one_step, one_operation;

/* One whole operation, in the middle of a reading; what a pop and a push do is plain here. */
static void work_at_one_step(unsigned step)
{
	uint64_t *stack = slabs[0];

	if (step != one_step)
		return;
	switch (one_operation) {
	case 0:
		tp_stack_move_in(&cpus.cpu[0], stack, &owners[0]);
		break;
	case 1:
		arm(&cpus.cpu[0], stack, 20);
		break;
	case 2:
		tp_stack_shorten(&cpus.cpu[0], stack, 5);
		break;
	case 3:
		tp_stack_move_out(&cpus.cpu[0], stack, 1);
		break;
	case 4:
		stack[tp_word_depth(*stack) + 1] = (uintptr_t)&owners[0];
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
	reading = tp_stack_count(&cpus, stacks, 1);
}

Test(cpucache_threads, no_reading_is_above_the_truth_at_whichever_step_something_happens)
{
	unsigned steps = 0;

	start(1);
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

/* ---- doors ---- */

Test(cpucache_threads, a_busy_door_sends_on_to_the_next_and_when_all_are_busy_away)
{
	uint32_t item;

	start(2);
	if (tp_cpu_rseq)
		skip("in rseq mode nobody waits for a door");
	for (unsigned stopped = 0; stopped < 2; stopped++) {
		unsigned other = 1 - stopped;

		tp_cpus_stop(&cpus, stopped);
		cr_assert(tp_stack_push(&cpus, 0, &item));
		cr_assert_eq(tp_word_depth(tp_stack_word(&cpus, other, 0)), 1);
		tp_cpus_stop(&cpus, other);
		cr_assert_not(tp_stack_push(&cpus, 0, &item));
		cr_assert_null(pop(0));
		tp_cpu_start(&cpus.cpu[other]);
		tp_cpu_start(&cpus.cpu[stopped]);
	}
}

static void *install_own(void *slab)
{
	return slab_install(&cpus, 0, slab) ? slab : NULL;
}

Test(cpucache_threads, of_threads_that_bring_a_slab_together_one_wins)
{
	pthread_t thread[THREADS];
	void *winner = NULL, *slab;

	cr_assert_eq(tp_cpus_init(&cpus, memory, 1), 0);
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, install_own, slabs[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &slab);
		cr_assert(!slab || !winner, "two slabs were taken");
		winner = slab ? slab : winner;
	}
	cr_assert_not_null(winner);
	cr_assert_eq((void *)cpus.cpu[0].slab, winner);
}
