/* SPDX-License-Identifier: MIT */
/*
 * What the profile's advisor is told of a live pool: in a window each get, growth and put, whatever way
 * they go; and that a pool which is watched counts, learns, ends and forks as any other.
 */
#include <pthread.h>

#include <tierpool/profile.h>

#include "child.h"
#include "percpu/stack.h"
#include "pool/pool.h"
#include "profile/advice.h"
#include "tier_checks.h"

#define LARGEST (64 * KIB)
#define SAMPLE_BYTES 50000 /* seldom: that gets come the slow way is the window's doing */
#define GETS_MOST 1000000  /* within which a window must have begun, or ended */

static tierpool *pool;
static tierpool_buf *out; /* so that something is */
static tierpool_site site = TIERPOOL_SITE_INIT("s");

static void start(void)
{
	stay_on_this_cpu();
	pool = pool_new(.name = "p", .max_size = LARGEST, .retain = 512 * KIB,
		.decay_ms = TIERPOOL_DECAY_NEVER);
	out = tierpool_get_sized(pool, 5000);
	cr_assert_not_null(out);
	cr_assert_eq(tierpool_profile_start(SAMPLE_BYTES), 0);
}

static void end(void)
{
	tierpool_profile_stop();
}

TestSuite(advise, .init = start, .fini = end, .timeout = 60);

static struct tp_advice *advice(void)
{
	return tp_load_acquire(&pool->advice);
}

static enum tp_advice_state state(void)
{
	enum tp_advice_state now = TP_ADVICE_WATCHING;

	tp_advice_lock();
	if (advice())
		now = advice()->state;
	tp_advice_unlock();
	return now;
}

/* The next poll, and the next window, are due at the next sample. */
static void hurry(void)
{
	tp_advice_lock();
	if (advice()) {
		tp_store_relaxed(&advice()->due_ns, 0u);
		advice()->window_due_ns = 0;
	}
	tp_advice_unlock();
}

static void pair(void)
{
	tierpool_put(tierpool_get_at(pool, 1000, &site));
}

static void run_into_window(void)
{
	for (unsigned i = 0; state() != TP_ADVICE_WINDOW; i++) {
		cr_assert_lt(i, GETS_MOST, "no window has begun");
		hurry();
		pair();
	}
	cr_assert(pool->tiers.watched);
}

/* Until no get of the pool comes the slow way any more. Returns: the gets. */
static unsigned run_until_unwatched(void)
{
	unsigned gets = 0;

	for (; tp_load_relaxed(&pool->tiers.watched); gets++) {
		cr_assert_lt(gets, GETS_MOST, "it is watched for ever");
		pair();
	}
	return gets;
}

static void window_without_end(void)
{
	run_into_window();
	advice()->left = advice()->length = UINT_MAX;
	advice()->until_look = SIZE_MAX;
	advice()->until_poll = 1e18;
	advice()->window_begun_ns = UINT64_MAX;
}

/* ---- events ---- */

/* As struct tp_advice has it. */
static size_t seen[TP_TIERS_MAX];

static void seen_get(unsigned tier)
{
	if (tier != TP_TIER_NONE)
		seen[tier]++;
}

static void seen_put(unsigned tier)
{
	if (tier != TP_TIER_NONE && seen[tier])
		seen[tier]--;
}

static void operate(tierpool_buf **b, uint64_t dice)
{
	size_t size = (size_t)64 << dice / 8 % 12;

	if (!*b) {
		*b = dice % 2 ? tierpool_get_sized(pool, size) : tierpool_get_at(pool, 0, &site);
		seen_get(dice % 2 ? tier_of(pool, size)
				  : tier_of(pool, stats_of(pool).default_size));
	} else if (dice % 4) {
		seen_put((*b)->tp_tier);
		tierpool_put(*b);
		*b = NULL;
	} else {
		unsigned was = (*b)->tp_tier;
		size_t cap = (*b)->cap;

		cr_assert_eq(tierpool_buf_reserve(*b, size), 0);
		if ((*b)->cap != cap && was != (*b)->tp_tier) {
			seen_put(was);
			seen_get((*b)->tp_tier);
		}
	}
}

