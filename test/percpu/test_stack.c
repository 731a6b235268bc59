/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU stacks: what a word says, what may lie in a stack, and what is changed there at once.
 * What is done to a stopped CPU: test_stop.c. How calls are counted: test_stack_counts.c.
 */
#include <string.h>

#include "base/random.h"
#include "slab_install.h"
#include "stack_fixture.h"

TestSuite(stack, .init = own_setup);

static void expect_fields(uint64_t word, int64_t countdown)
{
	cr_assert_eq(tp_word_depth(word), TP_STACK_MAX);
	cr_assert_eq(tp_word_room(word), TP_STACK_MAX);
	cr_assert_eq(tp_word_held(word), 2 * TP_STACK_MAX);
	cr_assert_eq(tp_word_countdown(word), countdown);
}

Test(stack, a_word_holds_depth_room_and_a_signed_countdown_side_by_side)
{
	uint64_t word = TP_STACK_MAX * (TP_WORD_DEPTH + TP_WORD_ROOM) - 3 * TP_WORD_COUNTDOWN;

	expect_fields(word, -3);
	word += ((INT64_C(1) << 47) + 2) * TP_WORD_COUNTDOWN;
	expect_fields(word, (INT64_C(1) << 47) - 1);
}

Test(stack, a_word_of_0_is_a_stack_that_gives_and_takes_nothing)
{
	cr_assert(slab_install(&own.cpus, own.cpu_id, own.slabs[1]));
	cr_assert_null(own_pop(SECOND));
	cr_assert_not(own_push(SECOND, own.item));
	cr_assert_eq(own.slabs[1][SECOND_AT], 0);
}

Test(stack, a_stack_takes_no_more_than_it_has_room_for)
{
	own_install();
	cr_assert_not(own_push(FIRST, &own.item[0]), "pushed without a lease");
	own_room_set(FIRST, 2);
	cr_assert(own_push(FIRST, &own.item[0]));
	cr_assert(own_push(FIRST, &own.item[1]));
	cr_assert_not(own_push(FIRST, &own.item[2]));
	expect_word(FIRST, 2, 0, 0);
	cr_assert_not(own_push(SECOND, &own.item[2]), "another stack's room");
	expect_word(SECOND, 0, 0, 0);
}

Test(stack, the_last_one_in_is_the_first_one_out_and_leaves_its_room)
{
	own_install();
	own_room_set(FIRST, SLOTS);
	for (unsigned i = 0; i < SLOTS; i++)
		cr_assert(own_push(FIRST, &own.item[i]));
	expect_word(FIRST, SLOTS, 0, 0);
	for (unsigned i = SLOTS; i--;)
		cr_assert_eq(own_pop(FIRST), &own.item[i]);
	expect_word(FIRST, 0, SLOTS, -SLOTS);
	cr_assert_null(own_pop(FIRST));
	expect_word(FIRST, 0, SLOTS, -SLOTS);
	expect_word(SECOND, 0, 0, 0);
}

static bool pop_expires(void)
{
	bool expired;

	cr_assert_not_null(tp_stack_pop(&own.cpus, FIRST_AT, &expired));
	return expired;
}

Test(stack, a_pop_expires_when_the_countdown_is_below_zero)
{
	bool expired;

	own_install();
	own.slabs[0][FIRST_AT] = own_word(0, 0, 1);
	own_room_set(FIRST, 3);
	for (unsigned i = 0; i < 3; i++)
		own_push(FIRST, &own.item[i]);
	cr_assert_not(pop_expires(), "at 0");
	expect_word(FIRST, 2, 1, 0);
	cr_assert(pop_expires(), "at -1");
	cr_assert(pop_expires(), "and again, for the thread may have moved before it armed");
	cr_assert_null(tp_stack_pop(&own.cpus, FIRST_AT, &expired), "nothing is left");
}

