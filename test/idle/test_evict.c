/* SPDX-License-Identifier: MIT */
/*
 * How idle buffers leave: which age in a tick, and which go first where something must go. How a
 * tick comes about: test_decay.c.
 */
#include <criterion/criterion.h>

#include "cpus.h"
#include "idle/idle.h"
#include "idle_fixture.h"

static struct idle_fixture f; /* one a process, and each test is one */

static void tick(void)
{
	tp_idle_tick(&f.tiers, true, &f.victims);
}

static size_t victims(void)
{
	return idle_victims(&f, NULL);
}

/* Whether all of n buffers are where the layer is, or all with us. */
static bool all_kept(const tierpool_buf *b, unsigned n, bool kept)
{
	for (unsigned i = 0; i < n; i++)
		if (f.kept[idle_index(&f, b + i)] != kept)
			return false;
	return true;
}

/* ---- age ---- */

Test(age, what_lay_untouched_for_two_ticks_is_gone_from_stack_and_depot)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	idle_keep_new(&f, 0, 70);
	idle_keep_new(&f, 1, 5);
	cr_assert_gt(idle_depot_count(&f, 0), 0);
	cr_assert_gt(idle_depth(&f, idle_own_cpu(&f), 0), 0);
	tick();
	cr_assert_eq(victims(), 0, "one tick takes nothing");
	idle_assert_leases(&f);
	tick();
	cr_assert_eq(victims(), 75);
	idle_assert_leases(&f);
	cr_assert_eq(tp_tiers_bytes(&f.tiers), 0);
	idle_end(&f);
}

Test(age, what_is_touched_between_ticks_stays)
{
	tierpool_buf *b;
	size_t gone = 0;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	b = idle_keep_new(&f, 0, 40);
	for (unsigned ticks = 0; ticks < 10; ticks++) {
		tierpool_buf *used[10];

		for (unsigned i = 0; i < 10; i++)
			used[i] = idle_take(&f, 0);
		for (unsigned i = 0; i < 10; i++)
			cr_assert_eq(idle_keep(&f, used[i]), TP_KEPT);
		tick();
		gone += victims();
		idle_assert_leases(&f);
	}
	cr_assert_eq(gone, 30, "the thirty that lay below the working set");
	cr_assert(all_kept(b + 30, 10, true), "the working set of a stack is its top");
	idle_end(&f);
}

Test(age, a_depot_keeps_what_came_since_the_last_tick)
{
	tierpool_buf *older, *newer;

	idle_new(&f, PLENTY, NULL, DEPOT_ONLY, 1024);
	older = idle_keep_new(&f, 0, 1);
	tick();
	newer = idle_keep_new(&f, 0, 2);
	tick();
	cr_assert_eq(victims(), 1);
	cr_assert(all_kept(older, 1, false));
	cr_assert(all_kept(newer, 2, true));
	tick();
	cr_assert_eq(victims(), 2);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(age, a_buffer_keeps_its_age_on_the_way_from_depot_to_stack)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_keep_new(&f, 0, 65);
	for (unsigned i = 0; i < 33; i++)
		idle_take(&f, 0);
	tick();
	cr_assert_eq(idle_depot_count(&f, 0), 32);
	idle_take(&f, 0); /* and sixteen others come along, which nobody has used */
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), 16);
	tick();
	cr_assert_eq(victims(), 31);
	idle_end(&f);
}

Test(age, a_buffer_keeps_its_age_on_the_way_from_stack_to_depot)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_keep_new(&f, 0, 64);
	tick();
	idle_keep_new(&f, 0, 1);
	cr_assert_eq(idle_depot_count(&f, 0), 32);
	tick();
	cr_assert_eq(victims(), 64);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), 1);
	idle_end(&f);
}

Test(age, a_tick_halves_unused_room)
{
	unsigned cpu;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_keep_new(&f, 0, 30);
	for (unsigned i = 0; i < 30; i++)
		idle_take(&f, 0);
	cpu = idle_own_cpu(&f);
	for (unsigned room = 32; room; room /= 2) {
		cr_assert_eq(idle_room(&f, cpu, 0), room);
		cr_assert_eq(f.tiers.retain.leased, room * f.tiers.tier[0].cost);
		tick();
	}
	cr_assert_eq(f.tiers.retain.leased, 0);
	idle_end(&f);
}

