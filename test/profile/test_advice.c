/* SPDX-License-Identifier: MIT */
/*
 * The pace of polls and windows, and what is kept of pools, by a pool that is made up: a number of buffers of
 * each tier that are out, and a clock that the test sets.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "profile/advice.h"
#include "profile/rate.h"

#define TIERS 3
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

static const struct tp_model_tier tiers[TIERS] = {
	{1000, 31, false, false}, {2000, 31, false, false}, {4000, 31, false, false}};
static const struct tp_model_options options = {
	.tier = tiers, .tiers = TIERS, .cpus = 2, .max_idle = SIZE_MAX, .decay_ns = UINT64_MAX};

/* The pool. */
static struct tp_advice *advice;
static struct tp_poll pool;

static struct tp_advice *advice_new(const char *name)
{
	return tp_advice_begin(name, 7, &options);
}

static void start(void)
{
	tp_rate_start(1);
	pool = (struct tp_poll){.out = {10, 20, 0}, .retain = 100000, .ns = SECOND};
	advice = advice_new("p");
	cr_assert_not_null(advice);
}

static void end(void)
{
	tp_advice_clear();
	tp_rate_stop();
}

TestSuite(advice, .init = start, .fini = end, .timeout = 60);

/* A poll, each with some gets since the last one. */
static bool poll(void)
{
	pool.gets += 50;
	pool.ns += MS;
	return tp_advice_poll(advice, &pool);
}

static void begin_curve(void)
{
	for (unsigned i = 0; i < 20 && !advice->advisor; i++)
		cr_assert_not(poll());
	cr_assert_not_null(advice->advisor);
}

static void begin_window(void)
{
	if (!advice->advisor)
		begin_curve();
	pool.ns = advice->window_due_ns;
	cr_assert(poll());
	tp_advice_window_begin(advice, &pool);
	cr_assert_eq(advice->state, TP_ADVICE_WINDOW);
}

/* What the pool does after an event that wants a poll. */
static bool answer(bool wanted)
{
	return !wanted || tp_advice_window_poll(advice, &pool, 0);
}

/* A get and a put, so that as many are out as before. Returns: whether the window goes on. */
static bool pair(unsigned tier)
{
	bool goes_on;

	pool.gets++;
	pool.out[tier]++;
	pool.ns += 1000;
	goes_on = answer(tp_advice_get(advice, tier, 0, pool.ns));
	pool.out[tier]--;
	return goes_on && answer(tp_advice_put(advice, tier, 0, pool.ns));
}

/* Returns: how many pairs it took. */
static unsigned end_window(void)
{
	unsigned pairs = 1;

	while (pair(1))
		cr_assert_lt(++pairs, 100000u);
	return pairs;
}

static struct tp_snapshot *snapshot_new(void)
{
	struct tp_snapshot *snapshot = calloc(1, sizeof *snapshot);

	cr_assert(snapshot && tp_advice_snapshot(snapshot));
	return snapshot;
}

/* ---- the curve ---- */

Test(advice, has_a_curve_after_some_polls)
{
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_not(poll());
		cr_assert_null(advice->advisor);
	}
	begin_curve();
}

Test(advice, has_no_curve_of_a_pool_of_which_nothing_is_out)
{
	memset(pool.out, 0, sizeof pool.out);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_not(poll());
	cr_assert_null(advice->advisor);
}

/* 10 and 20 buffers: 50,000 bytes. */
Test(advice, has_a_curve_around_what_is_out_and_the_bound_of_the_pool)
{
	const size_t *bound = advice->bound;

	begin_curve();
	cr_expect_eq(bound[0], 1000, "the smallest buffer");
	for (unsigned k = 1; k + 1 < TP_SNAPSHOT_BOUNDS; k++)
		cr_expect_float_eq((double)bound[k] / (double)bound[k - 1], 1.5, 0.01);
	cr_expect_geq(bound[TP_SNAPSHOT_BOUNDS - 2], 150000u);
	cr_expect_eq(bound[TP_SNAPSHOT_BOUNDS - 1], 100000u);
}

