/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU stacks: what a word says, what may lie in a stack, and that the counts are exact at
 * rest and never above the truth before.
 */
#include "cpucache.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "cpus.h"

#define SLOTS 31 /* of each stack here: two of them and their words make eight lines */
#define WORDS 64
#define CPUS 1024
#define FIRST 0 /* the words of the two stacks, in the slab */
#define SECOND 32

static const uint16_t stacks[] = {FIRST, SECOND};
static uint64_t slabs[2][WORDS] __attribute__((aligned(TP_LINE)));
static struct tp_doors doors;
static char memory[(CPUS / 8 + 1 + 2 * CPUS) * TP_LINE] __attribute__((aligned(TP_LINE)));
static unsigned own; /* the CPU that each test stays on */
static int item[SLOTS];

/* On one CPU that stays the same, with doors for it and all before it. */
static void setup(void)
{
	stay_on_this_cpu();
	own = tp_percpu_current(CPUS);
	if (own != tp_percpu_id())
		skip("this CPU is beyond the table of the test");
	cr_assert_leq(tp_doors_bytes(own + 1), sizeof memory);
	cr_assert_eq(tp_doors_init(&doors, memory, own + 1), 0);
}

TestSuite(cpucache, .init = setup);

static void install(void)
{
	cr_assert_null(tp_doors_stop(&doors, own));
	cr_assert_null(tp_doors_stop_own(&doors));
	cr_assert(tp_doors_install(&doors, own, slabs[0]));
}

/* The stopped CPU's stack. */
static uint64_t *stop(unsigned at)
{
	struct tp_door *door = tp_doors_stop(&doors, own);

	cr_assert_eq(door, &doors.door[own]);
	return door->home + at;
}

static void publish(void)
{
	tp_door_publish(&doors.door[own]);
}

static void room_set(unsigned at, unsigned room)
{
	tp_cpucache_room_set(stop(at), room);
	publish();
}

static void *pop(unsigned at)
{
	uint64_t after;

	return tp_cpucache_pop(&doors, at, &after);
}

static void expect_word(unsigned at, unsigned depth, unsigned room, int64_t countdown)
{
	uint64_t word = tp_cpucache_word(&doors, own, at);

	cr_assert_eq(tp_word_depth(word), depth, "depth %u", tp_word_depth(word));
	cr_assert_eq(tp_word_room(word), room, "room %u", tp_word_room(word));
	cr_assert_eq(tp_word_countdown(word), countdown);
}

static void expect_counts(int64_t pops, int64_t pushes)
{
	struct tp_cpucache_counts counts = tp_cpucache_count(&doors, stacks, 2);

	cr_assert_eq(counts.pops, pops, "%lld pops", (long long)counts.pops);
	cr_assert_eq(counts.pushes, pushes, "%lld pushes", (long long)counts.pushes);
}

Test(cpucache, a_word_holds_depth_room_and_a_signed_countdown_side_by_side)
{
	uint64_t word = 1024 * TP_WORD_DEPTH + 4095 * TP_WORD_ROOM - 3 * TP_WORD_COUNTDOWN;

	cr_assert_eq(tp_word_depth(word), 1024);
	cr_assert_eq(tp_word_room(word), 4095);
	cr_assert_eq(tp_word_countdown(word), -3);
	word += ((INT64_C(1) << 39) + 2) * TP_WORD_COUNTDOWN;
	cr_assert_eq(tp_word_depth(word), 1024);
	cr_assert_eq(tp_word_room(word), 4095);
	cr_assert_eq(tp_word_countdown(word), (INT64_C(1) << 39) - 1, "the largest");
	cr_assert_leq(TP_STACK_MAX, TP_WORD_MASK);
}

Test(cpucache, a_cpu_without_a_slab_gives_and_takes_nothing)
{
	cr_assert_null(pop(FIRST));
	cr_assert_not(tp_cpucache_push(&doors, FIRST, item));
	cr_assert_null(tp_doors_stop(&doors, own));
	cr_assert_null(tp_doors_stop_own(&doors));
	cr_assert_eq(tp_cpucache_word(&doors, own, FIRST), 0);
	expect_counts(0, 0);
}

