/* SPDX-License-Identifier: MIT */
/*
 * The depot of a tier: its generations, its array, and that no item is lost in it or given twice.
 */
#include "idle/depot.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>

#include "base/atomic.h"
#include "counting_backing.h"
#include "random.h"

#define ITEMS 300
#define FIRST_ARRAY 64 /* items (depot.c) */
#define THREADS 4

static struct tp_depot depot;
static struct counting_backing counting;
static struct tp_backing backing;
static char item[ITEMS];

static void (*in_backing)(void); /* called once, in the next call of the backing */

static void backing_called(void)
{
	void (*call)(void) = in_backing;

	cr_assert(tp_lock_try(&depot.lock), "called with the depot's lock");
	tp_lock_give(&depot.lock);
	in_backing = NULL;
	if (call)
		call();
}

static void *backing_alloc(void *context, size_t n, size_t alignment)
{
	backing_called();
	return counting_backing_alloc(context, n, alignment);
}

static void backing_free(void *context, void *memory, size_t n)
{
	backing_called();
	counting_backing_free(context, memory, n);
}

static void depot_start(void)
{
	struct tierpool_backing calls;

	counting_backing_init(&counting);
	calls = counting_backing_calls(&counting);
	calls.alloc = backing_alloc;
	calls.free = backing_free;
	cr_assert_eq(tp_backing_init(&backing, &calls), 0);
	tp_depot_init(&depot, &backing);
}