Test(advice, moves_the_curve_up_and_keeps_what_is_known)
{
	size_t before[TP_SNAPSHOT_BOUNDS];
	unsigned moved = 0;

	begin_window();
	end_window();
	begin_window();
	end_window();
	memcpy(before, advice->bound, sizeof before);
	pool.out[2] = 20;
	poll();
	cr_expect_eq(memcmp(before, advice->bound, sizeof before), 0, "it reaches this far");
	pool.out[2] = 1000;
	poll();
	while (moved < TP_SNAPSHOT_BOUNDS && before[moved] != advice->bound[0])
		moved++;
	cr_assert(moved > 0 && moved < TP_SNAPSHOT_BOUNDS - 1);
	for (unsigned k = 0; k + moved + 1 < TP_SNAPSHOT_BOUNDS; k++)
		cr_expect_eq(advice->bound[k], before[k + moved]);
	cr_expect_geq(advice->bound[TP_SNAPSHOT_BOUNDS - 2], 12000000u);
	cr_expect_eq(advice->bound[TP_SNAPSHOT_BOUNDS - 1], 100000u);
	cr_expect_eq(advice->windows, 2);
	cr_expect_eq(tp_advisor_windows(advice->advisor), 1);
}

Test(advice, follows_the_bound_of_the_pool)
{
	size_t first;

	begin_window();
	end_window();
	first = advice->bound[0];
	pool.retain = 5000;
	poll();
	cr_expect_eq(advice->bound[TP_SNAPSHOT_BOUNDS - 1], 5000u);
	cr_expect_eq(advice->bound[0], first);
	cr_expect_eq(advice->windows, 1);
}

/* ---- the pace ---- */

Test(advice, polls_take_a_small_part_of_the_time)
{
	uint64_t now = 5 * SECOND;

	tp_advice_pause(advice, now - MS / 100, now);
	cr_expect_not(tp_advice_is_due(advice, now + 2 * MS));
	cr_expect(tp_advice_is_due(advice, now + 10 * MS));
	tp_advice_pause(advice, now, now);
	cr_expect_not(tp_advice_is_due(advice, now + 10000));
	/* It did not work for a second: it was preempted. */
	tp_advice_pause(advice, now - SECOND, now);
	cr_expect(tp_advice_is_due(advice, now + 100 * MS));
}

static uint64_t pause_of_two_pools(struct tp_advice *other, uint64_t other_polled_ns)
{
	other->last.ns = other_polled_ns;
	tp_advice_pause(advice, 100 * SECOND - MS / 100, 100 * SECOND);
	return advice->due_ns - 100 * SECOND;
}

Test(advice, pools_share_the_time)
{
	struct tp_advice *other = advice_new("q");
	uint64_t alone = pause_of_two_pools(other, SECOND);

	cr_expect_eq(pause_of_two_pools(other, 99 * SECOND), 2 * alone);
	tp_advice_end(other);
	cr_expect_eq(pause_of_two_pools(other, 99 * SECOND), alone);
}

Test(advice, windows_take_a_small_part_of_the_time)
{
	uint64_t begun_ns;

	begin_curve();
	begun_ns = pool.ns;
	pool.ns = begun_ns + 100 * MS;
	cr_expect_not(poll(), "the first is not at once");
	begin_window();
	/* Of 0.4 us an event, and looks. */
	cr_expect_geq(2 * end_window(), 5000u);
	cr_expect_eq(advice->state, TP_ADVICE_WATCHING);
	cr_expect_gt(advice->window_due_ns, pool.ns + 200 * MS);
	cr_expect_lt(advice->window_due_ns, pool.ns + 2 * SECOND);
}

Test(advice, the_estimate_begins_after_the_first_window)
{
	begin_window();
	cr_assert_gt(tp_advisor_gets(advice->advisor), 0);
	end_window();
	cr_expect_eq(tp_advisor_gets(advice->advisor), 0);
	for (unsigned i = 1; i < 4; i++) {
		begin_window();
		end_window();
		cr_expect_eq(tp_advisor_windows(advice->advisor), i);
	}
	cr_expect_gt(tp_advisor_gets(advice->advisor), 3000u);
}

/* Three polls, if it gets not too long. */
Test(advice, a_window_is_longer_if_polls_are_rare)
{
	begin_window();
	cr_expect_lt(end_window(), 3500u);
	for (unsigned i = 0; i < 100; i++) {
		pool.gets += 1500;
		pool.ns += MS;
		tp_advice_poll(advice, &pool);
		if (advice->state == TP_ADVICE_ARMING)
			break;
	}
	advice->window_due_ns = pool.ns;
	if (advice->state == TP_ADVICE_WATCHING)
		cr_assert(tp_advice_poll(advice, &pool));
	tp_advice_window_begin(advice, &pool);
	cr_expect_gt(end_window(), 4000u);
}

