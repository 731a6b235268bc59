/* SPDX-License-Identifier: MIT */
/*
 * Pools on one shared budget: together they keep no more than it allows, and a pool that needs room
 * gets what the others hold and do not use. Nothing decays here by itself, so what goes, goes for
 * another pool. When it goes depends on the scheduler and is not tested. With threads:
 * stress_budget.
 */
#include "pool_checks.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "process/registry.h"

#define NEIGHBOURS 12 /* more than one call looks after */
#define EACH 4
#define SIZE KIB
#define PATIENCE 20000 /* rounds of a millisecond */

static struct counting_backing counting; /* each test is a process with one of its own */
static tierpool_budget *budget;

static void start(void)
{
	counting_backing_init(&counting);
	stay_on_this_cpu();
}

TestSuite(shared_budget, .init = start, .timeout = 90);

#define SHARING(...) pool_on(&counting, .decay_ms = UINT_MAX, .budget = budget, __VA_ARGS__)

/* A budget for so many buffers; a pool counts them with their headers. */
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

Test(shared_budget, create_refuses_a_NULL_out_and_a_bound_of_nothing)
{
	budget = (tierpool_budget *)&counting;
	cr_assert_eq(tierpool_budget_create(NULL, 1), -EINVAL);
	cr_assert_eq(tierpool_budget_create(&budget, 0), -EINVAL);
	cr_assert_null(budget);
	tierpool_budget_destroy(NULL);
}

/* ---- what is known of it in the process ---- */

/* The budgets that a walk meets; figure, name: of the last one. */
static unsigned budgets_met(uint64_t figure[TP_FIGURES], char name[32])
{
	unsigned met = 0;

	for (struct tp_registered *at = NULL; (at = tp_registry_next(at));)
		if (at->kind->id == TP_KIND_BUDGET) {
			at->kind->describe(at, figure);
			strncpy(name, at->name, 31);
			met++;
		}
	return met;
}

Test(shared_budget, it_is_described_by_its_name_for_as_long_as_anyone_uses_it)
{
	uint64_t figure[TP_FIGURES] = {0};
	char name[32] = "kitchen";
	tierpool *pool;

	cr_assert_eq(budgets_met(figure, name), 0);
	cr_assert_eq(tierpool_budget_create_named(&budget, MIB, name), 0);
	memset(name, 'x', 7);
	cr_assert_eq(budgets_met(figure, name), 1);
	cr_assert_str_eq(name, "kitchen", "the name is copied");
	cr_assert(figure[TP_FIGURE_BOUND] == MIB && figure[TP_FIGURE_LEASED] == 0);
	pool = SHARING();
	tierpool_budget_destroy(budget);
	cycle(pool, SIZE, EACH);
	cr_assert_eq(budgets_met(figure, name), 1, "the pool uses it");
	cr_assert_geq(figure[TP_FIGURE_LEASED], stats_of(pool).idle_bytes);
	cr_assert_leq(figure[TP_FIGURE_LEASED], MIB);
	pool_end(pool, &counting);
	cr_assert_eq(budgets_met(figure, name), 0);
}

Test(shared_budget, names_may_be_equal_left_out_empty_and_long)
{
	static const char *const names[] = {"budget", NULL, "", "twenty-nine letters, or so ..."};
	uint64_t figure[TP_FIGURES];
	char name[32] = "";
	tierpool_budget *made[4];

	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(tierpool_budget_create_named(&made[i], 1 + i, names[i]), 0);
		cr_assert_eq(budgets_met(figure, name), i + 1);
	}
	cr_assert_eq(tierpool_budget_create_named(NULL, 1, "x"), -EINVAL);
	cr_assert_eq(tierpool_budget_create_named(&budget, 0, "x"), -EINVAL);
	cr_assert_null(budget);
	for (unsigned i = 4; i--;) {
		cr_assert_eq(budgets_met(figure, name), i + 1);
		tierpool_budget_destroy(made[i]);
	}
	cr_assert_eq(budgets_met(figure, name), 0);
}