Test(stack, arming_puts_the_next_expiry_the_gap_away_and_random_gaps_are_uniform)
{
	struct gaps gaps = {0};
	uint64_t random = 0;

	own_install();
	own_room_set(FIRST, 1);
	own_push(FIRST, own.item);
	cr_assert(pop_expires(), "the first of all");
	cr_assert(own_push(FIRST, own.item));
	for (unsigned round = 0; round < GAP_ROUNDS; round++) {
		unsigned gap = tp_random_gap(&random, GAP_MEAN), pops = 0;
		bool expired;

		cr_assert(tp_stack_arm(&own.cpus, FIRST, gap));
		cr_assert_not(tp_stack_arm(&own.cpus, FIRST, gap), "armed twice");
		do {
			expired = pop_expires();
			cr_assert(own_push(FIRST, own.item));
			pops++;
		} while (!expired);
		cr_assert_eq(pops, gap, "armed for %u, expired after %u", gap, pops);
		gap_drawn(&gaps, gap);
	}
	expect_counts(gaps.sum + 1, gaps.sum + 2);
	expect_uniform(&gaps);
}

Test(stack, a_gap_of_one_expires_at_every_pop)
{
	own_install();
	own_room_set(FIRST, 1);
	own_push(FIRST, own.item);
	for (unsigned i = 0; i < 20; i++) {
		cr_assert(pop_expires());
		cr_assert(tp_stack_arm(&own.cpus, FIRST, 1));
		own_push(FIRST, own.item);
	}
}

/* ---- a stack with ages ---- */

#define NO_AGE 0xa5

static uint64_t aged_slab[FIRST_AT + AGED_WORDS] __attribute__((aligned(TP_LINE)));
static uint64_t *const aged_stack = aged_slab + FIRST_AT;

static bool push_aged(void *pointer)
{
	return tp_stack_push_aged(&own.cpus, FIRST_AT, pointer);
}

/* The way that programs run, which gives up where the other one tries again. */
static bool push_aged_fast(void *pointer)
{
	static const uint32_t offset = FIRST_AT * sizeof(uint64_t);
	static struct tp_fast fast;

	fast = (struct tp_fast){tp_cpu_rseq, own.cpus.count};
	return tp_stack_push_aged_fast(
		&fast, (const char *)own.cpus.visible - TP_VISIBLE_OFFSET, &offset, pointer);
}

static bool push_ageless(void *pointer)
{
	return own_push(FIRST, pointer);
}

static void ages_forget(void)
{
	memset(tp_stack_ages(aged_stack), NO_AGE, TP_AGES_SLOTS + 1);
}

/* Of the ages that were forgotten only this slot's has been set, if any's. */
static void expect_age_set(unsigned slot)
{
	for (unsigned i = 0; i <= TP_AGES_SLOTS; i++)
		cr_assert_eq(tp_stack_ages(aged_stack)[i], i && i == slot ? 0 : NO_AGE,
			"slot %u, when %u was pushed to", i, slot);
}

/* Fills a stack with as many as it has ages for. */
static void fill_with_ages(bool (*push)(void *pointer))
{
	static int pointers[TP_AGES_SLOTS + 1];

	cr_assert(slab_install(&own.cpus, own.cpu_id, aged_slab));
	own_room_set(FIRST, TP_AGES_SLOTS);
	for (unsigned slot = 1; slot <= TP_AGES_SLOTS; slot++) {
		do /* an abort is no failure */
			ages_forget();
		while (!push(&pointers[slot]) && push == push_aged_fast);
		cr_assert_eq(tp_word_depth(aged_stack[0]), slot);
		cr_assert_eq(aged_stack[slot], (uintptr_t)&pointers[slot]);
		expect_age_set(push == push_ageless ? 0 : slot);
	}
	ages_forget();
	cr_assert_not(push(&pointers[0]), "there is no room");
	expect_age_set(0);
}

Test(stack, a_push_to_a_stack_with_ages_sets_that_of_its_slot_and_no_other)
{
	fill_with_ages(push_aged);
}

Test(stack, a_fast_push_to_a_stack_with_ages_sets_that_of_its_slot_and_no_other)
{
	if (!tp_cpu_rseq)
		skip("in locked mode there is no fast path");
	fill_with_ages(push_aged_fast);
}

Test(stack, a_push_without_ages_sets_none)
{
	fill_with_ages(push_ageless);
}

#define IN 5 /* pointers of a batch */

static struct tp_word_change change_aged(unsigned depth, void **items, uint8_t *ages)
{
	uint64_t wanted = own_word(depth, TP_AGES_SLOTS - depth, 0);