Test(advise, each_get_growth_and_put_of_a_window_is_an_event_whatever_way_it_goes)
{
	tierpool_buf *held[32] = {NULL};
	struct tierpool_stats was, is;
	uint64_t random = 1;

	for (size_t size = 64; size <= LARGEST; size *= 2)
		cycle(pool, size, 4);
	window_without_end();
	memcpy(seen, advice()->seen, sizeof seen);
	was = stats_of(pool);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t dice = next_random(&random);

		operate(&held[dice % 32], dice / 32);
		for (unsigned tier = 0; tier < pool->sizes.count; tier++)
			cr_assert_eq(advice()->seen[tier], seen[tier], "tier %u after %u calls",
				tier, i + 1);
		if (i % 1000 == 0)
			tierpool_trim(pool, 0);
		if (i % 1000 == 500)
			tierpool_tick(pool);
	}
	is = stats_of(pool);
	cr_assert(is.hits_cpu > was.hits_cpu && is.hits_depot > was.hits_depot);
	cr_assert(is.hits_larger > was.hits_larger && is.gets - was.gets > is.hits - was.hits);
	cr_assert(is.grows_pooled > was.grows_pooled && is.grows - was.grows > is.grows_pooled);
	cr_assert(is.drops_oversize > was.drops_oversize && is.drops_retain > was.drops_retain);
}

/* ---- a pool that is watched ---- */

/* Whether the next get of 1,000 bytes on this CPU pops, and nobody hears of it. */
static bool is_fast(void)
{
	unsigned stack = tier_of(pool, 1000);
	uint64_t word = tp_stack_word(&pool->tiers.cpus, (unsigned)sched_getcpu(), stack);

	return tp_word_depth(word) && tp_word_countdown(word);
}

Test(advise, a_window_ends_and_gets_are_fast_again)
{
	unsigned events;

	run_into_window();
	events = advice()->left;
	cr_assert(!is_fast());
	cr_assert_leq(run_until_unwatched(), events / 2 + 1);
	cr_assert_eq(state(), TP_ADVICE_WATCHING);
	cr_assert_eq(advice()->windows, 1);
	pair();
	cr_assert(is_fast());
}

/* What the same calls do to a pool, in windows for much of the time or never. */
static struct tierpool_stats stats_of_calls(bool windows)
{
	struct tierpool_stats s;
	uint64_t random = 2;

	pool = pool_new(.max_size = LARGEST, .retain = 512 * KIB, .decay_ms = TIERPOOL_DECAY_NEVER);
	out = tierpool_get_sized(pool, 5000);
	for (unsigned i = 0; i < 200000; i++) {
		size_t size = (size_t)64 << next_random(&random) % 12;
		tierpool_buf *b = i % 2 ? tierpool_get_sized(pool, size) : tierpool_get(pool);

		if (windows && i % 1000 == 0)
			hurry();
		cr_assert_eq(tierpool_buf_reserve(b, 3000), 0);
		b->len = 3000;
		tierpool_put(b);
	}
	cr_assert(!windows || advice()->windows > 2);
	tierpool_put(out);
	s = at_rest(pool);
	cr_assert_eq(tierpool_destroy(pool), 0);
	return s;
}

Test(advise, the_same_calls_count_the_same_and_teach_the_same_in_windows)
{
	struct tierpool_stats in, never;

	in = stats_of_calls(true);
	tierpool_profile_stop();
	never = stats_of_calls(false);
	cr_assert_eq(in.gets, never.gets);
	cr_assert_eq(in.puts, never.puts);
	cr_assert_eq(in.drops_oversize, never.drops_oversize);
	cr_assert_eq(in.default_size, never.default_size);
	/* A sample comes each 256 gets, more or less, watched or not. */
	cr_assert(in.calibrations && in.calibrations < 2 * never.calibrations &&
			  never.calibrations < 2 * in.calibrations,
		"%zu, and else %zu", (size_t)in.calibrations, (size_t)never.calibrations);
}

