/* SPDX-License-Identifier: MIT */
/*
 * The pool through its public interface: what a tick and a trim free, and what they leave.
 */
#include "pool/pool.h"
#include "pool_checks.h"

static struct counting_backing counting; /* one a process, and each test is one */

Test(pool, two_ticks_free_all_that_is_idle)
{
	struct tierpool_stats s;
	tierpool *pool;
	unsigned n;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	n = fill(pool);
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.idle, n);
	cr_assert_eq(tierpool_tick(pool), 0);
	cr_assert_eq(accounted(pool, &counting, 0).idle, n);
	cr_assert_eq(tierpool_tick(pool), s.idle_bytes, "the bytes released");
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.idle, 0);
	cr_assert_eq(s.drops_decay, n);
	cr_assert_eq(s.ticks, 2);
	pool_end(pool, &counting);
}

Test(pool, what_is_in_use_between_ticks_is_not_freed)
{
	size_t allocs;
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	cycle(pool, KIB, 10);
	cycle(pool, 100 * KIB, 3);
	allocs = counting_backing_allocs(&counting);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(tierpool_tick(pool), 0);
		cycle(pool, KIB, 10);
		cycle(pool, 100 * KIB, 3);
	}
	cr_assert_eq(counting_backing_allocs(&counting), allocs);
	pool_end(pool, &counting);
}

Test(pool, borrowed_buffers_do_not_age)
{
	tierpool_buf *b;
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	b = tierpool_get(pool);
	tierpool_tick(pool);
	tierpool_tick(pool);
	tierpool_tick(pool);
	cr_assert_eq(tierpool_buf_append(b, "alive", 5), 0);
	tierpool_put(b);
	cr_assert_eq(tierpool_tick(pool), 0, "its time counts from its put");
	cr_assert_eq(tierpool_tick(pool), KIB + HEADER);
	pool_end(pool, &counting);
}

Test(pool, a_block_that_growth_displaced_is_not_aged)
{
	tierpool_buf *b;
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_idle = 1); /* so that both tiers lie in depots */
	cycle(pool, 4 * KIB, 1);
	tierpool_tick(pool);
	b = tierpool_get_sized(pool, KIB);
	cr_assert_eq(tierpool_buf_reserve(b, 4 * KIB), 0);
	cr_assert_eq(stats_of(pool).grows_pooled, 1, "with the aged one");
	cr_assert_eq(tierpool_tick(pool), 0, "its former block was in use until then");
	cr_assert_eq(tierpool_tick(pool), KIB + HEADER);
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(pool, a_tick_that_is_asked_for_amid_the_pieces_of_another_is_a_second_one)
{
	struct tierpool_stats before, between;
	tierpool_buf *b;
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB, .decay_ms = UINT_MAX / 2);
	for (size_t size = 64; size <= 8 * KIB; size *= 2)
		cycle(pool, size, 40);
	cr_assert_not_null(b = (tierpool_get_sized)(pool, MIB));
	before = at_rest(pool);
	pool->tiers.decay.due = 0;
	tierpool_put(b); /* which does a piece: some of the tiers */
	between = at_rest(pool);
	cr_assert(between.ticks == 1 && !between.drops_decay);
	cr_assert_gt(tierpool_tick(pool), 0, "what that piece aged has lain through two");
	between = at_rest(pool);
	cr_assert_gt(between.drops_decay, 0);
	cr_assert_gt(between.idle, 1, "and the others through one");
	cr_assert_gt(tierpool_tick(pool), MIB, "b, which was put after the first");
	cr_assert_eq(at_rest(pool).idle, 0);
	cr_assert_eq(at_rest(pool).drops_decay, before.idle + 1);
	pool_end(pool, &counting);
}

Test(pool, what_growth_displaced_on_a_cpu_that_owes_a_tick_is_not_aged_for_it)
{
	tierpool_buf *b;
	tierpool *pool;

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	cycle(pool, 4 * KIB, 1);
	b = (tierpool_get_sized)(pool, KIB);
	/* Hard at work, so that the tick is left to it, which then falls quiet. */
	for (unsigned i = 0; i < 10000; i++)
		cycle(pool, 4 * KIB, 1);
	pin(1);
	tierpool_tick(pool);
	pin(0);
	cr_assert_eq(tierpool_buf_reserve(b, 8 * KIB), 0);
	cr_assert_eq(stats_of(pool).grows, 1);
	pin(1);
	tierpool_tick(pool);
	cr_assert_geq(at_rest(pool).idle, 1, "its former block was in use until the last tick");
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(pool, tick_and_trim_of_NULL_reach_every_pool)
{
	tierpool *pool[3];
	size_t bytes;

	counting_backing_init(&counting);
	for (unsigned i = 0; i < 3; i++)
		pool[i] = i ? pool_on(&counting, .max_size = MIB) : tierpool_default();
	for (unsigned trims = 0; trims < 2; trims++) {
		bytes = 0;
		for (unsigned i = 0; i < 3; i++) {
			fill(pool[i]);
			bytes += at_rest(pool[i]).idle_bytes;
		}
		if (trims)
			cr_assert_eq(tierpool_trim(NULL, 0), bytes);
		else
			cr_assert_eq(tierpool_tick(NULL) + tierpool_tick(NULL), bytes);
		for (unsigned i = 0; i < 3; i++)
			cr_assert_eq(at_rest(pool[i]).idle, 0);
	}
	for (unsigned i = 1; i < 3; i++)
		tierpool_destroy(pool[i]);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(pool, trim_brings_idle_bytes_to_what_it_is_told_to_keep)
{
	static const size_t keeps[] = {SIZE_MAX, 4 * MIB, MIB + HEADER, MIB, 100 * KIB, 1, 0};
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	for (unsigned i = 0; i < sizeof keeps / sizeof keeps[0]; i++) {
		struct tierpool_stats before, after;
		size_t released, live;

		fill(pool);
		before = accounted(pool, &counting, 0);
		live = counting_backing_live(&counting);
		released = tierpool_trim(pool, keeps[i]);
		after = accounted(pool, &counting, 0);
		cr_assert_leq(after.idle_bytes, keeps[i]);
		cr_assert_eq(before.idle_bytes - after.idle_bytes, released);
		/* The headers stay for the next buffers. */
		cr_assert_eq(live - counting_backing_live(&counting),
			released - (before.idle - after.idle) * HEADER);
		cr_assert_eq(after.drops_trim - before.drops_trim, before.idle - after.idle);
		if (before.idle_bytes <= keeps[i])
			cr_assert_eq(released, 0);
	}
	pool_end(pool, &counting);
}

Test(pool, trim_takes_no_more_than_it_has_to)
{
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .max_size = MIB);
	cycle(pool, 64 * KIB, 10);
	cycle(pool, KIB, 10);
	tierpool_trim(pool, stats_of(pool).idle_bytes - 1);
	cr_assert_eq(accounted(pool, &counting, 0).idle, 19);
	cr_assert_eq(stats_of(pool).idle_bytes, 9 * (64 * KIB + HEADER) + 10 * (KIB + HEADER));
	pool_end(pool, &counting);
}
