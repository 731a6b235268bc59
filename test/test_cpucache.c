/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU stacks: what a word says, what may lie in a stack, and that the counts are exact at
 * rest and never above the truth before.
 */
#include "cpucache.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>

#define SLOTS 31 /* of each stack here: two of them and their words make eight lines */
#define WORDS 64
#define CPUS 8
#define FIRST 0 /* the words of the two stacks, in the slab */
#define SECOND 32

static const uint16_t stacks[] = {FIRST, SECOND};
static struct tp_door doors[CPUS];
static uint64_t slabs[CPUS][WORDS] __attribute__((aligned(TP_LINE)));
static struct tp_cpucache cache = {doors, 1};
static int item[SLOTS];

static void install(unsigned cpu)
{
	cr_assert_null(tp_cpucache_stop(&cache, cpu));
	cr_assert(tp_cpucache_install(&cache, cpu, slabs[cpu]));
	tp_cpucache_publish(&cache, cpu);
}

static void room_set(unsigned at, unsigned room)
{
	uint64_t *slab = tp_cpucache_stop(&cache, 0);

	tp_cpucache_room_set(slab + at, room);
	tp_cpucache_publish(&cache, 0);
}

static void *pop(unsigned at)
{
	bool strike = false;

	return tp_cpucache_pop(&cache, at, &strike);
}

static void expect_word(unsigned at, unsigned depth, unsigned room, int64_t countdown)
{
	uint64_t word = tp_cpucache_word(&cache, 0, at);

	cr_assert_eq(tp_word_depth(word), depth, "depth %u", tp_word_depth(word));
	cr_assert_eq(tp_word_room(word), room, "room %u", tp_word_room(word));
	cr_assert_eq(tp_word_countdown(word), countdown);
}

static void expect_counts(int64_t pops, int64_t pushes)
{
	struct tp_cpucache_counts counts = tp_cpucache_count(&cache, stacks, 2);

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
	cr_assert_not(tp_cpucache_push(&cache, FIRST, item));
	cr_assert_eq(tp_cpucache_word(&cache, 0, FIRST), 0);
	expect_counts(0, 0);
}

Test(cpucache, a_stack_takes_no_more_than_it_has_room_for)
{
	install(0);
	cr_assert_not(tp_cpucache_push(&cache, FIRST, &item[0]), "pushed without a lease");
	room_set(FIRST, 2);
	cr_assert(tp_cpucache_push(&cache, FIRST, &item[0]));
	cr_assert(tp_cpucache_push(&cache, FIRST, &item[1]));
	cr_assert_not(tp_cpucache_push(&cache, FIRST, &item[2]));
	expect_word(FIRST, 2, 0, 0);
	cr_assert_not(tp_cpucache_push(&cache, SECOND, &item[2]), "another stack's room");
	expect_word(SECOND, 0, 0, 0);
}

Test(cpucache, the_last_one_in_is_the_first_one_out_and_leaves_its_room)
{
	install(0);
	room_set(FIRST, SLOTS);
	for (unsigned i = 0; i < SLOTS; i++)
		cr_assert(tp_cpucache_push(&cache, FIRST, &item[i]));
	expect_word(FIRST, SLOTS, 0, 0);
	for (unsigned i = SLOTS; i--;)
		cr_assert_eq(pop(FIRST), &item[i]);
	expect_word(FIRST, 0, SLOTS, -SLOTS);
	cr_assert_null(pop(FIRST));
	expect_word(FIRST, 0, SLOTS, -SLOTS);
	cr_assert_eq(slabs[0][SECOND], 0, "a stack ran over its end");
}

Test(cpucache, a_pop_strikes_when_the_countdown_is_below_zero)
{
	bool strike = false;

	install(0);
	slabs[0][FIRST] = 1 * TP_WORD_COUNTDOWN;
	room_set(FIRST, 3);
	for (unsigned i = 0; i < 3; i++)
		tp_cpucache_push(&cache, FIRST, &item[i]);
	tp_cpucache_pop(&cache, FIRST, &strike);
	cr_assert_not(strike, "at 0");
	tp_cpucache_pop(&cache, FIRST, &strike);
	cr_assert(strike, "at -1");
	strike = false;
	tp_cpucache_pop(&cache, FIRST, &strike);
	cr_assert(strike, "and again, for the thread may have moved before it armed");
	strike = false;
	cr_assert_null(tp_cpucache_pop(&cache, FIRST, &strike));
	cr_assert_not(strike, "nothing was popped");
}

Test(cpucache, arming_puts_the_next_strike_a_random_gap_away)
{
	enum { MEAN = 100, ROUNDS = 2000 };
	unsigned seen[2 * MEAN] = {0}, distinct = 0;
	uint64_t sum = 0;

	install(0);
	room_set(FIRST, 1);
	tp_cpucache_push(&cache, FIRST, item);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned gap, pops = 0;
		bool strike = false;
		uint64_t *slab = tp_cpucache_stop(&cache, 0);

		if (round == 0) /* as after a strike */
			slab[FIRST] -= TP_WORD_COUNTDOWN, doors[0].armed--;
		gap = tp_cpucache_arm(&doors[0], slab + FIRST, MEAN);
		tp_cpucache_publish(&cache, 0);
		cr_assert(gap >= 1 && gap <= 2 * MEAN - 1, "gap %u", gap);
		while (!strike) {
			cr_assert_eq(tp_cpucache_pop(&cache, FIRST, &strike), item);
			cr_assert(tp_cpucache_push(&cache, FIRST, item));
			pops++;
		}
		cr_assert_eq(pops, gap, "armed for %u, struck after %u", gap, pops);
		sum += gap;
		distinct += !seen[gap]++;
	}
	expect_counts((int64_t)sum, (int64_t)sum + 1);
	/* Uniform on 1 to 199: the mean of 2000 lies within 10 of 100 but for 1 in 10^14 times. */
	cr_assert(sum > UINT64_C(90) * ROUNDS && sum < UINT64_C(110) * ROUNDS, "mean %.1f",
		(double)sum / ROUNDS);
	cr_assert_gt(distinct, 190);
}

