/* SPDX-License-Identifier: MIT */
/*
 * The depot of a tier: its generations, and that no buffer is lost in it or given twice.
 */
#include "idle/depot.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>

#include "base/atomic.h"
#include "memory/bufstate.h"

#define BUFFERS 8
#define THREADS 4

static struct tp_depot depot;
static tierpool_buf buffer[BUFFERS];

static void start(void)
{
	tp_depot_init(&depot);
	for (unsigned i = 0; i < BUFFERS; i++)
		buffer[i].tp_state = tp_bufstate(TP_STATE_IDLE);
}

/* As a put does: a list of one, of the age that the header says. */
static bool push(tierpool_buf *b)
{
	struct tp_buflist list = {NULL, 0};

	tp_buflist_push(&list, b);
	return tp_depot_push(&depot, &list);
}

/* As a put after use does. */
static bool push_fresh(tierpool_buf *b)
{
	b->tp_state = tp_bufstate(TP_STATE_IDLE);
	return push(b);
}

/* As a piece of a tick does. */
static bool bury(tierpool_buf *b)
{
	struct tp_buflist list = {NULL, 0};

	tp_buflist_push(&list, b);
	return tp_depot_expire(&depot, &list);
}

static tierpool_buf *pop(enum tp_depot_age age)
{
	struct tp_buflist list = {NULL, 0};

	tp_depot_pop(&depot, 1, age, &list);
	return tp_buflist_pop(&list);
}

/* The victims of one tick. */
static struct tp_buflist rotate(void)
{
	struct tp_buflist victims = {NULL, 0};

	tp_depot_rotate(&depot, &victims);
	return victims;
}

static bool list_has(struct tp_buflist list, const tierpool_buf *b)
{
	for (tierpool_buf *c; (c = tp_buflist_pop(&list));)
		if (c == b)
			return true;
	return false;
}

TestSuite(depot, .init = start);

Test(depot, a_list_is_a_stack_that_counts)
{
	struct tp_buflist list = {NULL, 0};

	cr_assert_null(tp_buflist_pop(&list));
	tp_buflist_push(&list, &buffer[0]);
	tp_buflist_push(&list, &buffer[1]);
	cr_assert_eq(list.count, 2);
	cr_assert_eq(tp_buflist_pop(&list), &buffer[1]);
	cr_assert_eq(tp_buflist_pop(&list), &buffer[0]);
	cr_assert_null(tp_buflist_pop(&list));
	cr_assert_eq(list.count, 0);
}

Test(depot, what_lies_untouched_through_two_ticks_is_a_victim_of_the_second)
{
	cr_assert(push(&buffer[0]));
	cr_assert_eq(rotate().count, 0);
	cr_assert_eq(tp_depot_count(&depot), 1);

	struct tp_buflist victims = rotate();
	cr_assert_eq(victims.count, 1);
	cr_assert(list_has(victims, &buffer[0]));
	cr_assert_eq(tp_depot_count(&depot), 0);
	cr_assert_eq(rotate().count, 0);
}

Test(depot, what_was_taken_and_put_again_between_ticks_starts_anew)
{
	cr_assert(push_fresh(&buffer[0]) && push_fresh(&buffer[1]));
	for (unsigned tick = 0; tick < 5; tick++) {
		struct tp_buflist victims = rotate();

		cr_assert_eq(victims.count, tick == 1, "tick %u", tick);
		cr_assert_not(list_has(victims, &buffer[0]), "the buffer in use was freed");
		/* The one in use is on top or, at tick 0, the second one down. */
		tierpool_buf *taken = pop(TP_DEPOT_ANY);
		if (taken != &buffer[0]) {
			cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[0]);
			cr_assert(push(taken), "age kept: it was not used");
		}
		cr_assert(push_fresh(&buffer[0]));
	}
}

