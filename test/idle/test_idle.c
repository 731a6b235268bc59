/* SPDX-License-Identifier: MIT */
/*
 * The idle layer by itself: where buffers lie, how room on the stacks grows, and that every lease
 * belongs to something. What ages, and what goes first: test_idle_decay.c.
 */
#include "idle_fixture.h"

#define PLENTY ((size_t)1 << 40)
#define MANY SIZE_MAX

static struct fixture f; /* one a process, and each test is one */

/* ---- where buffers lie ---- */

Test(idle, keep_goes_to_the_own_stack_and_take_finds_it_there)
{
	tierpool_buf *b;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024, 4096);
	b = keep_new(&f, 1, 1);
	cr_assert_eq(depth_on(&f, own_cpu(&f), 1), 1);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 1);
	cr_assert_eq(depot_count(&f, 1), 0);
	cr_assert_null(take(&f, 0));
	cr_assert_eq(take(&f, 1), b);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 0);
	cr_assert_eq(room_on(&f, own_cpu(&f), 1), 1, "its lease stays, as room for its return");
	assert_leases(&f);
	fixture_end(&f);
}

Test(idle, a_stack_gives_back_the_newest_first)
{
	tierpool_buf *b;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	b = keep_new(&f, 0, 20);
	for (unsigned i = 20; i--;)
		cr_assert_eq(take(&f, 0), b + i);
	cr_assert_null(take(&f, 0));
	fixture_end(&f);
}

Test(idle, a_bound_too_small_for_room_sends_buffers_to_the_depot)
{
	size_t cost = 1024 + sizeof(tierpool_buf);

	fixture_new(&f, 3 * cost, NULL, MANY, 1024);
	cr_assert_eq(f.tiers.tier[0].cost, cost);
	cr_assert_eq(f.tiers.tier[0].limit, 0);
	keep_new(&f, 0, 3);
	cr_assert_eq(depot_count(&f, 0), 3);
	cr_assert_eq(f.tiers.retain.leased, 3 * cost);
	cr_assert_eq(keep(&f, make(&f, 0)), TP_NO_BYTES);
	cr_assert_not_null(take(&f, 0));
	cr_assert_eq(f.tiers.retain.leased, 2 * cost, "where no room may be, the lease ends");
	assert_leases(&f);
	fixture_end(&f);
}

Test(idle, room_doubles_on_demand_up_to_the_limit)
{
	unsigned held = 0;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	cr_assert_eq(f.tiers.tier[0].limit, 64);
	for (unsigned depth = 1; depth <= 64; depth++) {
		if (depth > held)
			held = held ? 2 * held : 1;
		keep_new(&f, 0, 1);
		cr_assert_eq(depth_on(&f, own_cpu(&f), 0), depth);
		cr_assert_eq(room_on(&f, own_cpu(&f), 0), held - depth);
		assert_leases(&f);
	}
	cr_assert_eq(depot_count(&f, 0), 0);
	fixture_end(&f);
}

Test(idle, room_grows_by_one_where_the_bound_does_not_let_it_double)
{
	unsigned limit, more = 3;
	size_t cost;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	limit = f.tiers.tier[0].limit;
	cost = f.tiers.tier[0].cost;
	keep_new(&f, 0, limit / 2);
	tp_budget_limit_set(&f.tiers.retain, f.tiers.retain.leased + more * cost);
	for (; more; more--) {
		cr_assert_eq(room_on(&f, own_cpu(&f), 0), 0);
		keep_new(&f, 0, 1);
	}
	cr_assert_eq(keep(&f, make(&f, 0)), TP_NO_BYTES);
	assert_leases(&f);
	fixture_end(&f);
}

Test(idle, a_full_stack_sends_its_older_half_to_the_depot)
{
	tierpool_buf *b;
	size_t leased;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	b = keep_new(&f, 0, 64);
	leased = f.tiers.retain.leased;
	keep_new(&f, 0, 1);
	cr_assert_eq(depot_count(&f, 0), 32);
	cr_assert_eq(depth_on(&f, own_cpu(&f), 0), 33);
	cr_assert_eq(f.tiers.retain.leased, leased + 32 * f.tiers.tier[0].cost,
		"the flushed took their leases with them; the room they left was leased anew");
	assert_leases(&f);
	for (unsigned i = 65; i-- > 32;)
		cr_assert_eq(take(&f, 0), b + i, "the younger half stayed, in its order");
	cr_assert_eq(depot_count(&f, 0), 32);
	fixture_end(&f);
}

Test(idle, a_batch_comes_back_from_the_depot_with_its_leases)
{
	size_t leased;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	keep_new(&f, 0, 65);
	for (unsigned i = 0; i < 33; i++)
		take(&f, 0);
	tp_tiers_room_drop(&f.tiers, 0, f.tiers.sizes->count, UINT_MAX);
	cr_assert_eq(depot_count(&f, 0), 32);
	leased = f.tiers.retain.leased;
	cr_assert_eq(leased, 32 * f.tiers.tier[0].cost);
	cr_assert_not_null(take(&f, 0));
	cr_assert_eq(depot_count(&f, 0), 15, "one for the taker and 16 for its stack");
	cr_assert_eq(depth_on(&f, own_cpu(&f), 0), 16);
	cr_assert_eq(room_on(&f, own_cpu(&f), 0), 1, "the taken one's lease is room now");
	cr_assert_eq(f.tiers.retain.leased, leased);
	assert_leases(&f);
	fixture_end(&f);
}

