/* SPDX-License-Identifier: MIT */
/*
 * What a pool frees without being asked while it is used: after a burst, when all gets are hits,
 * everything that is not used is gone by the third tick, in pieces that make no get or put long. How
 * soon a tick is noticed: by slow calls at once, by hits alone within 8,191. And what it keeps: what is
 * used, and everything while no call is made. Periods are counted by the pool's own ticks, because a
 * slow machine is no fault of the library.
 */
#include <time.h>

#include "base/clock.h"
#include "pool/pool.h"
#include "pool_checks.h"

/* A piece of what is due, but one buffer at least (lib/idle). */
#define PIECE_BUFFERS 256
#define PIECE_BYTES (2 * MIB)

#define TICKS 3        /* by which the surplus is gone, on a CPU that was hard at work one later */
#define PERIOD_HITS 60 /* twice as many as a tick has pieces here */
#define SIZE KIB       /* of what is used on */

static struct counting_backing counting; /* each test is a process with one of its own */

static uint64_t ticks_of(const tierpool *pool)
{
	return tp_load_relaxed(&pool->tiers.decay.ticks);
}

/* A tick is due from now on. */
static void tick_make_due(tierpool *pool)
{
	tp_store_relaxed(&pool->tiers.decay.begun_ms, tp_clock_ms() - pool->tiers.decay.ms);
}

static tierpool *pool_that_decays(unsigned ms)
{
	pin(0);
	counting_backing_init(&counting);
	return pool_on(&counting, .max_size = MIB, .decay_ms = ms);
}

/* ---- calls that must not be long ---- */

struct freed {
	size_t blocks, bytes;
};

/* Out of the backing now, but for the tables of the tiers, which a tick may free. */
static struct freed out_now(const tierpool *pool)
{
	struct freed out = {counting_backing_blocks(&counting),
		counting_backing_live(&counting) - tp_tiers_table_bytes(&pool->tiers)};

	for (unsigned tier = 0; tier < pool->sizes.count; tier++)
		out.blocks -= tp_depot_bytes(&pool->tiers.tier[tier].depot) > 0;
	return out;
}

static void expect_a_piece(const tierpool *pool, struct freed before)
{
	struct freed after = out_now(pool);

	/* A call that allocated a block as well freed at most one more than this shows. */
	if (after.blocks >= before.blocks)
		return;
	before.blocks -= after.blocks;
	before.bytes -= after.bytes;
	if (before.blocks > PIECE_BUFFERS || (before.bytes > PIECE_BYTES && before.blocks > 1))
		cr_assert_fail("%zu buffers of %zu bytes were freed in one call", before.blocks,
			before.bytes);
}

static void pair(tierpool *pool, size_t size)
{
	struct freed before = out_now(pool);
	tierpool_buf *b = (tierpool_get_sized)(pool, size);

	cr_assert_not_null(b);
	expect_a_piece(pool, before);
	before = out_now(pool);
	tierpool_put(b);
	expect_a_piece(pool, before);
}

/* ---- bursts, and what follows them ---- */

/* Buffers of several sizes on this CPU, as many as its stacks hold and more. */
static void burst(tierpool *pool)
{
	cycle(pool, 64, 1200);
	cycle(pool, SIZE, 150);
	cycle(pool, 20 * KIB, 40);
	cycle(pool, 100 * KIB, 12);
}

static size_t in_depots(const tierpool *pool)
{
	size_t n = 0;

	for (unsigned tier = 0; tier < pool->sizes.count; tier++)
		n += tp_depot_count(&pool->tiers.tier[tier].depot);
	return n;
}

/*
 * One hit after the other until no more than used buffers are left or so many ticks have begun. If
 * they are some nanoseconds apart, a slow call follows each, which takes and leaves no idle buffer.
 * A tick does not count when the machine let us run for a few hits only in its period.
 */