Test(depot, pop_tells_by_the_age_which_generation_a_buffer_was_of)
{
	tierpool_buf *b;

	push(&buffer[0]);
	rotate();
	push(&buffer[1]);
	b = pop(TP_DEPOT_ANY);
	cr_assert_eq(b, &buffer[1], "the young one goes first");
	cr_assert_eq(tp_bufstate_age(b), 0);
	b = pop(TP_DEPOT_ANY);
	cr_assert_eq(b, &buffer[0]);
	cr_assert_eq(tp_bufstate_age(b), 1);
	cr_assert(tp_bufstate_has(b, TP_STATE_IDLE), "the state is not the depot's to change");
	cr_assert_null(pop(TP_DEPOT_ANY));
}

Test(depot, what_comes_with_age_is_of_the_old_generation)
{
	tp_bufstate_age_set(&buffer[0], 1);
	push(&buffer[0]);
	push(&buffer[1]);

	struct tp_buflist victims = rotate();
	cr_assert_eq(victims.count, 1);
	cr_assert(list_has(victims, &buffer[0]));
	cr_assert_eq(tp_depot_count(&depot), 1);
}

Test(depot, a_pop_of_aged_ones_leaves_the_young)
{
	push(&buffer[0]);
	cr_assert_null(pop(TP_DEPOT_AGED));
	rotate();
	push(&buffer[1]);
	cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[0]);
	cr_assert_null(pop(TP_DEPOT_AGED));
	cr_assert_eq(tp_depot_count(&depot), 1);
}

Test(depot, the_last_one_put_is_the_first_one_taken)
{
	for (unsigned i = 0; i < BUFFERS; i++)
		push(&buffer[i]);
	for (unsigned i = BUFFERS; i-- > BUFFERS / 2;)
		cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[i]);
	rotate();
	for (unsigned i = BUFFERS / 2; i--;)
		cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[i]);
}

Test(depot, a_pop_takes_as_many_as_asked_young_before_old)
{
	struct tp_buflist list = {NULL, 0};

	for (unsigned i = 0; i < 4; i++)
		push(&buffer[i]);
	rotate();
	for (unsigned i = 4; i < 7; i++)
		push(&buffer[i]);
	tp_depot_pop(&depot, 0, TP_DEPOT_ANY, &list);
	cr_assert_eq(list.count, 0);
	tp_depot_pop(&depot, 5, TP_DEPOT_ANY, &list);
	cr_assert_eq(list.count, 5);
	cr_assert_eq(tp_depot_count(&depot), 2);
	for (unsigned i = 4; i < 7; i++)
		cr_assert(list_has(list, &buffer[i]), "young %u was left", i);
	tp_depot_pop(&depot, SIZE_MAX, TP_DEPOT_ANY, &list);
	cr_assert_eq(list.count, 7, "the list was replaced, not added to");
	cr_assert_eq(tp_depot_count(&depot), 0);
}

Test(depot, the_count_is_what_lies_there_after_every_step)
{
	struct tp_buflist list = {NULL, 0};

	for (unsigned i = 0; i < 3; i++)
		tp_buflist_push(&list, &buffer[i]);
	cr_assert(tp_depot_push(&depot, &list));
	cr_assert_eq(list.count, 0, "the list was put whole and is empty");
	cr_assert_null(list.head);
	cr_assert_eq(tp_depot_count(&depot), 3);
	rotate();
	cr_assert_eq(tp_depot_count(&depot), 3);
	push(&buffer[3]);
	cr_assert_eq(tp_depot_count(&depot), 4);
	pop(TP_DEPOT_AGED);
	cr_assert_eq(tp_depot_count(&depot), 3);
	cr_assert_eq(rotate().count, 2);
	cr_assert_eq(tp_depot_count(&depot), 1);
	pop(TP_DEPOT_ANY);
	cr_assert_eq(tp_depot_count(&depot), 0);
}