/* Gives the array back, of the size that it has; else the backing ends the process. */
static void depot_end(void)
{
	tp_depot_fini(&depot);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

TestSuite(depot, .init = depot_start, .fini = depot_end);

/* Pushes the items from ... to - 1. */
static bool push(enum tp_generation generation, unsigned from, unsigned to)
{
	void *items[ITEMS];

	for (unsigned i = from; i < to; i++)
		items[i - from] = &item[i];
	return tp_depot_push(&depot, generation, items, to - from);
}

/* Pops, and finds exactly the items from ... to - 1, in this order, all of one generation. */
static void pops(enum tp_generation youngest, size_t most, unsigned from, unsigned to,
	enum tp_generation expected)
{
	enum tp_generation generation;
	void *items[ITEMS];

	cr_assert_eq(tp_depot_pop(&depot, youngest, items, most, &generation), to - from);
	cr_assert_eq(generation, expected);
	for (unsigned i = from; i < to; i++)
		cr_assert_eq(items[i - from], &item[i], "at %u is not item %u", i - from, i);
}

static void pops_none(enum tp_generation youngest)
{
	enum tp_generation generation;
	void *one;

	cr_assert_eq(tp_depot_pop(&depot, youngest, &one, 1, &generation), 0);
}

/* Two of each generation: 0 and 1 are expired, 2 and 3 old, 4 and 5 young. */
static void two_of_each(void)
{
	push(TP_EXPIRED, 0, 2);
	push(TP_OLD, 2, 4);
	push(TP_YOUNG, 4, 6);
	cr_assert_eq(tp_depot_count(&depot), 6);
}

/* ---- generations ---- */

Test(depot, a_pop_takes_items_of_the_youngest_generation_that_it_may_and_of_no_other)
{
	two_of_each();
	pops(TP_YOUNG, 1, 5, 6, TP_YOUNG);
	pops(TP_YOUNG, ITEMS, 4, 5, TP_YOUNG);
	pops(TP_YOUNG, ITEMS, 2, 4, TP_OLD);
	pops(TP_YOUNG, ITEMS, 0, 2, TP_EXPIRED);
	pops_none(TP_YOUNG);
}

Test(depot, from_below_younger_ones_as_well_and_these_stay_what_they_are)
{
	two_of_each();
	pops(TP_EXPIRED, ITEMS, 0, 2, TP_EXPIRED);
	pops(TP_OLD, ITEMS, 2, 4, TP_OLD);
	pops_none(TP_OLD);
	pops_none(TP_EXPIRED);
	pops(TP_YOUNG, ITEMS, 4, 6, TP_YOUNG);
}

Test(depot, the_last_one_put_is_the_first_one_taken)
{
	push(TP_YOUNG, 0, 100);
	push(TP_YOUNG, 100, 200);
	pops(TP_YOUNG, 33, 167, 200, TP_YOUNG);
	tp_depot_age(&depot);
	for (unsigned i = 167; i--;)
		pops(TP_YOUNG, 1, i, i + 1, TP_OLD);
}

Test(depot, a_tick_makes_old_what_was_young_and_expires_what_was_old)
{
	cr_assert_not(tp_depot_age(&depot), "of none, none are expired");
	push(TP_YOUNG, 0, 1);
	cr_assert_not(tp_depot_age(&depot), "it is old");
	pops_none(TP_EXPIRED);
	push(TP_YOUNG, 1, 2);
	cr_assert(tp_depot_age(&depot));
	push(TP_YOUNG, 2, 3);
	cr_assert_eq(tp_depot_count(&depot), 3, "nothing has gone");
	pops(TP_YOUNG, 3, 2, 3, TP_YOUNG);
	pops(TP_OLD, 3, 1, 2, TP_OLD);
	cr_assert(tp_depot_age(&depot), "what is expired stays so");
	pops(TP_EXPIRED, 3, 0, 1, TP_EXPIRED);
	cr_assert_not(tp_depot_age(&depot));
}

Test(depot, once_closed_it_takes_nothing_more_but_gives_what_it_has)
{
	two_of_each();
	cr_assert_not(tp_depot_is_closed(&depot));
	tp_depot_close(&depot);
	cr_assert(tp_depot_is_closed(&depot));
	for (unsigned twice = 0; twice < 2; twice++) {
		for (unsigned g = TP_YOUNG; g <= TP_EXPIRED; g++)
			cr_assert_not(push((enum tp_generation)g, 6, 8));
		cr_assert_eq(tp_depot_count(&depot), twice ? 0 : 6);
		if (!twice) {
			pops(TP_YOUNG, 9, 4, 6, TP_YOUNG);
			pops(TP_YOUNG, 9, 2, 4, TP_OLD);
			pops(TP_YOUNG, 9, 0, 2, TP_EXPIRED);
		}
	}
}

/* ---- the array ---- */

Test(depot, its_array_doubles_on_demand_and_is_given_back_when_it_is_empty)
{
	cr_assert_eq(tp_depot_bytes(&depot), 0);
	for (unsigned n = 1; n <= ITEMS; n++) {
		size_t capacity = FIRST_ARRAY;

		push(TP_YOUNG, n - 1, n);
		while (capacity < n)
			capacity *= 2;
		cr_assert_eq(tp_depot_bytes(&depot), capacity * sizeof(void *));
		cr_assert_eq(counting_backing_live(&counting), tp_depot_bytes(&depot));
	}
	pops(TP_YOUNG, ITEMS - 1, 1, ITEMS, TP_YOUNG);
	tp_depot_shrink(&depot);
	cr_assert_eq(tp_depot_bytes(&depot), FIRST_ARRAY * sizeof(void *), "something is there");
	pops(TP_YOUNG, 1, 0, 1, TP_YOUNG);
	cr_assert_gt(tp_depot_bytes(&depot), 0, "the next one comes soon, perhaps");
	tp_depot_shrink(&depot);
	cr_assert_eq(tp_depot_bytes(&depot), 0);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
	two_of_each();
}

Test(depot, without_memory_for_a_larger_array_it_refuses_all_and_keeps_what_it_had)
{
	counting_backing_fail(&counting, 1, true);
	cr_assert_not(push(TP_YOUNG, 0, 1));
	counting_backing_fail(&counting, 0, false);
	push(TP_YOUNG, 0, FIRST_ARRAY - 1);
	counting_backing_fail(&counting, 1, true);
	cr_assert_not(push(TP_YOUNG, FIRST_ARRAY, FIRST_ARRAY + 2));
	cr_assert_not(push(TP_OLD, FIRST_ARRAY, FIRST_ARRAY + 2));
	cr_assert(push(TP_YOUNG, FIRST_ARRAY - 1, FIRST_ARRAY), "for this one there is a place");
	pops(TP_YOUNG, ITEMS, 0, FIRST_ARRAY, TP_YOUNG);
}

/* What another thread may do while the depot grows, without its lock. */
static void push_others(void)
{
	cr_assert(push(TP_YOUNG, 200, 202));
}

static void push_many_others(void)
{
	cr_assert(push(TP_YOUNG, 0, FIRST_ARRAY + 1));
}

static void tick(void)
{
	tp_depot_age(&depot);
}

static void pop_some(void)
{
	pops(TP_YOUNG, FIRST_ARRAY / 2, FIRST_ARRAY / 2, FIRST_ARRAY, TP_YOUNG);
}

static void take_away_all(void)
{
	pops(TP_YOUNG, FIRST_ARRAY, 0, FIRST_ARRAY, TP_YOUNG);
	tp_depot_age(&depot);
}

Test(depot, it_grows_without_its_lock_whatever_others_do_meanwhile)
{
	static const struct {
		unsigned before; /* items in it */
		void (*meanwhile)(void);
		size_t others; /* that are there at the end, apart from one */
	} cases[] = {{0, push_others, 2}, {0, push_many_others, FIRST_ARRAY + 1}, {0, tick, 0},
		{FIRST_ARRAY, push_others, FIRST_ARRAY + 2}, {FIRST_ARRAY, tick, FIRST_ARRAY},
		{FIRST_ARRAY, pop_some, FIRST_ARRAY / 2}, {FIRST_ARRAY, take_away_all, 0}};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		cr_assert(!cases[i].before || push(TP_YOUNG, 0, cases[i].before));
		in_backing = cases[i].meanwhile;
		cr_assert(push(TP_YOUNG, 299, 300), "case %u", i);
		cr_assert_null(in_backing, "it did not grow");
		cr_assert_eq(tp_depot_count(&depot), cases[i].others + 1, "case %u", i);
		pops(TP_YOUNG, 1, 299, 300, TP_YOUNG);
		depot_end();
		depot_start();
	}
}

