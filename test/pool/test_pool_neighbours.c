/* SPDX-License-Identifier: MIT */
/*
 * Pools on one shared budget, of which one is in want of what the others hold. Nothing decays here
 * by itself, so that what goes, goes for a neighbour's sake. How soon that is, is the scheduler's
 * affair (stress_budget tells it), that it happens at all the test's.
 */
#include "pool_checks.h"

#define NEIGHBOURS 12 /* more than one call looks after */
#define EACH 4
#define SIZE KIB
#define PATIENCE 20000 /* rounds of a millisecond */

static struct counting_backing counting; /* one a process, and each test is one */
static tierpool_budget *budget;

static void start(void)
{
	counting_backing_init(&counting);
	stay_on_this_cpu();
}

TestSuite(neighbours, .init = start, .timeout = 90);

#define SHARING(...) pool_on(&counting, .decay_ms = UINT_MAX, .budget = budget, __VA_ARGS__)

/* Of so many buffers, which a pool counts with their headers. */
static void share(unsigned buffers)
{
	cr_assert_eq(tierpool_budget_create(&budget, buffers * (SIZE + HEADER)), 0);
}

static void borrow(tierpool *pool, tierpool_buf **out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		cr_assert_not_null(out[i] = (tierpool_get_sized)(pool, SIZE));
}

static void put_all(tierpool_buf **out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		tierpool_put(out[i]);
}

Test(neighbours, however_many_fall_quiet_one_pool_that_is_in_want_gets_what_all_of_them_had)
{
	tierpool *quiet[NEIGHBOURS], *busy;
	unsigned all = NEIGHBOURS * EACH, kept = 0;

	share(all);
	for (unsigned i = 0; i < NEIGHBOURS; i++) {
		quiet[i] = SHARING();
		cycle(quiet[i], SIZE, EACH);
		cr_assert_eq(stats_of(quiet[i]).idle, EACH);
	}
	busy = SHARING();
	for (unsigned round = 0; round < PATIENCE && kept < all; round++) {
		cycle(busy, SIZE, all);
		kept = (unsigned)at_rest(busy).idle;
		usleep(1000);
	}
	cr_assert_eq(kept, all);
	for (unsigned i = 0; i < NEIGHBOURS; i++) {
		cr_assert_eq(at_rest(quiet[i]).idle, 0, "pool %u was passed by", i);
		tierpool_destroy(quiet[i]);
	}
	tierpool_budget_destroy(budget);
	pool_end(busy, &counting);
}

Test(neighbours, room_in_which_nothing_lies_goes_at_once)
{
	/* So many that a CPU may have room for several, and a tick would leave some of it. */
	unsigned n = 64 * (unsigned)sysconf(_SC_NPROCESSORS_CONF);
	tierpool_buf *out[n], *other[n];
	tierpool *pool, *holder;

	share(n);
	holder = SHARING();
	pool = SHARING();
	for (unsigned i = 0; i < 10; i++)
		cycle(holder, SIZE, n);
	borrow(holder, out, n);
	cr_assert_eq(at_rest(holder).idle, 0, "what it has now is room");
	borrow(pool, other, n);
	put_all(other, n);
	cr_assert_eq(at_rest(pool).idle, n);
	put_all(out, n);
	tierpool_destroy(holder);
	tierpool_budget_destroy(budget);
	pool_end(pool, &counting);
}

Test(neighbours, who_uses_what_it_has_keeps_it)
{
	tierpool_buf *out[EACH];
	tierpool *steady, *greedy;

	share(EACH);
	steady = SHARING();
	greedy = SHARING();
	cycle(steady, SIZE, EACH);
	for (unsigned round = 0; round < 500; round++) {
		borrow(steady, out, EACH);
		put_all(out, EACH);
		cycle(greedy, SIZE, 1);
		usleep(1000);
	}
	cr_assert_geq(at_rest(steady).hits, 500 * EACH * 9 / 10);
	tierpool_destroy(greedy);
	tierpool_budget_destroy(budget);
	pool_end(steady, &counting);
}

Test(neighbours, what_comes_late_to_a_destroyed_pool_presses_nobody)
{
	enum { LATE = 100 };
	tierpool_buf *late[LATE];
	tierpool *pool, *quiet;

	share(EACH);
	quiet = SHARING();
	pool = SHARING();
	cycle(quiet, SIZE, EACH);
	borrow(pool, late, LATE);
	tierpool_destroy(pool);
	for (unsigned i = 0; i < LATE; i++) {
		tierpool_put(late[i]);
		usleep(5000); /* time for several ticks */
	}
	cr_assert_eq(at_rest(quiet).idle, EACH);
	tierpool_budget_destroy(budget);
	pool_end(quiet, &counting);
}