static void calls_until(tierpool *pool, long apart_ns, size_t used, unsigned ticks)
{
	struct timespec apart = {.tv_nsec = apart_ns};
	uint64_t last = ticks_of(pool);
	unsigned hits = 0;

	while (ticks) {
		pair(pool, SIZE);
		if (apart_ns) {
			clock_nanosleep(CLOCK_MONOTONIC, 0, &apart, NULL);
			cycle(pool, 2 * MIB, 1);
		}
		hits++;
		if (ticks_of(pool) != last) {
			ticks -= hits >= PERIOD_HITS;
			last = ticks_of(pool);
			hits = 0;
		}
		if ((apart_ns || hits % 1024 == 0) && stats_of(pool).idle == used)
			return;
	}
}

/* After a burst: all but one buffer goes, by hits alone. */
static void shed_within(tierpool *pool, unsigned ticks)
{
	struct tierpool_stats before = at_rest(pool), after;

	calls_until(pool, 0, 1, ticks);
	after = at_rest(pool);
	cr_assert_eq(after.idle, 1, "%zu of %zu are left after %lu ticks", after.idle, before.idle,
		(unsigned long)(after.ticks - before.ticks));
	cr_assert_eq(after.hits - before.hits, after.gets - before.gets);
	cr_assert_eq(after.allocs, before.allocs);
	cr_assert_eq(after.drops_decay - before.drops_decay, before.idle - 1);
	pool_end(pool, &counting);
}

static void shed(tierpool *pool)
{
	shed_within(pool, TICKS);
}

TestSuite(surplus, .timeout = 60);

Test(surplus, after_a_burst_hits_as_fast_as_can_be_shed_what_is_not_used)
{
	tierpool *pool = pool_that_decays(100);

	burst(pool);
	cr_assert_gt(in_depots(pool), 0);
	shed(pool);
}

Test(surplus, after_a_burst_few_calls_shed_what_is_not_used_if_some_are_slow)
{
	tierpool *pool = pool_that_decays(200);
	struct tierpool_stats before;

	burst(pool);
	before = at_rest(pool);
	calls_until(pool, 2000000, 1, TICKS);
	cr_assert_eq(at_rest(pool).idle, 1);
	cr_assert_eq(at_rest(pool).drops_decay, before.idle - 1);
	pool_end(pool, &counting);
}

static void shed_of_another_cpu(unsigned pairs)
{
	tierpool *pool = pool_that_decays(100);

	if (!pin(1))
		skip("needs two CPUs");
	burst(pool);
	for (unsigned i = 0; i < pairs; i++)
		cycle(pool, SIZE, 1);
	pin(0);
	burst(pool);
	shed_within(pool, pairs ? TICKS + 1 : TICKS);
}

Test(surplus, what_a_burst_left_on_another_cpu_is_shed_as_well)
{
	shed_of_another_cpu(0);
}

Test(surplus, so_is_what_it_left_on_one_that_was_hard_at_work)
{
	shed_of_another_cpu(10000);
}

Test(surplus, what_lies_in_stacks_alone_is_shed_as_well)
{
	tierpool *pool = pool_that_decays(100);

	for (size_t size = 64; size <= 4 * KIB; size *= 2)
		cycle(pool, size, 50);
	cr_assert_eq(in_depots(pool), 0);
	shed(pool);
}

Test(surplus, no_call_frees_more_than_a_piece_whatever_the_sizes_are)
{
	static const size_t sizes[] = {SIZE, 300 * KIB, 900 * KIB, 3 * MIB};
	tierpool *pool;

	pin(0);
	counting_backing_init(&counting);
	pool = pool_on(&counting, .tiers = sizes, .tier_count = 4, .decay_ms = 100);
	cycle(pool, SIZE, 200);
	for (unsigned i = 1; i < 4; i++)
		cycle(pool, sizes[i], 12);
	shed(pool);
}

Test(surplus, calls_that_all_go_to_the_depots_shed_what_is_not_used)
{
	struct tierpool_stats before, after;
	tierpool *pool;

	pin(0);
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB, .max_idle = 3, .decay_ms = 100);
	for (size_t size = 64; size <= MIB; size *= 2)
		cycle(pool, size, 3);
	before = at_rest(pool);
	cr_assert_eq(in_depots(pool), before.idle);
	calls_until(pool, 0, 1, TICKS);
	after = at_rest(pool);
	cr_assert_eq(after.idle, 1);
	cr_assert_eq(after.allocs, before.allocs);
	pool_end(pool, &counting);
}