Test(cpucache, a_mean_of_one_strikes_at_every_pop)
{
	uint64_t *slab;

	install(0);
	slab = tp_cpucache_stop(&cache, 0);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(tp_cpucache_arm(&doors[0], slab + FIRST, 1), 1);
}

Test(cpucache, a_slab_is_installed_once)
{
	install(0);
	cr_assert_eq(tp_cpucache_stop(&cache, 0), slabs[0]);
	cr_assert_not(tp_cpucache_install(&cache, 0, slabs[1]));
	tp_cpucache_publish(&cache, 0);
	cr_assert_eq(tp_cpucache_stop(&cache, 0), slabs[0]);
}

Test(cpucache, what_is_moved_in_and_out_takes_its_lease_along)
{
	uint64_t *stack;

	install(0);
	stack = tp_cpucache_stop(&cache, 0) + FIRST;
	tp_cpucache_room_set(stack, 5);
	for (unsigned i = 0; i < 4; i++)
		tp_cpucache_move_in(&doors[0], stack, &item[i]);
	expect_word(FIRST, 4, 5, 0);
	cr_assert_eq(tp_cpucache_move_out(&doors[0], stack, 1), &item[0], "the bottom");
	cr_assert_eq(tp_cpucache_move_out(&doors[0], stack, 2), &item[2], "the middle");
	cr_assert_eq(tp_cpucache_move_out(&doors[0], stack, 2), &item[3], "the top");
	expect_word(FIRST, 1, 5, 0);
	cr_assert_eq(tp_cpucache_move_out(&doors[0], stack, 1), &item[1]);
	expect_word(FIRST, 0, 5, 0);
	tp_cpucache_publish(&cache, 0);
	expect_counts(0, 0);
}

Test(cpucache, room_is_set_without_a_touch_of_depth_and_countdown)
{
	uint64_t *stack;

	install(0);
	stack = tp_cpucache_stop(&cache, 0) + FIRST;
	*stack = 3 * TP_WORD_DEPTH + 2 * TP_WORD_ROOM - 5 * TP_WORD_COUNTDOWN;
	for (unsigned room = 0; room <= TP_STACK_MAX; room++) {
		tp_cpucache_room_set(stack, room);
		expect_word(FIRST, 3, room, -5);
	}
	tp_cpucache_room_set(stack, 0);
	expect_word(FIRST, 3, 0, -5);
}

Test(cpucache, a_closed_cpu_gives_and_takes_nothing_for_ever)
{
	install(0);
	room_set(FIRST, 4);
	tp_cpucache_push(&cache, FIRST, item);
	tp_cpucache_push(&cache, FIRST, item);
	pop(FIRST);
	tp_cpucache_stop(&cache, 0);
	tp_cpucache_close(&cache, 0);
	tp_cpucache_publish(&cache, 0);
	cr_assert_null(pop(FIRST));
	cr_assert_not(tp_cpucache_push(&cache, FIRST, item));
	cr_assert_null(tp_cpucache_stop(&cache, 0));
	cr_assert_not(tp_cpucache_install(&cache, 0, slabs[1]));
	tp_cpucache_publish(&cache, 0);
	/* Its slab is the pool's to free, and what was counted in it counts still. */
	cr_assert_eq(doors[0].home, slabs[0]);
	expect_word(FIRST, 1, 3, -1);
	expect_counts(1, 2);
}

Test(cpucache, a_cpu_closed_before_it_had_a_slab_gets_none)
{
	tp_cpucache_stop(&cache, 0);
	tp_cpucache_close(&cache, 0);
	cr_assert_not(tp_cpucache_install(&cache, 0, slabs[0]));
	tp_cpucache_publish(&cache, 0);
	cr_assert_not(tp_cpucache_push(&cache, FIRST, item));
	cr_assert_eq(tp_cpucache_word(&cache, 0, FIRST), 0);
}

Test(cpucache, counts_are_exact_at_rest_whatever_was_moved_or_armed)
{
	int64_t pops = 0, pushes = 0;
	uint64_t random = 1, *slab;

	install(0);
	for (unsigned i = 0; i < 100000; i++) {
		unsigned at = stacks[(random >> 40) % 2], depth;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		depth = tp_word_depth(slabs[0][at]);
		slab = NULL;
		switch (random >> 61) {
		case 0:
		case 1:
		case 2:
			pushes += tp_cpucache_push(&cache, at, item);
			break;
		case 3:
		case 4:
			pops += pop(at) != NULL;
			break;
		case 5:
			slab = tp_cpucache_stop(&cache, 0);
			tp_cpucache_room_set(
				slab + at, (unsigned)(random >> 30) % (SLOTS - depth + 1));
			break;
		case 6:
			slab = tp_cpucache_stop(&cache, 0);
			if (depth + tp_word_room(slab[at]) < SLOTS)
				tp_cpucache_move_in(&doors[0], slab + at, item);
			else if (depth)
				tp_cpucache_move_out(&doors[0], slab + at, depth);
			break;
		case 7:
			slab = tp_cpucache_stop(&cache, 0);
			tp_cpucache_arm(&doors[0], slab + at, 50);
			break;
		}
		if (slab)
			tp_cpucache_publish(&cache, 0);
		expect_counts(pops, pushes);
	}
	cr_assert(pops > 1000 && pushes > 1000);
}
