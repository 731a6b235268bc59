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

TestSuite(depot, .init = start);

/* A list of the buffers from … to - 1. */
static struct tp_buflist list_of(unsigned from, unsigned to)
{
	struct tp_buflist list = {NULL, 0};

	for (unsigned i = from; i < to; i++)
		tp_buflist_push(&list, &buffer[i]);
	return list;
}

static bool list_has(struct tp_buflist list, const tierpool_buf *b)
{
	for (tierpool_buf *c; (c = tp_buflist_pop(&list));)
		if (c == b)
			return true;
	return false;
}

/* Exactly the buffers from … to - 1, in whatever order. */
static void expect_list(struct tp_buflist list, unsigned from, unsigned to)
{
	cr_assert_eq(list.count, to - from);
	for (unsigned i = from; i < to; i++)
		cr_assert(list_has(list, &buffer[i]), "number %u is missing", i);
}

/* One buffer, of the age that its header says. */
static void push(unsigned i)
{
	struct tp_buflist list = list_of(i, i + 1);

	cr_assert(tp_depot_push(&depot, &list));
}

/* As a put after use does. */
static void push_fresh(unsigned i)
{
	buffer[i].tp_state = tp_bufstate(TP_STATE_IDLE);
	push(i);
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

/* One of each generation: buffer 0 is expired, 1 is old, 2 is young. */
static void one_of_each(void)
{
	struct tp_buflist list = list_of(0, 1);

	cr_assert(tp_depot_expire(&depot, &list));
	tp_bufstate_age_set(&buffer[1], 1);
	push(1);
	push(2);
	cr_assert_eq(tp_depot_count(&depot), 3, "what is expired lies there still");
}

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

/* ---- what is taken ---- */

Test(depot, a_pop_takes_the_youngest_that_it_may_and_says_whether_they_were_young)
{
	static const struct {
		enum tp_depot_age age;
		int first, last; /* that it takes, one after the other */
	} cases[] = {{TP_DEPOT_ANY, 2, 0}, {TP_DEPOT_AGED, 1, 0}, {TP_DEPOT_EXPIRED, 0, 0}};

	for (unsigned n = 0; n < sizeof cases / sizeof *cases; n++) {
		tp_depot_init(&depot);
		one_of_each();
		for (int i = cases[n].first; i >= cases[n].last; i--) {
			cr_assert_eq(pop(cases[n].age), &buffer[i], "case %u", n);
			cr_assert_eq(tp_bufstate_age(&buffer[i]), i < 2, "the age of number %d", i);
			cr_assert(tp_bufstate_has(&buffer[i], TP_STATE_IDLE));
		}
		cr_assert_null(pop(cases[n].age));
		cr_assert_eq(tp_depot_count(&depot), 2 - (size_t)cases[n].first, "case %u", n);
		start();
	}
}

Test(depot, the_last_one_put_is_the_first_one_taken)
{
	for (unsigned i = 0; i < BUFFERS; i++)
		push(i);
	for (unsigned i = BUFFERS; i-- > BUFFERS / 2;)
		cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[i]);
	rotate();
	for (unsigned i = BUFFERS / 2; i--;)
		cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[i]);
}

Test(depot, a_pop_takes_as_many_as_asked_from_one_generation_after_the_other)
{
	struct tp_buflist list = {NULL, 0};

	one_of_each();
	push(3);
	tp_depot_pop(&depot, 0, TP_DEPOT_ANY, &list);
	cr_assert_eq(list.count, 0);
	tp_depot_pop(&depot, 3, TP_DEPOT_ANY, &list);
	expect_list(list, 1, 4);
	cr_assert_eq(tp_depot_count(&depot), 1);
	tp_depot_pop(&depot, SIZE_MAX, TP_DEPOT_ANY, &list);
	expect_list(list, 0, 4);
	cr_assert_eq(tp_depot_count(&depot), 0);
}

Test(depot, a_list_is_put_or_buried_whole_unless_the_depot_is_closed)
{
	bool (*const in[])(struct tp_depot *, struct tp_buflist *) = {
		tp_depot_push, tp_depot_expire};

	for (unsigned n = 0; n < 2; n++) {
		struct tp_buflist list = list_of(0, 3);

		tp_depot_init(&depot);
		cr_assert(in[n](&depot, &list));
		cr_assert(!list.count && !list.head, "the list was taken whole");
		cr_assert_eq(tp_depot_count(&depot), 3);
		tp_depot_close(&depot);
		list = list_of(3, 5);
		cr_assert_not(in[n](&depot, &list));
		expect_list(list, 3, 5); /* the caller's still */
		cr_assert_eq(tp_depot_count(&depot), 3);
		tp_depot_close(&depot);
		tp_depot_pop(&depot, SIZE_MAX, TP_DEPOT_ANY, &list);
		expect_list(list, 0, 5);
		list = list_of(3, 5);
		cr_assert_not(in[n](&depot, &list), "closed, also when empty");
		cr_assert_eq(tp_depot_count(&depot), 0);
		tp_depot_fini(&depot);
	}
}

/* ---- ticks ---- */

Test(depot, what_lies_untouched_through_two_ticks_is_a_victim_of_the_second)
{
	push(0);
	cr_assert_eq(rotate().count, 0);
	cr_assert_eq(tp_depot_count(&depot), 1);
	push(1);
	expect_list(rotate(), 0, 1);
	cr_assert_eq(tp_depot_count(&depot), 1);
	expect_list(rotate(), 1, 2);
	cr_assert_eq(tp_depot_count(&depot), 0);
	cr_assert_eq(rotate().count, 0);
}

Test(depot, what_was_taken_and_put_again_between_ticks_starts_anew)
{
	push_fresh(0);
	push_fresh(1);
	for (unsigned tick = 0; tick < 5; tick++) {
		struct tp_buflist victims = rotate();

		cr_assert_eq(victims.count, tick == 1, "tick %u", tick);
		cr_assert_not(list_has(victims, &buffer[0]), "the buffer in use was freed");
		/* The one in use is on top or, at tick 0, the second one down. */
		tierpool_buf *taken = pop(TP_DEPOT_ANY);
		if (taken != &buffer[0]) {
			cr_assert_eq(pop(TP_DEPOT_ANY), &buffer[0]);
			push((unsigned)(taken - buffer)); /* its age kept: it was not used */
		}
		push_fresh(0);
	}
}

Test(depot, a_tick_hands_out_what_is_old_and_what_is_dying)
{
	one_of_each();
	expect_list(rotate(), 0, 2);
	cr_assert_eq(tp_depot_count(&depot), 1);
	cr_assert_eq(pop(TP_DEPOT_AGED), &buffer[2]);
}

Test(depot, ageing_makes_old_what_was_young_and_dying_what_was_old)
{
	cr_assert_not(tp_depot_age(&depot), "of none, none are expired");
	push(0);
	cr_assert_not(tp_depot_age(&depot), "it is old");
	cr_assert_null(pop(TP_DEPOT_EXPIRED));
	push(1);
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

/* ---- threads ---- */

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
	for (unsigned i = 0; i < 200000; i++) {
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