Test(cpucache, a_stack_takes_no_more_than_it_has_room_for)
{
	install();
	cr_assert_not(tp_cpucache_push(&doors, FIRST, &item[0]), "pushed without a lease");
	room_set(FIRST, 2);
	cr_assert(tp_cpucache_push(&doors, FIRST, &item[0]));
	cr_assert(tp_cpucache_push(&doors, FIRST, &item[1]));
	cr_assert_not(tp_cpucache_push(&doors, FIRST, &item[2]));
	expect_word(FIRST, 2, 0, 0);
	cr_assert_not(tp_cpucache_push(&doors, SECOND, &item[2]), "another stack's room");
	expect_word(SECOND, 0, 0, 0);
}

Test(cpucache, the_last_one_in_is_the_first_one_out_and_leaves_its_room)
{
	install();
	room_set(FIRST, SLOTS);
	for (unsigned i = 0; i < SLOTS; i++)
		cr_assert(tp_cpucache_push(&doors, FIRST, &item[i]));
	expect_word(FIRST, SLOTS, 0, 0);
	for (unsigned i = SLOTS; i--;)
		cr_assert_eq(pop(FIRST), &item[i]);
	expect_word(FIRST, 0, SLOTS, -SLOTS);
	cr_assert_null(pop(FIRST));
	expect_word(FIRST, 0, SLOTS, -SLOTS);
	cr_assert_eq(slabs[0][SECOND], 0, "a stack ran over its end");
}

static bool pop_strikes(void)
{
	uint64_t after;

	cr_assert_not_null(tp_cpucache_pop(&doors, FIRST, &after));
	cr_assert_eq(after, tp_cpucache_word(&doors, own, FIRST));
	return (int64_t)after < 0;
}

Test(cpucache, a_pop_strikes_when_the_countdown_is_below_zero)
{
	uint64_t after;

	install();
	slabs[0][FIRST] = 1 * TP_WORD_COUNTDOWN;
	room_set(FIRST, 3);
	for (unsigned i = 0; i < 3; i++)
		tp_cpucache_push(&doors, FIRST, &item[i]);
	cr_assert_not(pop_strikes(), "at 0");
	cr_assert(pop_strikes(), "at -1");
	cr_assert(pop_strikes(), "and again, for the thread may have moved before it armed");
	cr_assert_null(tp_cpucache_pop(&doors, FIRST, &after), "nothing is left");
}

Test(cpucache, arming_puts_the_next_strike_a_random_gap_away)
{
	enum { MEAN = 100, ROUNDS = 2000 };
	unsigned seen[2 * MEAN] = {0}, distinct = 0;
	uint64_t sum = 0;

	install();
	room_set(FIRST, 1);
	tp_cpucache_push(&doors, FIRST, item);
	cr_assert(pop_strikes(), "the first of all");
	cr_assert(tp_cpucache_push(&doors, FIRST, item));
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned gap = tp_cpucache_arm(&doors, FIRST, MEAN), pops = 0;
		bool strike;

		cr_assert(gap >= 1 && gap <= 2 * MEAN - 1, "gap %u", gap);
		cr_assert_eq(tp_cpucache_arm(&doors, FIRST, MEAN), 0, "armed twice");
		do {
			strike = pop_strikes();
			cr_assert(tp_cpucache_push(&doors, FIRST, item));
			pops++;
		} while (!strike);
		cr_assert_eq(pops, gap, "armed for %u, struck after %u", gap, pops);
		sum += gap;
		distinct += !seen[gap]++;
	}
	expect_counts((int64_t)sum + 1, (int64_t)sum + 2);
	/* Uniform on 1 to 199: the mean of 2000 lies within 10 of 100 but for 1 in 10^14 times. */
	cr_assert(sum > UINT64_C(90) * ROUNDS && sum < UINT64_C(110) * ROUNDS, "mean %.1f",
		(double)sum / ROUNDS);
	cr_assert_gt(distinct, 190);
}

