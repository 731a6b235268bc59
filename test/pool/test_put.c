/* SPDX-License-Identifier: MIT */
/*
 * What a put keeps, under which tier, what makes place for it, and what it frees: retain and
 * max_size. The sums are the counting backing's own. How many of a tier are kept (max_idle): test_configurations.c.
 */
#include "pool_checks.h"

#include <string.h>

#include "pool/pool.h"
#include "pool/shared_budget.h"

static struct counting_backing counting; /* each test is a process with one of its own */

static void start(void)
{
	counting_backing_init(&counting);
	stay_on_this_cpu();
}

TestSuite(put, .init = start);

Test(put, a_null_is_no_buffer)
{
	tierpool_put(NULL);
}

Test(put, a_buffer_is_filed_under_its_block_not_its_length)
{
	tierpool *pool = pool_on(&counting, .max_size = MIB);
	tierpool_buf *b = tierpool_get_sized(pool, 20 * KIB);

	b->len = 100;
	tierpool_put(b);
	cr_assert_eq(accounted(pool, &counting, 0).idle_bytes, 32 * KIB + HEADER);
	b = tierpool_get_sized(pool, 100);
	cr_assert_eq(b->cap, 128);
	cr_assert_eq(stats_of(pool).hits, 0);
	tierpool_put(b);
	b = tierpool_get_sized(pool, 30 * KIB);
	cr_assert_geq(b->cap, 30 * KIB);
	cr_assert_eq(stats_of(pool).hits, 1);
	tierpool_put(b);
	pool_end(pool, &counting);
}

Test(put, oversize_buffers_are_served_may_grow_and_are_never_kept)
{
	tierpool *pool = pool_on(&counting, .max_size = 64 * KIB);

	for (unsigned i = 1; i <= 20; i++) {
		size_t size = 64 * KIB + i * i * 1000 - 999;
		tierpool_buf *b = tierpool_get_sized(pool, size);

		cr_assert_geq(b->cap, size);
		cr_assert_eq((uintptr_t)b->data % 64, 0);
		memset(b->data, 'a', b->len = b->cap);
		cr_assert_eq(accounted(pool, &counting, b->cap).idle, 0);
		cr_assert_eq(tierpool_buf_append(b, "abc", 3), 0);
		cr_assert_eq(b->data[size - 1], 'a');
		cr_assert_eq(accounted(pool, &counting, b->cap).drops_oversize, 2 * i - 1,
			"the block that it grew out of");
		tierpool_put(b);
		cr_assert_eq(accounted(pool, &counting, 0).drops_oversize, 2 * i);
	}
	cr_assert_eq(stats_of(pool).hits, 0);
	pool_end(pool, &counting);
}

Test(put, retain_is_used_up_and_never_passed)
{
	static const size_t retains[] = {TIERPOOL_RETAIN_NONE, 2, 100, 64 + HEADER - 1, 64 + HEADER,
		5000, 20 * KIB, 100 * KIB, MIB, 16 * MIB};
	size_t cost = KIB + HEADER;

	for (unsigned i = 0; i < sizeof retains / sizeof retains[0]; i++) {
		tierpool *pool = pool_on(&counting, .retain = retains[i]);
		struct tierpool_stats s;
		tierpool_buf *b[64];
		size_t most = retains[i] / cost < 64 ? retains[i] / cost : 64;

		cr_assert_eq(stats_of(pool).retain, retains[i]);
		for (unsigned n = 0; n < 64; n++)
			b[n] = tierpool_get(pool);
		for (unsigned n = 0; n < 64; n++) {
			tierpool_put(b[n]);
			s = accounted(pool, &counting, (63 - n) * KIB);
			cr_assert_leq(s.idle_bytes, retains[i]);
			cr_assert_leq(s.idle_bytes_peak, retains[i]);
		}
		cr_assert_eq(s.idle, most);
		cr_assert_eq(s.drops_retain, 64 - most);
		pool_end(pool, &counting);
	}
}

Test(put, a_pool_full_of_large_buffers_makes_place_for_small_ones)
{
	tierpool *pool = pool_on(&counting, .retain = 16 * (MIB + HEADER));
	struct tierpool_stats full, s;

	cycle(pool, MIB, 20);
	full = accounted(pool, &counting, 0);
	cr_assert_eq(full.idle, 16);
	cr_assert_eq(full.drops_retain, 4);
	for (unsigned i = 0; i < 1000; i++)
		cycle(pool, KIB, 1);
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.hits - full.hits, 999, "every get but the first");
	cr_assert_eq(s.drops_retain, 5, "one large buffer went");
	cr_assert_eq(s.idle_bytes, 15 * (MIB + HEADER) + KIB + HEADER);
	pool_end(pool, &counting);
}

Test(put, whatever_was_borrowed_the_bound_holds_for_the_bytes_of_the_backing)
{
	uint64_t random = 362436069;

	for (unsigned round = 0; round < 40; round++) {
		size_t retain = next_random(&random) % (2 * MIB) + 1, out = 0;
		tierpool *pool = pool_on(&counting, .retain = retain, .max_size = 128 * KIB);
		tierpool_buf *b[64] = {NULL};

		for (unsigned i = 0; i < 2000; i++) {
			unsigned at = next_random(&random) % 64;

			if (b[at]) {
				out -= b[at]->cap;
				tierpool_put(b[at]);
				b[at] = NULL;
			} else {
				size_t size = (size_t)1 << next_random(&random) % 18;

				b[at] = tierpool_get_sized(pool, size);
				tierpool_buf_reserve(b[at], next_random(&random) % (2 * size));
				out += b[at]->cap;
			}
			if (i % 64 == 0)
				tierpool_tick(pool);
			cr_assert_leq(accounted(pool, &counting, out).idle_bytes, retain);
		}
		for (unsigned i = 0; i < 64; i++)
			tierpool_put(b[i]);
		pool_end(pool, &counting);
	}
}