static void close_it(void)
{
	tp_depot_close(&depot);
}

Test(depot, one_that_is_closed_while_it_grows_refuses)
{
	push(TP_YOUNG, 0, FIRST_ARRAY);
	in_backing = close_it;
	cr_assert_not(push(TP_YOUNG, 299, 300));
	cr_assert_eq(tp_depot_count(&depot), FIRST_ARRAY);
}

/* ---- random operations, and a model: which generation each item is of ---- */

enum { OUT = TP_EXPIRED + 1 };
static unsigned model[ITEMS];
static uint64_t random_state = 1;

static unsigned random_below(unsigned n)
{
	return (unsigned)(next_random(&random_state) % n);
}

static size_t model_count(unsigned generation)
{
	size_t n = 0;

	for (unsigned i = 0; i < ITEMS; i++)
		n += model[i] == generation;
	return n;
}

static void push_any(void)
{
	enum tp_generation generation = random_below(OUT);
	unsigned from = random_below(ITEMS), to = from;
	bool pushed;

	while (to < ITEMS && to < from + 40 && model[to] == OUT)
		to++;
	if (to == from)
		return;
	counting_backing_fail(&counting, random_below(4) ? 0 : 1, false);
	pushed = push(generation, from, to);
	counting_backing_fail(&counting, 0, false);
	for (unsigned i = from; pushed && i < to; i++)
		model[i] = generation;
}

static void pop_any(void)
{
	unsigned youngest = random_below(OUT), expected = youngest;
	size_t most = 1 + random_below(64), n;
	enum tp_generation generation;
	void *items[64];

	while (expected < OUT && !model_count(expected))
		expected++;
	n = tp_depot_pop(&depot, (enum tp_generation)youngest, items, most, &generation);
	cr_assert_eq(n, expected == OUT ? 0 : tp_min(most, model_count(expected)));
	cr_assert(!n || generation == expected);
	while (n--) {
		unsigned i = (unsigned)((char *)items[n] - item);

		cr_assert_eq(model[i], expected, "item %u was of generation %u", i, model[i]);
		model[i] = OUT;
	}
}

static void age_any(void)
{
	for (unsigned i = 0; i < ITEMS; i++)
		if (model[i] == TP_YOUNG || model[i] == TP_OLD)
			model[i]++;
	cr_assert_eq(tp_depot_age(&depot), model_count(TP_EXPIRED) > 0);
}

Test(depot, each_item_is_of_the_generation_that_a_simple_model_says_after_random_operations)
{
	for (unsigned i = 0; i < ITEMS; i++)
		model[i] = OUT;
	for (unsigned i = 0; i < 200000; i++) {
		unsigned what = random_below(32);

		if (what < 15)
			push_any();
		else if (what < 31)
			pop_any();
		else
			age_any();
		cr_assert_eq(tp_depot_count(&depot), ITEMS - model_count(OUT));
	}
}

/* ---- threads ---- */

#define SHARED_ITEMS 100

static struct {
	uint32_t owners[SHARED_ITEMS];
	uint32_t twice, refused, running;
} contended;

/* Takes items, of which none may have another owner, and puts them back. */
static void *take_and_put(void *most)
{
	for (unsigned i = 0; i < 100000; i++) {
		enum tp_generation generation = i % 4 ? TP_YOUNG : i / 4 % 3;
		void *items[2 * THREADS];
		size_t n = tp_depot_pop(&depot, generation, items, (uintptr_t)most, &generation);

		for (size_t k = 0; k < n; k++)
			if (tp_add_relaxed(&contended.owners[(char *)items[k] - item], 1u))
				tp_add_relaxed(&contended.twice, 1u);
		for (size_t k = 0; k < n; k++)
			tp_sub_relaxed(&contended.owners[(char *)items[k] - item], 1u);
		if (n && !tp_depot_push(&depot, i % 5 ? generation : TP_EXPIRED, items, n))
			tp_add_relaxed(&contended.refused, 1u);
	}
	tp_sub_relaxed(&contended.running, 1u);
	return NULL;
}

Test(depot, threads_never_hold_one_item_together_and_lose_none)
{
	pthread_t thread[THREADS];
	enum tp_generation generation;
	void *one;

	push(TP_YOUNG, 0, SHARED_ITEMS);
	contended.running = THREADS;
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(
			pthread_create(&thread[i], NULL, take_and_put, (void *)(2 * i + 1)), 0);
	while (tp_load_relaxed(&contended.running)) {
		tp_depot_age(&depot);
		cr_assert_leq(tp_depot_count(&depot), SHARED_ITEMS);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert(!contended.twice && !contended.refused);
	cr_assert_eq(tp_depot_count(&depot), SHARED_ITEMS);
	while (tp_depot_pop(&depot, TP_YOUNG, &one, 1, &generation))
		cr_assert_eq(contended.owners[(char *)one - item]++, 0, "it lay there twice");
}
