/* SPDX-License-Identifier: MIT */
/*
 * Where idle buffers lie and where they are found: what the layer keeps, and what it gives to those
 * who take. In which order they leave: test_evict.c; the bounds of one CPU: test_tiers.c.
 */
#include <criterion/criterion.h>
#include <unistd.h>

#include "cpus.h"
#include "idle/idle.h"
#include "idle_fixture.h"

static struct idle_fixture f; /* one a process, and each test is one */

/* ---- keep ---- */

Test(keep, goes_to_the_own_stack_where_take_finds_it)
{
	tierpool_buf *b;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 4096);
	b = idle_keep_new(&f, 1, 1);
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 1), 1);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 1);
	cr_assert_eq(idle_depot_count(&f, 1), 0);
	cr_assert_null(idle_take(&f, 0));
	cr_assert_eq(idle_take(&f, 1), b);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 0);
	cr_assert_eq(
		idle_room(&f, idle_own_cpu(&f), 1), 1, "its lease stays, as room for its return");
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(keep, a_bound_too_small_for_room_sends_buffers_to_the_depot)
{
	size_t cost = 1024 + sizeof(tierpool_buf);

	idle_new(&f, 3 * cost, NULL, MANY, 1024);
	cr_assert_eq(f.tiers.tier[0].cost, cost);
	cr_assert_eq(f.tiers.tier[0].limit, 0);
	idle_keep_new(&f, 0, 3);
	cr_assert_eq(idle_depot_count(&f, 0), 3);
	cr_assert_eq(f.tiers.retain.leased, 3 * cost);
	cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), TP_NO_BYTES);
	cr_assert_not_null(idle_take(&f, 0));
	cr_assert_eq(f.tiers.retain.leased, 2 * cost, "where no room may be, the lease ends");
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(keep, room_doubles_on_demand_up_to_the_limit)
{
	unsigned held = 0;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	cr_assert_eq(f.tiers.tier[0].limit, 64);
	for (unsigned depth = 1; depth <= 64; depth++) {
		if (depth > held)
			held = held ? 2 * held : 1;
		idle_keep_new(&f, 0, 1);
		cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), depth);
		cr_assert_eq(idle_room(&f, idle_own_cpu(&f), 0), held - depth);
		idle_assert_leases(&f);
	}
	cr_assert_eq(idle_depot_count(&f, 0), 0);
	idle_end(&f);
}

Test(keep, room_grows_by_one_where_the_bound_does_not_let_it_double)
{
	unsigned limit, more = 3;
	size_t cost;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	limit = f.tiers.tier[0].limit;
	cost = f.tiers.tier[0].cost;
	idle_keep_new(&f, 0, limit / 2);
	tp_budget_limit_set(&f.tiers.retain, f.tiers.retain.leased + more * cost);
	for (; more; more--) {
		cr_assert_eq(idle_room(&f, idle_own_cpu(&f), 0), 0);
		idle_keep_new(&f, 0, 1);
	}
	cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), TP_NO_BYTES);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(keep, a_full_stack_sends_its_older_half_to_the_depot)
{
	tierpool_buf *b;
	size_t leased;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	b = idle_keep_new(&f, 0, 64);
	leased = f.tiers.retain.leased;
	idle_keep_new(&f, 0, 1);
	cr_assert_eq(idle_depot_count(&f, 0), 32);
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), 33);
	cr_assert_eq(f.tiers.retain.leased, leased + 32 * f.tiers.tier[0].cost,
		"the flushed took their leases with them; the room they left was leased anew");
	idle_assert_leases(&f);
	for (unsigned i = 65; i-- > 32;)
		cr_assert_eq(idle_take(&f, 0), b + i, "the younger half stayed, in its order");
	cr_assert_eq(idle_depot_count(&f, 0), 32);
	idle_end(&f);
}

static const unsigned most[] = {1, 3, 7, 63, 64, 65, 100, 513, 1000};

Test(keep, max_idle_is_reached_exactly_and_never_passed)
{
	pin(0);
	for (unsigned i = 0; i < sizeof most / sizeof most[0]; i++) {
		idle_new(&f, PLENTY, NULL, most[i], 1024, 2048);
		for (unsigned tier = 0; tier < 2; tier++) {
			idle_keep_new(&f, tier, most[i]);
			cr_assert_eq(idle_keep(&f, idle_make(&f, tier)), TP_NO_COUNT);
			idle_assert_leases(&f);
		}
		/* Room that borrowed ones left behind is given up for others. */
		for (unsigned n = 0; n < most[i]; n++)
			cr_assert_not_null(idle_take(&f, 0));
		idle_keep_new(&f, 0, most[i]);
		cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), TP_NO_COUNT);
		idle_end(&f);
	}
}

Test(keep, retain_is_reached_exactly_and_never_passed)
{
	size_t cost = 1024 + sizeof(tierpool_buf);

	pin(0);
	for (unsigned i = 0; i < sizeof most / sizeof most[0]; i++) {
		idle_new(&f, most[i] * cost + cost - 1, NULL, MANY, 1024, 4096);
		idle_keep_new(&f, 0, most[i]);
		cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), TP_NO_BYTES);
		cr_assert_eq(tp_tiers_bytes(&f.tiers), most[i] * cost);
		idle_assert_leases(&f);
		/* Room that borrowed ones left behind is given up for another tier. */
		for (unsigned n = 0; n < most[i]; n++)
			cr_assert_not_null(idle_take(&f, 0));
		idle_keep_new(&f, 1, (unsigned)(f.tiers.retain.limit / f.tiers.tier[1].cost));
		idle_assert_leases(&f);
		idle_end(&f);
	}
}