Test(advice, a_window_of_a_slow_program_ends_by_its_time)
{
	unsigned pairs = 0;

	begin_window();
	do {
		pool.ns += 100 * MS;
		cr_assert_lt(++pairs, 1000u);
	} while (pair(0));
	cr_expect_lt(pairs, 200u);
	cr_expect_eq(advice->windows, 1, "it counts");
	cr_expect(advice->counts);
}

/* ---- what a window sees ---- */

Test(advice, sees_puts_of_what_was_borrowed_before_by_what_is_out)
{
	begin_window();
	cr_expect_eq(advice->seen[1], 20);
	pool.out[1] = 13;
	while (advice->seen[1] > 13)
		cr_assert(pair(0));
	cr_expect_eq(advice->seen[0], 10);
	pool.out[1] = 0;
	end_window();
	cr_expect_eq(advice->seen[1], 0);
	cr_expect_eq(advice->seen[0], 10);
}

Test(advice, sees_a_growth_as_a_put_and_a_get_of_tiers)
{
	begin_window();
	pool.out[0]--;
	pool.out[2]++;
	cr_expect(answer(tp_advice_grow(advice, 0, 2, 1, pool.ns)));
	cr_expect_eq(advice->seen[0], 9);
	cr_expect_eq(advice->seen[2], 1);
	pool.out[2]--;
	cr_expect(answer(tp_advice_grow(advice, 2, TP_TIER_NONE, 1, pool.ns)));
	cr_expect_eq(advice->seen[2], 0);
	cr_expect(answer(tp_advice_put(advice, TP_TIER_NONE, 1, pool.ns)));
	end_window();
	cr_expect_eq(advice->seen[0], 9);
}

/* Returns: how many polls were wanted in so many pairs of the first tier. */
static unsigned looks_in(unsigned pairs, bool come_back)
{
	unsigned looks = 0;

	for (unsigned i = 0; i < pairs; i++) {
		bool wanted;

		if (come_back && i % 8 == 0 && pool.out[1])
			pool.out[1]--;
		pool.gets++;
		wanted = tp_advice_get(advice, 0, 0, pool.ns);
		wanted |= tp_advice_put(advice, 0, 0, pool.ns);
		looks += wanted;
		cr_assert(answer(wanted));
	}
	return looks;
}

Test(advice, looks_often_as_long_as_buffers_come_back)
{
	begin_window();
	advice->pace = advice->until_poll = 100000; /* no polls but looks */
	cr_expect_gt(looks_in(150, true), 12u);
	looks_in(1000, false);
	cr_expect_lt(looks_in(1000, false), 5u);
}

/* ---- what ends a window early ---- */

Test(advice, an_event_is_none_outside_of_a_window)
{
	begin_curve();
	cr_expect_not(tp_advice_get(advice, 0, 0, pool.ns));
	cr_expect_not(tp_advice_put(advice, 0, 0, pool.ns));
	cr_expect_not(tp_advice_grow(advice, 0, 1, 0, pool.ns));
	cr_expect_not(tp_advice_window_poll(advice, &pool, 0));
	tp_advice_window_begin(advice, &pool);
	cr_expect_eq(advice->state, TP_ADVICE_WATCHING, "nobody has armed");
}

Test(advice, while_it_is_armed_the_window_may_not_be_given_up)
{
	begin_curve();
	pool.ns = advice->window_due_ns;
	cr_assert(poll());
	cr_expect_not(poll(), "one is enough");
	cr_expect_not(tp_advice_get(advice, 0, 0, pool.ns));
	cr_expect(tp_advice_window_poll(advice, &pool, 0));
}

Test(advice, a_window_ends_if_the_profile_stops)
{
	begin_window();
	for (unsigned i = 0; i < 100; i++)
		cr_assert(pair(1));
	tp_rate_stop();
	cr_assert_lt(end_window(), 1000u);
	cr_expect_eq(advice->state, TP_ADVICE_WATCHING);
	cr_expect_eq(advice->windows, 0);
	cr_expect_eq(tp_advisor_windows(advice->advisor), 0);
}

Test(advice, another_profile_forgets_all_in_a_window_too)
{
	begin_window();
	end_window();
	begin_window();
	pair(1);
	tp_advice_clear();
	cr_expect_eq(advice->state, TP_ADVICE_WATCHING);
	cr_expect_null(advice->advisor);
	cr_expect_eq(advice->windows, 0);
	cr_expect_not(tp_advice_put(advice, 1, 0, pool.ns));
	begin_window();
	end_window();
}