Test(depot, a_closed_one_takes_nothing_more_and_what_it_holds_can_be_popped)
{
	struct tp_buflist list = {NULL, 0};

	push(&buffer[0]);
	rotate();
	push(&buffer[1]);
	tp_depot_close(&depot);
	cr_assert_eq(tp_depot_count(&depot), 2);

	tp_buflist_push(&list, &buffer[2]);
	tp_buflist_push(&list, &buffer[3]);
	cr_assert_not(tp_depot_push(&depot, &list));
	cr_assert_eq(list.count, 2, "a refused list is the caller's still");
	cr_assert(list_has(list, &buffer[2]) && list_has(list, &buffer[3]));
	cr_assert_eq(tp_depot_count(&depot), 2);

	tp_depot_close(&depot);
	cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[1]);
	cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[0]);
	cr_assert_null(pop(TP_DEPOT_ANY));
	cr_assert_eq(tp_depot_count(&depot), 0);
	cr_assert_not(tp_depot_push(&depot, &list), "closed, also when empty");
	tp_depot_fini(&depot);
}

/* ---- ticks that free nothing by themselves ---- */

/* One of each generation: buffer 0 is dying, 1 is old, 2 is young. */
static void one_of_each(void)
{
	cr_assert(bury(&buffer[0]));
	tp_bufstate_age_set(&buffer[1], 1);
	cr_assert(push(&buffer[1]));
	cr_assert(push(&buffer[2]));
	cr_assert_eq(tp_depot_count(&depot), 3, "what is dying lies there still");
}

Test(depot, a_pop_takes_young_ones_then_old_ones_then_dying_ones)
{
	one_of_each();
	for (unsigned i = 3; i--;) {
		cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[i]);
		cr_assert_eq(tp_bufstate_age(&buffer[i]), i < 2, "the age of number %u", i);
		cr_assert_eq(tp_depot_count(&depot), i);
	}
	cr_assert_null(pop(TP_DEPOT_ANY));
}

Test(depot, a_pop_of_aged_ones_takes_dying_ones_last_and_leaves_the_young)
{
	one_of_each();
	cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[1]);
	cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[0]);
	cr_assert_null(pop(TP_DEPOT_AGED));
	cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[2]);
}

Test(depot, a_pop_of_dying_ones_leaves_all_others)
{
	one_of_each();
	cr_assert_eq(pop(TP_DEPOT_EXPIRED), &buffer[0]);
	cr_assert_null(pop(TP_DEPOT_EXPIRED));
	cr_assert_eq(tp_depot_count(&depot), 2);
}

Test(depot, a_pop_of_several_goes_on_from_one_generation_to_the_next)
{
	struct tp_buflist list = {NULL, 0};

	one_of_each();
	tp_depot_pop(&depot, 2, TP_DEPOT_ANY, &list);
	cr_assert(list.count == 2 && list_has(list, &buffer[2]) && list_has(list, &buffer[1]));
	tp_depot_pop(&depot, 2, TP_DEPOT_ANY, &list);
	cr_assert(list.count == 3 && list_has(list, &buffer[0]));
}

Test(depot, a_list_is_buried_whole_unless_the_depot_is_closed)
{
	struct tp_buflist list = {NULL, 0};

	for (unsigned i = 0; i < 3; i++)
		tp_buflist_push(&list, &buffer[i]);
	cr_assert(tp_depot_expire(&depot, &list));
	cr_assert(!list.count && !list.head);
	cr_assert_eq(tp_depot_count(&depot), 3);
	tp_depot_close(&depot);
	tp_buflist_push(&list, &buffer[3]);
	tp_buflist_push(&list, &buffer[4]);
	cr_assert_not(tp_depot_expire(&depot, &list));
	cr_assert(list.count == 2 && list_has(list, &buffer[3]) && list_has(list, &buffer[4]),
		"a refused list is the caller's still");
	cr_assert_eq(tp_depot_count(&depot), 3);
	cr_assert_not_null(pop(TP_DEPOT_EXPIRED), "what it holds can be popped");
}