/* ---- evict ---- */

/* One fresh and one aged buffer of each of four tiers, in stacks or in depots. */
static void fill_four_tiers(size_t max_idle)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, max_idle, 1024, 2048, 4096, 8192);
	for (unsigned tier = 0; tier < 4; tier++)
		idle_keep_new(&f, tier, 1);
	tick();
	for (unsigned tier = 0; tier < 4; tier++)
		idle_keep_new(&f, tier, 1);
}

/* Buffers 0 to 3 are the aged ones of tiers 0 to 3, 4 to 7 the fresh ones. */
static void evict_in_order(void)
{
	static const unsigned order[] = {3, 2, 7, 6};

	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(idle_evict(&f, 1), &f.buffer[order[i]], "eviction %u", i);
	cr_assert_null(idle_evict(&f, 1), "of the own and of smaller tiers none goes");
	cr_assert_null(idle_evict(&f, 3));
	idle_assert_leases(&f);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), 2);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 2);
	idle_end(&f);
}

Test(evict, takes_aged_ones_first_then_the_largest_from_depots)
{
	fill_four_tiers(DEPOT_ONLY);
	evict_in_order();
}

Test(evict, takes_aged_ones_first_then_the_largest_from_stacks)
{
	fill_four_tiers(MANY);
	for (unsigned tier = 0; tier < 4; tier++)
		cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), tier), 2);
	evict_in_order();
}

Test(evict, finds_what_lies_on_another_cpu)
{
	tierpool_buf *b;

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	b = idle_keep_new(&f, 1, 1);
	pin(1);
	cr_assert_eq(idle_evict(&f, 0), b);
	idle_assert_leases(&f);
	idle_end(&f);
}

/* ---- strip ---- */

static void strip_in_order(void)
{
	size_t aged_large = f.tiers.tier[3].cost, aged = 0;

	for (unsigned tier = 0; tier < 4; tier++)
		aged += f.tiers.tier[tier].cost;
	tp_idle_trim(&f.tiers, 0, &f.victims);
	cr_assert_eq(victims(), 0);
	tp_idle_trim(&f.tiers, aged_large, &f.victims);
	cr_assert_eq(victims(), 1, "no more than is needed");
	cr_assert(all_kept(f.buffer + 3, 1, false));
	tp_idle_trim(&f.tiers, aged - aged_large, &f.victims);
	cr_assert_eq(victims(), 3);
	cr_assert(all_kept(f.buffer, 4, false), "all aged ones before any that is fresh");
	tp_idle_trim(&f.tiers, f.tiers.tier[3].cost + 1, &f.victims);
	cr_assert_eq(victims(), 2, "at least as many bytes as asked for");
	cr_assert(all_kept(f.buffer + 6, 2, false), "and the largest first");
	tp_idle_trim(&f.tiers, SIZE_MAX, &f.victims);
	cr_assert_eq(victims(), 2);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(evict, strip_takes_aged_ones_first_then_the_largest_from_depots)
{
	fill_four_tiers(DEPOT_ONLY);
	strip_in_order();
}

Test(evict, strip_takes_aged_ones_first_then_the_largest_from_stacks)
{
	fill_four_tiers(MANY);
	strip_in_order();
}

Test(evict, strip_takes_some_thousand_at_a_time_so_that_nobody_waits_for_long)
{
	enum { KEPT = 3000, MOST = 1024 };
	size_t left = KEPT;

	idle_new(&f, PLENTY, NULL, MANY, 64, 128);
	idle_keep_new(&f, 0, KEPT / 2);
	idle_keep_new(&f, 1, KEPT / 2);
	for (size_t taken; left; left -= taken) {
		tp_idle_trim(&f.tiers, SIZE_MAX, &f.victims);
		taken = victims();
		cr_assert_eq(taken, tp_min(left, MOST), "%zu of %zu", taken, left);
	}
	idle_assert_leases(&f);
	idle_end(&f);
}