Test(advice, a_pool_may_end_in_a_window_and_what_is_known_stays)
{
	struct tp_snapshot *s;

	begin_window();
	end_window();
	begin_window();
	tp_advice_end(advice);
	s = snapshot_new();
	cr_assert_eq(s->advices, 1);
	cr_expect_str_eq(s->advice[0].pool, "p");
	cr_expect_eq(s->advice[0].pool_id, 7);
	cr_expect_eq(s->advice[0].windows, 0);
	tp_snapshot_free(s);
	tp_advice_clear();
	s = snapshot_new();
	cr_expect_eq(s->advices, 0);
	tp_snapshot_free(s);
}

/* ---- pools that ended ---- */

Test(advice, keeps_what_is_known_of_the_last_pools_that_ended)
{
	struct tp_advice *live = advice;
	struct tp_snapshot *s;
	char name[16];

	begin_curve();
	poll();
	for (unsigned i = 0; i < TP_ADVICE_ENDED + 10; i++) {
		snprintf(name, sizeof name, "%u", i);
		advice = advice_new(name);
		cr_assert_not_null(advice);
		begin_curve();
		poll();
		tp_advice_end(advice);
	}
	s = snapshot_new();
	cr_assert_eq(s->advices, TP_ADVICE_ENDED + 1);
	cr_expect_str_eq(s->advice[0].pool, "73");
	cr_expect_str_eq(s->advice[TP_ADVICE_ENDED - 1].pool, "10");
	cr_expect_str_eq(s->advice[TP_ADVICE_ENDED].pool, "p");
	tp_snapshot_free(s);
	advice = live;
}

/* ---- snapshots ---- */

Test(advice, of_which_no_get_is_known_is_not_in_a_snapshot)
{
	struct tp_snapshot *s = snapshot_new();

	cr_expect_eq(s->advices, 0);
	tp_snapshot_free(s);
}

Test(advice, a_snapshot_has_the_curve_and_the_bound_of_the_pool)
{
	struct tp_snapshot *s;

	for (unsigned i = 0; i < 5; i++) {
		begin_window();
		end_window();
	}
	s = snapshot_new();
	cr_assert_eq(s->advices, 1);
	for (unsigned k = 0; k + 1 < TP_SNAPSHOT_BOUNDS; k++)
		cr_expect_eq(s->advice->curve[k].retain, advice->bound[k]);
	cr_expect_eq(s->advice->now.retain, 100000u);
	cr_expect_eq(s->advice->least, 1000u);
	cr_expect_eq(s->advice->windows, 4);
	/* All pairs find what the one before has put. */
	cr_expect(s->advice->enough_known);
	cr_expect_gt(s->advice->now.share, 0.999);
	tp_snapshot_free(s);
}

/* ---- failures ---- */

Test(advice, without_memory_there_is_none)
{
	allocation_fails = (struct failing){.at = 1};
	cr_expect_null(advice_new("q"));
}

Test(advice, without_memory_for_models_it_tries_again)
{
	for (unsigned nth = 1; nth <= 3; nth++) {
		for (unsigned i = 0; i < 10; i++) {
			allocation_fails = (struct failing){.at = nth};
			cr_assert_not(poll());
		}
		cr_expect_null(advice->advisor);
	}
	allocation_fails = (struct failing){0};
	begin_window();
}

Test(advice, without_memory_there_is_no_snapshot)
{
	struct tp_snapshot *s = calloc(1, sizeof *s);

	begin_curve();
	poll();
	for (unsigned nth = 1; nth <= 2; nth++) {
		allocation_fails = (struct failing){.at = nth};
		cr_expect_not(tp_advice_snapshot(s));
		tp_snapshot_free(s);
		s = calloc(1, sizeof *s);
	}
	cr_expect(tp_advice_snapshot(s));
	tp_snapshot_free(s);
}

Test(advice, leaves_errno_alone)
{
	begin_window();
	errno = EBADF;
	tp_advice_end(advice);
	tp_advice_clear();
	cr_expect_eq(errno, EBADF);
}

Test(advice, is_locked_while_the_process_forks)
{
	static const enum tp_fork after[] = {TP_FORK_PARENT, TP_FORK_CHILD};

	for (unsigned i = 0; i < 2; i++) {
		tp_advice_fork(TP_FORK_PREPARE);
		cr_expect_not(tp_advice_try_lock());
		tp_advice_fork(after[i]);
		cr_expect(tp_advice_try_lock());
		tp_advice_unlock();
	}
}