/* ---- it ends ---- */

Test(advise, a_stop_of_the_profile_ends_a_window)
{
	run_into_window();
	tierpool_profile_stop();
	run_until_unwatched();
	cr_assert_eq(state(), TP_ADVICE_WATCHING);
	cr_assert_eq(advice()->windows, 0);
}

Test(advise, another_profile_ends_a_window)
{
	run_into_window();
	tierpool_profile_stop();
	cr_assert_eq(tierpool_profile_start(SAMPLE_BYTES), 0);
	run_until_unwatched();
	cr_assert_eq(state(), TP_ADVICE_WATCHING);
}

Test(advise, a_pool_may_be_destroyed_in_a_window_and_its_buffers_come_back)
{
	const struct tp_advice *its;

	run_into_window();
	its = advice();
	cr_assert_eq(tierpool_destroy(pool), 1);
	cr_assert_eq(tierpool_buf_reserve(out, 30000), 0);
	cr_assert(!its->ended);
	tierpool_put(out);
	cr_assert(its->ended && its->state == TP_ADVICE_WATCHING);
	/* The next pool begins anew, whatever memory it has. */
	tierpool_profile_stop();
	start();
	run_into_window();
}

/* ---- forks ---- */

static void assert_child_is_unwatched(void)
{
	struct child child;
	char report[256];

	if (child_begin(&child)) {
		alarm(30);
		for (unsigned i = 0; i < GETS_MOST && pool->tiers.watched; i++)
			pair();
		_exit(pool->tiers.watched ? 3 : 0);
	}
	cr_assert_eq(child_end(&child, report, sizeof report), 0, "%s", report);
}

Test(advise, a_child_goes_on_with_the_window)
{
	run_into_window();
	assert_child_is_unwatched();
	run_until_unwatched();
}

/* As if another thread was about to begin the window, which is not in the child. */
Test(advise, a_child_ends_what_was_armed)
{
	run_into_window();
	run_until_unwatched();
	tp_advice_lock();
	advice()->state = TP_ADVICE_ARMING;
	tp_store_relaxed(&pool->tiers.watched, true);
	tp_idle_expire(&pool->tiers);
	tp_advice_unlock();
	assert_child_is_unwatched();
}

/* ---- threads ---- */

static bool ended;

static void *borrows(void *seed)
{
	uint64_t random = (uint64_t)(uintptr_t)seed;

	while (!tp_load_relaxed(&ended)) {
		tierpool_buf *b[4];

		for (unsigned i = 0; i < 4; i++)
			b[i] = tierpool_get_sized(pool, (size_t)64 << next_random(&random) % 8);
		for (unsigned i = 0; i < 4; i++)
			if (b[i] && next_random(&random) % 4 == 0)
				tierpool_buf_reserve(b[i], next_random(&random) % 40000);
		for (unsigned i = 0; i < 4; i++)
			tierpool_put(b[i]);
	}
	return NULL;
}

Test(advise, windows_begin_and_end_while_threads_borrow_and_profiles_come_and_go)
{
	pthread_t thread[4];
	unsigned windows = 0;

	for (uintptr_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, borrows, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < 40; i++) {
		for (unsigned k = 0; k < 100; k++) {
			hurry();
			windows += state() == TP_ADVICE_WINDOW;
			usleep(100);
		}
		tierpool_profile_stop();
		cr_assert_eq(tierpool_profile_start(SAMPLE_BYTES), 0);
	}
	cr_assert(windows, "there was none");
	tp_store_relaxed(&ended, true);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(pthread_join(thread[i], NULL), 0);
	tierpool_profile_stop();
	run_until_unwatched();
	tierpool_put(out);
	cr_assert_eq(at_rest(pool).borrowed, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}