	return tp_stack_change(&own.cpus, FIRST, own_decide, &wanted, items, ages);
}

Test(stack, a_batch_goes_in_with_one_age_and_comes_out_with_the_age_of_each)
{
	void *items[IN], *out[IN + 1];
	uint8_t ages[IN + 1] = {1}, *of_slot = tp_stack_ages(aged_stack);

	for (unsigned i = 0; i < IN; i++)
		items[i] = &own.item[i];
	cr_assert(slab_install(&own.cpus, own.cpu_id, aged_slab));
	own_room_set(FIRST, TP_AGES_SLOTS);
	cr_assert(push_aged(&own.item[IN]));
	memset(of_slot + 2, NO_AGE, TP_AGES_SLOTS - 1);
	cr_assert_eq(change_aged(1 + IN, items, ages).after, aged_stack[0]);
	for (unsigned slot = 1; slot <= TP_AGES_SLOTS; slot++)
		cr_assert_eq(of_slot[slot], slot == 1 ? 0 : (slot <= 1 + IN ? 1 : NO_AGE),
			"slot %u", slot);
	cr_assert(push_aged(&own.item[IN + 1]));
	/* A stopper may have set any. */
	of_slot[3] = 2;
	memset(ages, NO_AGE, sizeof ages);
	change_aged(1, out, ages);
	for (unsigned i = 0; i <= IN; i++) {
		cr_assert_eq(out[i], &own.item[i < IN ? i : IN + 1]);
		cr_assert_eq(ages[i], i == 1 ? 2 : i < IN, "the age of %u is %u", i, ages[i]);
	}
}

/* ---- changes of the caller's CPU ---- */

Test(stack, a_change_moves_a_batch_and_counts_it_as_moved)
{
	void *in[] = {&own.item[0], &own.item[1], &own.item[2], &own.item[3], &own.item[4]},
	     *out[3] = {NULL};

	own_install();
	own_room_set(FIRST, 7);
	own_change(5, 2, 0, in);
	expect_word(FIRST, 5, 2, 0);
	own_change(2, 2, 0, out);
	expect_word(FIRST, 2, 2, 0);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(out[i], &own.item[2 + i], "the last is the top");
	expect_counts(0, 0);
	cr_assert_eq(own_pop(FIRST), &own.item[1]);
	cr_assert_eq(own_pop(FIRST), &own.item[0]);
	expect_counts(2, 0);
	expect_word(SECOND, 0, 0, 0);
}

Test(stack, a_change_adds_room_and_arms_without_a_touch_of_what_lies_there)
{
	void *in[] = {&own.item[0]};
	struct tp_word_change done;

	own_install();
	own_change(1, 1, 0, in);
	done = own_change(1, 9, 77, NULL);
	cr_assert_eq(tp_word_room(done.before), 1);
	cr_assert_eq(tp_word_room(done.after), 9);
	expect_word(FIRST, 1, 9, 77);
	expect_counts(0, 0);
	cr_assert_eq(own_pop(FIRST), &own.item[0]);
	expect_counts(1, 0);
}

Test(stack, a_change_that_is_decided_against_tells_the_word)
{
	struct tp_word_change done;

	own_install();
	own_room_set(FIRST, 3);
	done = tp_stack_change(&own.cpus, FIRST, own_decide, NULL, NULL, NULL);
	cr_assert_eq(done.before, own_word(0, 3, 0));
	cr_assert_eq(done.after, done.before);
}

Test(stack, nothing_is_changed_where_there_is_no_slab_or_it_is_a_stoppers)
{
	void *in[] = {&own.item[0]};
	struct tp_word_change done = own_change(1, 0, 0, in);

	cr_assert(done.before == 0 && done.after == 0);
	own_install();
	/* In locked mode the stopper has the lock; in rseq mode the CPU shows the empty slab. */
	own_stop();
	done = own_change(1, 0, 0, in);
	cr_assert(done.before == 0 && done.after == 0);
	cr_assert_null(own_pop(FIRST));
	cr_assert_not(own_push(FIRST, own.item));
	cr_assert_null(tp_cpus_stop_own(&own.cpus), "a second stopper");
	own_start();
	expect_word(FIRST, 0, 0, 0);
	expect_counts(0, 0);
}