/* ---- how soon it is noticed that a tick is due ---- */

#define LONG (1u << 24) /* milliseconds: a period that does not end here */

/* Hits until one has noticed that a tick is due from now on, and has begun it. */
static unsigned hits_to_notice(tierpool *pool)
{
	uint64_t ticks = ticks_of(pool);
	unsigned hits = 0;

	for (tick_make_due(pool); ticks_of(pool) == ticks; hits++) {
		cr_assert_lt(hits, 8192u, "the largest gap is shorter");
		pair(pool, SIZE);
	}
	return hits;
}

Test(surplus, hits_notice_it_within_8191_and_within_4096_on_average)
{
	tierpool *pool = pool_that_decays(LONG);
	unsigned sum = 0, rounds = 100;

	cycle(pool, SIZE, 1);
	for (unsigned round = 0; round < rounds; round++)
		sum += hits_to_notice(pool);
	/* Four times the deviation of such a mean. */
	cr_assert(sum / rounds > 3100 && sum / rounds < 5100, "%u", sum / rounds);
	pool_end(pool, &counting);
}

Test(surplus, once_it_is_noticed_each_hit_frees_a_piece_until_nothing_is_left)
{
	tierpool *pool = pool_that_decays(LONG);
	size_t idle, pieces = 0;

	burst(pool);
	hits_to_notice(pool);
	hits_to_notice(pool);
	for (idle = stats_of(pool).idle; idle > 1; pieces++) {
		pair(pool, SIZE);
		cr_assert_lt(stats_of(pool).idle, idle);
		idle = stats_of(pool).idle;
	}
	cr_assert_geq(pieces, 1200 / PIECE_BUFFERS);
	pool_end(pool, &counting);
}

Test(surplus, a_slow_get_notices_it)
{
	tierpool *pool = pool_that_decays(LONG);

	for (size_t size = 64; size <= 512; size *= 2) {
		uint64_t ticks = ticks_of(pool);
		tierpool_buf *b;

		tick_make_due(pool);
		cr_assert_not_null(b = (tierpool_get_sized)(pool, size));
		cr_assert_eq(ticks_of(pool), ticks + 1);
		tierpool_put(b);
	}
	pool_end(pool, &counting);
}

Test(surplus, a_slow_growth_notices_it)
{
	tierpool *pool = pool_that_decays(LONG);
	tierpool_buf *b = (tierpool_get_sized)(pool, 64);

	tick_make_due(pool);
	cr_assert_eq(tierpool_buf_reserve(b, SIZE), 0);
	cr_assert_eq(ticks_of(pool), 1);
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(surplus, a_growth_between_stacks_notices_it_when_a_countdown_expires_there)
{
	tierpool *pool = pool_that_decays(LONG);
	unsigned larger = tp_sizeclass_of(&pool->sizes, 2 * SIZE), noticed = 0;
	tierpool_buf *b;

	cycle(pool, 2 * SIZE, 1);
	cycle(pool, SIZE, 1);
	tick_make_due(pool);
	/* Each countdown of the two stacks goes down by one in each round. */
	for (unsigned rounds = 0; rounds < 20 * 8192 && !noticed; rounds++) {
		uint64_t ticks;

		cr_assert_not_null(b = (tierpool_get_sized)(pool, SIZE));
		tick_make_due(pool);
		ticks = ticks_of(pool);
		cr_assert_eq(tierpool_buf_reserve(b, 2 * SIZE), 0);
		noticed += ticks_of(pool) != ticks;
		tierpool_put(b);
	}
	cr_assert_eq(noticed, 1);
	cr_assert_geq(tp_word_countdown(tp_tiers_word(
			      &pool->tiers, tp_cpu_current(pool->tiers.cpus.count), larger)),
		0, "armed again");
	cr_assert_eq(stats_of(pool).grows, stats_of(pool).grows_pooled);
	pool_end(pool, &counting);
}

Test(surplus, a_slow_put_notices_it_before_it_keeps_its_buffer)
{
	tierpool *pool = pool_that_decays(LONG);
	tierpool_buf *b;

	cycle(pool, SIZE, 1);
	cr_assert_not_null(b = (tierpool_get_sized)(pool, 64));
	tick_make_due(pool);
	tierpool_put(b);
	cr_assert_eq(ticks_of(pool), 1);
	cr_assert_eq(tierpool_tick(pool), SIZE + HEADER, "the other one, which lay through both");
	cr_assert_eq(tierpool_tick(pool), 64 + HEADER);
	pool_end(pool, &counting);
}

/* One pair a millisecond: some 50 in a period, where a busy pool has one look in 4,096. */
Test(surplus, a_pool_with_few_gets_looks_at_the_clock_often_enough)
{
	tierpool *pool = pool_that_decays(50);
	unsigned pairs = 0;

	burst(pool);
	while (at_rest(pool).idle > 1) {
		cr_assert_lt(++pairs, 4096u);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1000000}, NULL);
		pair(pool, SIZE);
	}
	pool_end(pool, &counting);
}