Test(idle, a_refill_never_holds_more_than_the_limit)
{
	size_t cost = 1024 + sizeof(tierpool_buf);
	unsigned cpus = tp_cpu_count();

	pin(0);
	/* limit 2: half of it, 1, comes along with the one that is taken. */
	fixture_new(&f, 16 * cost * cpus, NULL, MANY, 1024);
	cr_assert_eq(f.tiers.tier[0].limit, 2);
	keep_new(&f, 0, 9);
	for (unsigned i = 9; i--;) {
		unsigned cpu_id = own_cpu(&f);

		cr_assert_not_null(take(&f, 0));
		cr_assert_leq(depth_on(&f, cpu_id, 0) + room_on(&f, cpu_id, 0), 2);
		cr_assert_eq(tp_tiers_count(&f.tiers, 0), i);
		assert_leases(&f);
	}
	fixture_end(&f);
}

/* ---- bounds ---- */

Test(idle, max_idle_is_reached_exactly_and_never_passed)
{
	static const size_t each[] = {1, 3, 7, 63, 64, 65, 100, 513, 1000};

	pin(0);
	for (unsigned i = 0; i < sizeof each / sizeof each[0]; i++) {
		fixture_new(&f, PLENTY, NULL, each[i], 1024, 2048);
		for (unsigned tier = 0; tier < 2; tier++) {
			keep_new(&f, tier, (unsigned)each[i]);
			cr_assert_eq(keep(&f, make(&f, tier)), TP_NO_COUNT);
			assert_leases(&f);
		}
		/* Room that borrowed ones left behind is given up for others. */
		for (unsigned n = 0; n < each[i]; n++)
			cr_assert_not_null(take(&f, 0));
		keep_new(&f, 0, (unsigned)each[i]);
		cr_assert_eq(keep(&f, make(&f, 0)), TP_NO_COUNT);
		fixture_end(&f);
	}
}

Test(idle, retain_is_reached_exactly_and_never_passed)
{
	static const size_t each[] = {1, 3, 7, 63, 64, 65, 100, 513, 1000};
	size_t cost = 1024 + sizeof(tierpool_buf);

	pin(0);
	for (unsigned i = 0; i < sizeof each / sizeof each[0]; i++) {
		fixture_new(&f, each[i] * cost + cost - 1, NULL, MANY, 1024, 4096);
		keep_new(&f, 0, (unsigned)each[i]);
		cr_assert_eq(keep(&f, make(&f, 0)), TP_NO_BYTES);
		cr_assert_eq(tp_tiers_bytes(&f.tiers), each[i] * cost);
		assert_leases(&f);
		/* Room that borrowed ones left behind is given up for another tier. */
		for (unsigned n = 0; n < each[i]; n++)
			cr_assert_not_null(take(&f, 0));
		keep_new(&f, 1, (unsigned)(f.tiers.retain.limit / f.tiers.tier[1].cost));
		assert_leases(&f);
		fixture_end(&f);
	}
}

/* ---- other CPUs ---- */

Test(idle, from_256_KiB_up_a_buffer_is_taken_from_another_cpu)
{
	tierpool_buf *large, *small;
	unsigned cpu_id;

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 131072, 262144);
	/* Steals look at four CPUs behind the own one: nobody's is further away with up to five. */
	if (f.tiers.cpus.count > 5)
		skip("the two CPUs may lie too far apart");
	small = keep_new(&f, 0, 1);
	large = keep_new(&f, 1, 1);
	cpu_id = own_cpu(&f);
	pin(1);
	cr_assert_eq(take(&f, 1), large);
	cr_assert_eq(room_on(&f, cpu_id, 1), 1, "its lease stays where it was taken");
	cr_assert_null(take(&f, 0), "below, nobody looks");
	assert_leases(&f);
	pin(0);
	cr_assert_eq(take(&f, 0), small);
	fixture_end(&f);
}

Test(idle, room_on_another_cpu_is_given_up_when_bytes_are_short)
{
	size_t cost = 1024 + sizeof(tierpool_buf);
	unsigned n = 8 * tp_cpu_count();

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	fixture_new(&f, n * cost, NULL, MANY, 1024);
	keep_new(&f, 0, 1);
	cr_assert_not_null(take(&f, 0));
	cr_assert_eq(room_on(&f, own_cpu(&f), 0), 1);
	pin(1);
	keep_new(&f, 0, n - 1);
	usleep(20000); /* other CPUs are asked once a millisecond of a coarse clock */
	cr_assert_eq(keep(&f, make(&f, 0)), TP_KEPT);
	assert_leases(&f);
	fixture_end(&f);
}

/* ---- whatever happens ---- */

Test(idle, after_close_nothing_is_kept_or_found)
{
	tierpool_buf *out[80];

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	keep_new(&f, 0, 70);
	take(&f, 0);
	keep_new(&f, 1, 1);
	tp_idle_close(&f.tiers, &f.victims);
	cr_assert_eq(victims_take(&f, out), 70);
	assert_leases(&f);
	unlease_all(&f);
	cr_assert_eq(f.tiers.retain.leased, 0, "room is given up, too");
	cr_assert_eq(keep(&f, out[0]), TP_CLOSED);
	cr_assert_eq(f.tiers.retain.leased, 0);
	cr_assert_null(take(&f, 0));
	cr_assert_null(evict(&f, 0));
	tp_idle_tick(&f.tiers, true, &f.victims);
	tp_idle_trim(&f.tiers, SIZE_MAX, &f.victims);
	cr_assert_eq(victims_take(&f, NULL), 0);
	fixture_end(&f);
}