Test(shared_budget, in_the_child_of_a_fork_what_is_leased_is_what_its_pools_lease)
{
	uint64_t figure[TP_FIGURES], forked[TP_FIGURES];
	char name[32];
	tierpool *pool[2];
	int status;
	pid_t child;

	cr_assert_eq(tierpool_budget_create(&budget, MIB), 0);
	for (unsigned i = 0; i < 2; i++) {
		pool[i] = SHARING();
		cycle(pool[i], SIZE, EACH);
	}
	cr_assert_eq(budgets_met(figure, name), 1);
	child = fork();
	cr_assert_geq(child, 0);
	if (!child)
		_exit(budgets_met(forked, name) != 1 ||
			forked[TP_FIGURE_LEASED] != figure[TP_FIGURE_LEASED] ||
			forked[TP_FIGURE_BOUND] != figure[TP_FIGURE_BOUND]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "exit %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
	for (unsigned i = 0; i < 2; i++)
		tierpool_destroy(pool[i]);
	tierpool_budget_destroy(budget);
}

/* ---- the bound ---- */

Test(shared_budget, it_is_used_up_by_two_pools_and_never_passed)
{
	struct counting_backing other;
	tierpool *pool[2];

	counting_backing_init(&other);
	cr_assert_eq(tierpool_budget_create(&budget, MIB), 0);
	pool[0] = pool_on(&counting, .budget = budget);
	pool[1] = pool_on(&other, .budget = budget);
	tierpool_budget_destroy(budget); /* the pools keep it alive */
	for (unsigned i = 0; i < 200; i++) {
		size_t sum;

		cycle(pool[i % 2], i % 3 ? 16 * KIB : 3 * KIB, 1 + i);
		sum = accounted(pool[0], &counting, 0).idle_bytes +
		      accounted(pool[1], &other, 0).idle_bytes;
		cr_assert_leq(sum, MIB);
	}
	tierpool_trim(pool[0], 0);
	tierpool_trim(pool[1], 0);
	cycle(pool[0], 64 * KIB, 10);
	cycle(pool[1], 64 * KIB, 10);
	cr_assert_eq(stats_of(pool[0]).idle, 10);
	cr_assert_eq(stats_of(pool[1]).idle, 5, "what the other left of the budget");
	pool_end(pool[0], &counting);
	cycle(pool[1], 64 * KIB, 20);
	cr_assert_eq(stats_of(pool[1]).idle, 15, "a destroyed pool's share is free again");
	pool_end(pool[1], &other);
}

/* ---- what a pool gets from the others ---- */

Test(shared_budget, a_pool_that_needs_room_gets_all_that_any_number_of_idle_pools_had)
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
		cr_assert_eq(at_rest(quiet[i]).idle, 0, "pool %u was left out", i);
		tierpool_destroy(quiet[i]);
	}
	tierpool_budget_destroy(budget);
	pool_end(busy, &counting);
}

Test(shared_budget, it_is_taken_back_from_its_own_pools_alone_and_not_from_one_that_is_gone)
{
	tierpool_budget *mine, *another;
	tierpool *quiet[3], *others, *single, *busy;
	unsigned all = 3 * EACH, kept = 0;

	share(EACH);
	another = budget;
	others = SHARING();
	share(all);
	mine = budget;
	for (unsigned i = 0; i < 3; i++)
		quiet[i] = SHARING();
	budget = NULL;
	single = SHARING();
	budget = mine;
	busy = SHARING();
	cycle(others, SIZE, EACH);
	cycle(single, SIZE, EACH);
	for (unsigned i = 0; i < 3; i++)
		cycle(quiet[i], SIZE, EACH);
	cycle(busy, SIZE, 1); /* the first visits */
	tierpool_destroy(quiet[1]);
	for (unsigned round = 0; round < PATIENCE && kept < all; round++) {
		cycle(busy, SIZE, all);
		kept = (unsigned)at_rest(busy).idle;
		usleep(1000);
	}
	cr_assert_eq(kept, all);
	cr_assert_eq(at_rest(quiet[0]).idle + at_rest(quiet[2]).idle, 0);
	cr_assert_eq(at_rest(others).idle, EACH);
	cr_assert_eq(at_rest(single).idle, EACH);
	tierpool_destroy(quiet[0]);
	tierpool_destroy(quiet[2]);
	tierpool_destroy(others);
	tierpool_destroy(single);
	tierpool_budget_destroy(another);
	tierpool_budget_destroy(mine);
	pool_end(busy, &counting);
}

Test(shared_budget, room_in_which_nothing_lies_goes_at_once)
{
	/* So many that a CPU may have room for several, of which a tick would leave some. */
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

Test(shared_budget, a_pool_that_uses_what_it_has_keeps_it)
{
	enum { ROUNDS = 300 }; /* of a millisecond: three times as long as untouched buffers stay */
	tierpool_buf *out[EACH];
	tierpool *steady, *greedy;

	share(EACH);
	steady = SHARING();
	greedy = SHARING();
	cycle(steady, SIZE, EACH);
	for (unsigned round = 0; round < ROUNDS; round++) {
		borrow(steady, out, EACH);
		put_all(out, EACH);
		cycle(greedy, SIZE, 1);
		usleep(1000);
	}
	cr_assert_geq(at_rest(steady).hits, ROUNDS * EACH * 9 / 10);
	tierpool_destroy(greedy);
	tierpool_budget_destroy(budget);
	pool_end(steady, &counting);
}

Test(shared_budget, a_late_put_to_a_destroyed_pool_takes_from_nobody)
{
	enum { LATE = 60 };
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
		usleep(5000); /* in all, time for three of the ticks that reclaim */
	}
	cr_assert_eq(at_rest(quiet).idle, EACH);
	tierpool_budget_destroy(budget);
	pool_end(quiet, &counting);
}