Test(depot, ageing_makes_old_what_was_young_and_dying_what_was_old)
{
	cr_assert_not(tp_depot_age(&depot), "of none, none are dying");
	push(&buffer[0]);
	cr_assert_not(tp_depot_age(&depot), "it is old");
	cr_assert_null(pop(TP_DEPOT_EXPIRED));
	push(&buffer[1]);
	cr_assert(tp_depot_age(&depot));
	cr_assert_eq(tp_depot_count(&depot), 2, "nothing has gone");
	cr_assert_eq(pop(TP_DEPOT_EXPIRED), &buffer[0]);
	cr_assert_null(pop(TP_DEPOT_EXPIRED));
	cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[1]);
}

Test(depot, while_any_are_dying_no_generation_passes)
{
	one_of_each();
	for (unsigned tick = 0; tick < 3; tick++)
		cr_assert(tp_depot_age(&depot));
	cr_assert_eq(tp_depot_count(&depot), 3);
	cr_assert_eq(pop(TP_DEPOT_EXPIRED), &buffer[0]);
	cr_assert_null(pop(TP_DEPOT_EXPIRED), "the old one must not have joined it");
	cr_assert(tp_depot_age(&depot), "but now it goes on");
	cr_assert_eq(pop(TP_DEPOT_EXPIRED), &buffer[1]);
	cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[2], "young until then, and old from then on");
}

Test(depot, a_tick_hands_out_what_is_old_and_what_is_dying)
{
	struct tp_buflist victims;

	one_of_each();
	victims = rotate();
	cr_assert_eq(victims.count, 2);
	cr_assert(list_has(victims, &buffer[0]) && list_has(victims, &buffer[1]));
	cr_assert_eq(tp_depot_count(&depot), 1);
	cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[2]);
}

static struct {
	uint32_t owners[BUFFERS * THREADS];
	tierpool_buf buffer[BUFFERS * THREADS];
	uint32_t twice, running;
} contended;

/* Adds to the owners of what was taken: it must have had none. */
static void own(struct tp_buflist list)
{
	for (tierpool_buf *b; (b = tp_buflist_pop(&list));)
		if (tp_add_relaxed(&contended.owners[b - contended.buffer], 1u))
			tp_add_relaxed(&contended.twice, 1u);
}

static void disown(struct tp_buflist list)
{
	for (tierpool_buf *b; (b = tp_buflist_pop(&list));)
		tp_sub_relaxed(&contended.owners[b - contended.buffer], 1u);
}

static void *take_and_put(void *most)
{
	for (unsigned i = 0; i < 300000; i++) {
		struct tp_buflist list = {NULL, 0};

		tp_depot_pop(&depot, (uintptr_t)most, i % 4 ? TP_DEPOT_ANY : i / 4 % 3, &list);
		own(list);
		disown(list);
		if (i % 5)
			tp_depot_push(&depot, &list);
		else
			tp_depot_expire(&depot, &list);
	}
	tp_sub_relaxed(&contended.running, 1u);
	return NULL;
}

Test(depot, threads_never_hold_one_buffer_together_and_lose_none)
{
	pthread_t thread[THREADS];
	struct tp_buflist list = {NULL, 0};

	for (unsigned i = 0; i < BUFFERS * THREADS; i++) {
		contended.buffer[i].tp_state = tp_bufstate(TP_STATE_IDLE);
		tp_buflist_push(&list, &contended.buffer[i]);
	}
	cr_assert(tp_depot_push(&depot, &list));
	contended.running = THREADS;
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(
			pthread_create(&thread[i], NULL, take_and_put, (void *)(2 * i + 1)), 0);
	while (tp_load_relaxed(&contended.running)) {
		struct tp_buflist victims;

		tp_depot_age(&depot);
		victims = rotate();
		cr_assert_leq(tp_depot_count(&depot), (size_t)BUFFERS * THREADS);
		own(victims);
		disown(victims);
		tp_depot_push(&depot, &victims);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(contended.twice, 0);
	cr_assert_eq(tp_depot_count(&depot), (size_t)BUFFERS * THREADS);
	tp_depot_pop(&depot, SIZE_MAX, TP_DEPOT_ANY, &list);
	cr_assert_eq(list.count, (size_t)BUFFERS * THREADS);
	own(list);
	cr_assert_eq(contended.twice, 0, "a buffer lies in the depot twice");
}