Test(cpucache, a_mean_of_one_strikes_at_every_pop)
{
	install();
	room_set(FIRST, 1);
	tp_cpucache_push(&doors, FIRST, item);
	for (unsigned i = 0; i < 20; i++) {
		cr_assert(pop_strikes());
		cr_assert_eq(tp_cpucache_arm(&doors, FIRST, 1), 1);
		tp_cpucache_push(&doors, FIRST, item);
	}
}

Test(cpucache, a_slab_is_installed_once)
{
	install();
	cr_assert_eq(stop(0), slabs[0]);
	publish();
	cr_assert_not(tp_doors_install(&doors, own, slabs[1]));
	cr_assert_eq(stop(0), slabs[0]);
}

/* ---- changes of the caller's CPU ---- */

/* To a word that is given. */
static uint64_t to_decide(uint64_t word, const void *wanted)
{
	return wanted ? *(const uint64_t *)wanted : word;
}

static struct tp_change change(unsigned depth, unsigned room, int64_t countdown, void **items)
{
	uint64_t wanted = depth * TP_WORD_DEPTH + room * TP_WORD_ROOM +
			  (uint64_t)countdown * TP_WORD_COUNTDOWN;

	return tp_cpucache_change(&doors, FIRST, to_decide, &wanted, items);
}

Test(cpucache, a_change_moves_a_batch_and_counts_it_as_moved)
{
	void *in[] = {&item[0], &item[1], &item[2], &item[3], &item[4]}, *out[3] = {NULL};

	install();
	room_set(FIRST, 7);
	change(5, 2, 0, in);
	expect_word(FIRST, 5, 2, 0);
	change(2, 2, 0, out);
	expect_word(FIRST, 2, 2, 0);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(out[i], &item[2 + i], "the last is the top");
	expect_counts(0, 0);
	cr_assert_eq(pop(FIRST), &item[1]);
	cr_assert_eq(pop(FIRST), &item[0]);
	expect_counts(2, 0);
	cr_assert_eq(slabs[0][SECOND], 0);
}

Test(cpucache, a_change_adds_room_and_arms_without_a_touch_of_what_lies_there)
{
	void *in[] = {&item[0]};
	struct tp_change done;

	install();
	change(1, 1, 0, in);
	done = change(1, 9, 77, NULL);
	cr_assert_eq(tp_word_room(done.before), 1);
	cr_assert_eq(tp_word_room(done.after), 9);
	expect_word(FIRST, 1, 9, 77);
	expect_counts(0, 0);
	cr_assert_eq(pop(FIRST), &item[0]);
	expect_counts(1, 0);
}

Test(cpucache, a_change_that_is_decided_against_tells_the_word)
{
	struct tp_change done;

	install();
	room_set(FIRST, 3);
	done = tp_cpucache_change(&doors, FIRST, to_decide, NULL, NULL);
	cr_assert_eq(done.before, 3 * TP_WORD_ROOM);
	cr_assert_eq(done.after, done.before);
}

Test(cpucache, nothing_is_changed_where_there_is_no_slab_or_it_is_a_stoppers)
{
	void *in[] = {&item[0]};
	struct tp_change done = change(1, 0, 0, in);

	cr_assert(done.before == 0 && done.after == 0);
	install();
	/* In locked mode the stopper has the lock; in rseq mode the CPU shows the closed slab. */
	stop(FIRST);
	done = change(1, 0, 0, in);
	cr_assert(done.before == 0 && done.after == 0);
	cr_assert_null(pop(FIRST));
	cr_assert_not(tp_cpucache_push(&doors, FIRST, item));
	cr_assert_null(tp_doors_stop_own(&doors), "a second stopper");
	publish();
	expect_word(FIRST, 0, 0, 0);
	expect_counts(0, 0);
}

/* ---- stopped CPUs ---- */