Test(put, it_frees_the_buffer_if_the_depot_has_no_memory)
{
	tierpool *pool = pool_on(&counting, .max_idle = 1); /* which puts all into depots */
	tierpool_buf *b = tierpool_get(pool);
	struct tierpool_stats s;

	counting_backing_fail(&counting, 1, true);
	tierpool_put(b);
	counting_backing_fail(&counting, 0, false);
	s = accounted(pool, &counting, 0);
	cr_assert(s.puts == 1 && s.idle == 0 && s.frees == 1 && s.drops_retain == 1);
	cycle(pool, KIB, 1);
	cr_assert_eq(accounted(pool, &counting, 0).idle, 1, "its lease was given back");
	pool_end(pool, &counting);
}

/* ---- the ladder: what makes place for a put, in order ---- */

#define ROOM_SIZE (2 * KIB) /* of the room */
#define LARGE (64 * KIB)    /* of what is evicted; so few fit that it lies in the depot */

/* Two pools on one budget, which is enough for stacks of ROOM_SIZE and for none of LARGE. */
static struct {
	tierpool *pool, *neighbour;
	struct tp_budget *budget;
	size_t taken;        /* of the budget, by the test */
	tierpool_buf *b[12]; /* borrowed */
	unsigned borrowed;
	unsigned here, there; /* two CPUs; the same if there is one */
} ladder;

static tierpool_buf *ladder_borrow(tierpool *pool, size_t size)
{
	return ladder.b[ladder.borrowed++] = (tierpool_get_sized)(pool, size);
}

/* Leaves leased room in a stack of ROOM_SIZE on this CPU. */
static void ladder_room_make(tierpool *pool)
{
	cycle(pool, ROOM_SIZE, 4);
	ladder_borrow(pool, ROOM_SIZE);
	ladder_borrow(pool, ROOM_SIZE);
}

static unsigned ladder_room(const tierpool *pool, unsigned cpu_id)
{
	return tp_word_room(
		tp_tiers_word(&pool->tiers, cpu_id, tp_sizeclass_of(&pool->sizes, ROOM_SIZE)));
}

/*
 * Puts a small buffer when nothing is free in the budget, and waits before that, since the room of
 * others is taken once a millisecond. Expected after it: so many places of room here, there, and in
 * the neighbour, and so many large buffers.
 */
static void ladder_put(tierpool_buf *b, bool here, bool there, bool neighbour, bool large)
{
	struct tierpool_stats before = at_rest(ladder.pool), after;
	size_t free = (size_t)ladder.budget->free;

	cr_assert(tp_budget_lease(ladder.budget, free));
	ladder.taken += free;
	usleep(20000);
	tierpool_put(b);
	after = at_rest(ladder.pool);
	cr_assert_eq(ladder_room(ladder.pool, ladder.here) > 0, here);
	if (ladder.there != ladder.here)
		cr_assert_eq(ladder_room(ladder.pool, ladder.there) > 0, there);
	cr_assert_eq(ladder_room(ladder.neighbour, ladder.here) > 0, neighbour);
	cr_assert_eq(after.drops_retain - before.drops_retain, !large, "of the large one");
	cr_assert_eq(after.idle - before.idle, large ? 1 : 0, "it is kept itself");
}

Test(put_ladder, its_place_is_free_or_own_room_or_others_or_the_neighbours_or_a_larger_one_s)
{
	tierpool_budget *budget;
	tierpool_buf *small[5];
	unsigned cpus;

	counting_backing_init(&counting);
	tp_cpu_init();
	cpus = tp_cpu_count();
	cr_assert_eq(tierpool_budget_create(&budget, cpus * 64 * (ROOM_SIZE + HEADER)), 0);
	ladder.budget = &budget->budget;
	ladder.pool = pool_on(&counting, .budget = budget, .decay_ms = UINT_MAX);
	ladder.neighbour = pool_on(&counting, .budget = budget, .decay_ms = UINT_MAX);
	pin(0);
	ladder.here = ladder.there = tp_cpu_current(cpus);
	if (pin(1)) {
		ladder.there = tp_cpu_current(cpus);
		ladder_room_make(ladder.pool);
	}
	pin(0);
	for (unsigned i = 0; i < 5; i++)
		small[i] = (tierpool_get_sized)(ladder.pool, KIB);
	ladder_room_make(ladder.pool);
	ladder_room_make(ladder.neighbour);
	cycle(ladder.pool, LARGE, 1);
	tierpool_put(small[0]);
	cr_assert(
		ladder_room(ladder.pool, ladder.here) && ladder_room(ladder.neighbour, ladder.here),
		"what is free goes first");
	ladder_put(small[1], false, true, true, true);
	ladder_put(small[2], false, ladder.there == ladder.here, ladder.there != ladder.here, true);
	if (ladder.there != ladder.here)
		ladder_put(small[3], false, false, false, true);
	else
		tierpool_put(small[3]);
	ladder_put(small[4], false, false, false, false);
	tp_budget_release(ladder.budget, ladder.taken);
	while (ladder.borrowed)
		tierpool_put(ladder.b[--ladder.borrowed]);
	tierpool_budget_destroy(budget);
	at_rest(ladder.pool);
	cr_assert_eq(tierpool_destroy(ladder.neighbour), 0);
	pool_end(ladder.pool, &counting);
}