/* ---- what stays ---- */

Test(surplus, what_is_used_once_in_each_period_stays)
{
	tierpool *pool = pool_that_decays(50);
	struct tierpool_stats before, after;

	cycle(pool, SIZE, 10);
	cycle(pool, 100 * KIB, 3);
	before = at_rest(pool);
	for (unsigned ticks = 0; ticks < 6;) {
		uint64_t last = ticks_of(pool);

		/* One buffer notices that the next tick is due; then all of them are used. */
		calls_until(pool, 0, SIZE_MAX, 1);
		cycle(pool, SIZE, 10);
		cycle(pool, 100 * KIB, 3);
		/* If the machine did not let us run for a period, all begins again here. */
		ticks = ticks_of(pool) == last + 1 ? ticks + 1 : 0;
		if (!ticks)
			before = at_rest(pool);
	}
	after = at_rest(pool);
	cr_assert_geq(after.ticks, before.ticks + 6);
	cr_assert_eq(after.idle, before.idle);
	cr_assert_eq(after.allocs, before.allocs);
	cr_assert_eq(after.frees, before.frees);
	pool_end(pool, &counting);
}

/* Returns when the library's clock has gone on by so many milliseconds. */
static void sleep_through(uint64_t ms)
{
	uint64_t begin = tp_clock_ms();

	while (tp_clock_ms() - begin < ms)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 5000000}, NULL);
}

Test(surplus, a_pool_that_nobody_touches_keeps_all_until_there_is_a_reaper)
{
	enum { MS = 20, PERIODS = 4 };
	tierpool *pool = pool_that_decays(MS);
	struct tierpool_stats before, after;

	burst(pool);
	before = at_rest(pool);
	sleep_through(MS * PERIODS);
	after = at_rest(pool);
	cr_assert(after.idle == before.idle && after.ticks == before.ticks);
	cr_assert_eq(tierpool_reaper_start(), 0);
	/* Not until none is idle: a sum misses those that are being moved. */
	while (stats_of(pool).drops_decay - before.drops_decay < before.idle)
		sleep_through(MS);
	tierpool_reaper_stop();
	after = at_rest(pool);
	cr_assert_eq(after.drops_decay - before.drops_decay, before.idle);
	cr_assert_geq(after.ticks, before.ticks + 2);
	cr_assert_eq(after.gets, before.gets);
	pool_end(pool, &counting);
}

Test(surplus, a_pool_whose_decay_ms_is_UINT_MAX_keeps_all_until_it_is_asked)
{
	tierpool *pool = pool_that_decays(UINT_MAX);
	struct tierpool_stats before, after;

	burst(pool);
	before = at_rest(pool);
	for (unsigned i = 0; i < 3; i++) {
		sleep_through(10);
		for (unsigned hits = 0; hits < 100000; hits++)
			pair(pool, SIZE);
	}
	after = at_rest(pool);
	cr_assert(after.idle == before.idle && after.frees == before.frees && !after.ticks);
	cr_assert_eq(tierpool_tick(pool), 0);
	cr_assert_gt(tierpool_tick(pool), 0);
	pool_end(pool, &counting);
}