Test(keep, room_on_another_cpu_is_given_up_when_bytes_are_short)
{
	size_t cost = 1024 + sizeof(tierpool_buf);
	unsigned n = 8 * tp_cpu_count();

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	idle_new(&f, n * cost, NULL, MANY, 1024);
	idle_keep_new(&f, 0, 1);
	cr_assert_not_null(idle_take(&f, 0));
	cr_assert_eq(idle_room(&f, idle_own_cpu(&f), 0), 1);
	pin(1);
	idle_keep_new(&f, 0, n - 1);
	usleep(20000); /* other CPUs are asked once a millisecond of a coarse clock */
	cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), TP_KEPT);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(keep, after_close_nothing_is_kept_or_found)
{
	tierpool_buf *out[80];

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	idle_keep_new(&f, 0, 70);
	idle_take(&f, 0);
	idle_keep_new(&f, 1, 1);
	tp_idle_close(&f.tiers, &f.victims);
	cr_assert_eq(idle_victims(&f, out), 70);
	idle_assert_leases(&f);
	idle_unlease(&f);
	cr_assert_eq(f.tiers.retain.leased, 0, "room is given up, too");
	cr_assert_eq(idle_keep(&f, out[0]), TP_CLOSED);
	cr_assert_eq(f.tiers.retain.leased, 0);
	cr_assert_null(idle_take(&f, 0));
	cr_assert_null(idle_evict(&f, 0));
	tp_idle_tick(&f.tiers, true, &f.victims);
	tp_idle_trim(&f.tiers, SIZE_MAX, &f.victims);
	cr_assert_eq(idle_victims(&f, NULL), 0);
	idle_end(&f);
}

/* ---- take ---- */

Test(take, a_stack_gives_back_the_newest_first)
{
	tierpool_buf *b;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	b = idle_keep_new(&f, 0, 20);
	for (unsigned i = 20; i--;)
		cr_assert_eq(idle_take(&f, 0), b + i);
	cr_assert_null(idle_take(&f, 0));
	idle_end(&f);
}

Test(take, a_batch_comes_back_from_the_depot_with_its_leases)
{
	size_t leased;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_keep_new(&f, 0, 65);
	for (unsigned i = 0; i < 33; i++)
		idle_take(&f, 0);
	tp_tiers_room_drop(&f.tiers, 0, f.tiers.sizes->count, UINT_MAX);
	cr_assert_eq(idle_depot_count(&f, 0), 32);
	leased = f.tiers.retain.leased;
	cr_assert_eq(leased, 32 * f.tiers.tier[0].cost);
	cr_assert_not_null(idle_take(&f, 0));
	cr_assert_eq(idle_depot_count(&f, 0), 15, "one for the taker and 16 for its stack");
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), 16);
	cr_assert_eq(idle_room(&f, idle_own_cpu(&f), 0), 1, "the taken one's lease is room now");
	cr_assert_eq(f.tiers.retain.leased, leased);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(take, a_refill_never_holds_more_than_the_limit)
{
	size_t cost = 1024 + sizeof(tierpool_buf);
	unsigned cpu_count = tp_cpu_count();

	pin(0);
	/* limit 2: half of it, 1, comes along with the one that is taken. */
	idle_new(&f, 16 * cost * cpu_count, NULL, MANY, 1024);
	cr_assert_eq(f.tiers.tier[0].limit, 2);
	idle_keep_new(&f, 0, 9);
	for (unsigned i = 9; i--;) {
		unsigned cpu_id = idle_own_cpu(&f);

		cr_assert_not_null(idle_take(&f, 0));
		cr_assert_leq(idle_depth(&f, cpu_id, 0) + idle_room(&f, cpu_id, 0), 2);
		cr_assert_eq(tp_tiers_count(&f.tiers, 0), i);
		idle_assert_leases(&f);
	}
	idle_end(&f);
}

Test(take, from_256_KiB_up_a_buffer_is_taken_from_another_cpu)
{
	tierpool_buf *large, *small;
	unsigned cpu_id;

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 131072, 262144);
	/* Steals look at four CPUs behind the own one: nobody's is further away with up to five. */
	if (f.tiers.cpus.count > 5)
		skip("the two CPUs may lie too far apart");
	small = idle_keep_new(&f, 0, 1);
	large = idle_keep_new(&f, 1, 1);
	cpu_id = idle_own_cpu(&f);
	pin(1);
	cr_assert_eq(idle_take(&f, 1), large);
	cr_assert_eq(idle_room(&f, cpu_id, 1), 1, "its lease stays where it was taken");
	cr_assert_null(idle_take(&f, 0), "below, nobody looks");
	idle_assert_leases(&f);
	pin(0);
	cr_assert_eq(idle_take(&f, 0), small);
	idle_end(&f);
}

Test(take, a_larger_buffer_is_taken_only_when_aged)
{
	tierpool_buf *b;

	idle_new(&f, PLENTY, NULL, DEPOT_ONLY, 1024, 2048, 4096);
	b = idle_keep_new(&f, 1, 1);
	idle_keep_new(&f, 2, 1);
	cr_assert_null(idle_take(&f, 0), "fresh: its own tier may need it");
	tp_idle_tick(&f.tiers, true, &f.victims);
	idle_keep_new(&f, 1, 1);
	cr_assert_eq(idle_take(&f, 0), b, "the aged one of the two");
	cr_assert_eq(b->tp_tier, 1);
	cr_assert_null(idle_take(&f, 0), "the other is fresh, and two tiers up is too far");
	idle_assert_leases(&f);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 1);
	cr_assert_eq(tp_tiers_count(&f.tiers, 2), 1);
	idle_end(&f);
}