Test(cpucache, what_is_moved_in_and_out_takes_its_lease_along)
{
	uint64_t *stack;

	install();
	stack = stop(FIRST);
	tp_cpucache_room_set(stack, 5);
	for (unsigned i = 0; i < 4; i++)
		tp_cpucache_move_in(&doors.door[own], stack, &item[i]);
	expect_word(FIRST, 4, 5, 0);
	cr_assert_eq(tp_cpucache_move_out(&doors.door[own], stack, 1), &item[0], "the bottom");
	cr_assert_eq(tp_cpucache_move_out(&doors.door[own], stack, 2), &item[2], "the middle");
	cr_assert_eq(tp_cpucache_move_out(&doors.door[own], stack, 2), &item[3], "the top");
	expect_word(FIRST, 1, 5, 0);
	cr_assert_eq(tp_cpucache_move_out(&doors.door[own], stack, 1), &item[1]);
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
		tp_cpucache_room_set(stack, room);
		expect_word(FIRST, 3, room, -5);
	}
	tp_cpucache_room_set(stack, 0);
	expect_word(FIRST, 3, 0, -5);
}

static void close_all(void)
{
	tp_doors_stop_all(&doors);
	tp_doors_close_all(&doors);
	tp_doors_publish_all(&doors);
}

Test(cpucache, a_closed_cpu_gives_and_takes_nothing_for_ever)
{
	install();
	room_set(FIRST, 4);
	tp_cpucache_push(&doors, FIRST, item);
	tp_cpucache_push(&doors, FIRST, item);
	pop(FIRST);
	close_all();
	cr_assert_null(pop(FIRST));
	cr_assert_not(tp_cpucache_push(&doors, FIRST, item));
	cr_assert_eq(change(2, 0, 0, (void *[]){item}).after, 0);
	cr_assert_null(tp_doors_stop(&doors, own));
	cr_assert_null(tp_doors_stop_own(&doors));
	cr_assert_not(tp_doors_install(&doors, own, slabs[1]));
	/* Its slab is the pool's to free, and what was counted in it counts still. */
	cr_assert_eq(doors.door[own].home, slabs[0]);
	expect_word(FIRST, 1, 3, -1);
	expect_counts(1, 2);
}

Test(cpucache, a_cpu_closed_before_it_had_a_slab_gets_none)
{
	close_all();
	cr_assert_not(tp_doors_install(&doors, own, slabs[0]));
	cr_assert_not(tp_cpucache_push(&doors, FIRST, item));
	cr_assert_eq(tp_cpucache_word(&doors, own, FIRST), 0);
}

Test(cpucache, all_cpus_are_stopped_together_and_those_without_a_slab_are_not)
{
	install();
	room_set(FIRST, 1);
	tp_doors_stop_all(&doors);
	for (unsigned cpu = 0; cpu < doors.count; cpu++)
		cr_assert_eq(tp_door_is_stopped(&doors.door[cpu]), cpu == own);
	cr_assert_not(tp_cpucache_push(&doors, FIRST, item));
	tp_doors_publish_all(&doors);
	cr_assert_not(tp_door_is_stopped(&doors.door[own]));
	cr_assert(tp_cpucache_push(&doors, FIRST, item));
}

Test(cpucache, nobody_writes_to_the_closed_slab, .signal = SIGSEGV)
{
	*doors.slabs[own] = 1;
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
			pushes += tp_cpucache_push(&doors, at, item);
			break;
		case 3:
		case 4:
			pops += pop(at) != NULL;
			break;
		case 5:
			stack = stop(at);
			tp_cpucache_room_set(stack, (unsigned)(random >> 30) % (SLOTS - depth + 1));
			break;
		case 6:
			stack = stop(at);
			if (depth + tp_word_room(*stack) < SLOTS)
				tp_cpucache_move_in(&doors.door[own], stack, item);
			else if (depth)
				tp_cpucache_move_out(&doors.door[own], stack, depth);
			break;
		case 7:
			tp_cpucache_arm(&doors, at, 50);
			break;
		}
		if (stack)
			publish();
		expect_counts(pops, pushes);
	}
	cr_assert(pops > 1000 && pushes > 1000);
}
