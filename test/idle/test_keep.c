/* SPDX-License-Identifier: MIT */
/*
 * Where an item that was put is kept, in which leases. Where a take finds it: test_take.c; the bounds
 * of one CPU: test_tiers.c.
 */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "cpus.h"
#include "idle/idle.h"
#include "idle_fixture.h"

static struct idle_fixture f; /* one a process, and each test is one */

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
	cr_assert_eq(f.tiers.tier[0].limit, IDLE_SLOTS);
	for (unsigned depth = 1; depth <= IDLE_SLOTS; depth++) {
		if (depth > held)
			held = held ? (unsigned)tp_min(2 * held, IDLE_SLOTS) : 1;
		idle_keep_new(&f, 0, 1);
		cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), depth);
		cr_assert_eq(idle_room(&f, idle_own_cpu(&f), 0), held - depth);
		idle_assert_leases(&f);
	}
	cr_assert_eq(idle_depot_count(&f, 0), 0);
	idle_end(&f);
}

Test(keep, room_grows_by_one_if_the_bound_does_not_let_it_double)
{
	unsigned limit, more = 3;
	size_t cost;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	limit = f.tiers.tier[0].limit;
	cost = f.tiers.tier[0].cost;
	idle_keep_new(&f, 0, (limit + 1) / 2);
	tp_budget_limit_set(&f.tiers.retain, f.tiers.retain.leased + more * cost);
	for (; more; more--) {
		cr_assert_eq(idle_room(&f, idle_own_cpu(&f), 0), 0);
		idle_keep_new(&f, 0, 1);
	}
	cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), TP_NO_BYTES);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(keep, a_full_stack_sends_its_younger_half_to_the_depot)
{
	unsigned left = IDLE_SLOTS - IDLE_FLUSHED;
	tierpool_buf *b;
	size_t leased;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	b = idle_keep_new(&f, 0, IDLE_SLOTS);
	leased = f.tiers.retain.leased;
	idle_keep_new(&f, 0, 1);
	cr_assert_eq(idle_depot_count(&f, 0), IDLE_FLUSHED);
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), left + 1);
	cr_assert_eq(f.tiers.retain.leased, leased + left * f.tiers.tier[0].cost,
		"the flushed took their leases with them; the room they left was leased anew");
	idle_assert_leases(&f);
	cr_assert_eq(idle_take(&f, 0), b + IDLE_SLOTS);
	for (unsigned i = left; i--;)
		cr_assert_eq(idle_take(&f, 0), b + i, "the older half stayed, in its order");
	cr_assert_eq(idle_depot_count(&f, 0), IDLE_FLUSHED);
	for (unsigned i = IDLE_SLOTS; i-- > left;)
		cr_assert_eq(idle_take(&f, 0), b + i, "and of the other the last one comes first");
	idle_end(&f);
}

Test(keep, a_full_stack_is_left_as_it_is_if_the_bound_has_no_place_for_one_more)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_keep_new(&f, 0, IDLE_SLOTS);
	tp_budget_limit_set(&f.tiers.retain, f.tiers.retain.leased);
	cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), TP_NO_BYTES);
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), IDLE_SLOTS);
	cr_assert_eq(idle_depot_count(&f, 0), 0);
	idle_assert_leases(&f);
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

Test(keep, room_on_the_own_cpu_is_given_up_at_once_in_each_tier_if_bytes_are_short)
{
	uint64_t now;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048, 4096);
	for (unsigned tier = 1; tier < 3; tier++) {
		idle_keep_new(&f, tier, 1);
		cr_assert_not_null(idle_take(&f, tier));
	}
	tp_budget_limit_set(&f.tiers.retain, f.tiers.retain.leased);
	now = tp_clock_ms();
	f.tiers.decay.last_stop_ms = now;
	idle_keep_new(&f, 0, 1);
	/* Within the millisecond: it was not as one of those that are stopped for it. */
	if (tp_clock_ms() == now)
		cr_assert_eq(f.tiers.retain.leased, f.tiers.tier[0].cost);
	idle_assert_leases(&f);
	idle_end(&f);
}

/* Leaves on each of n other CPUs room for one item of a tier, and no lease free. */
static void room_on_others(unsigned n, unsigned tier, size_t max_idle)
{
	size_t cost;

	idle_new(&f, PLENTY, NULL, max_idle, 1024, 4096);
	idle_others(&f, n);
	cost = f.tiers.tier[tier].cost;
	for (unsigned i = 1; i <= n; i++) {
		cr_assert_eq(tp_tiers_lease(&f.tiers, tier, 1), TP_KEPT);
		tp_stack_room_set(&f.tiers.cpus, idle_cpu(&f, i), tier, 1);
	}
	tp_budget_limit_set(&f.tiers.retain, n * cost);
}

static unsigned rooms_left(unsigned n, unsigned tier)
{
	unsigned left = 0;

	for (unsigned i = 1; i <= n; i++)
		left += idle_room(&f, f.own + i, tier);
	return left;
}

Test(keep, room_on_a_few_other_cpus_is_given_up_if_bytes_are_short_once_a_millisecond)
{
	enum { OTHERS = 20, FEW = 16 };
	enum tp_kept kept;
	uint64_t now;

	room_on_others(OTHERS, 1, MANY);
	now = tp_clock_ms();
	f.tiers.decay.last_stop_ms = now;
	kept = idle_keep(&f, idle_make(&f, 0));
	if (tp_clock_ms() == now)
		cr_assert(kept == TP_NO_BYTES && rooms_left(OTHERS, 1) == OTHERS);
	f.tiers.decay.last_stop_ms = 0;
	idle_keep_new(&f, 0, 1);
	cr_assert_eq(rooms_left(OTHERS, 1), OTHERS - FEW);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(keep, if_the_count_is_short_only_room_of_the_same_tier_is_given_up)
{
	enum { OTHERS = 3 };

	for (unsigned tier = 0; tier < 2; tier++) {
		room_on_others(OTHERS, tier, OTHERS);
		tp_budget_limit_set(&f.tiers.retain, PLENTY);
		for (unsigned n = 0; tier && n < OTHERS; n++)
			cr_assert_eq(tp_tiers_lease(&f.tiers, 0, 1), TP_KEPT);
		f.tiers.decay.last_stop_ms = 0;
		cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), tier ? TP_NO_COUNT : TP_KEPT);
		cr_assert_eq(rooms_left(OTHERS, tier), tier ? OTHERS : 0);
		if (tier)
			tp_tiers_unlease(&f.tiers, 0, OTHERS);
		idle_assert_leases(&f);
		idle_end(&f);
	}
}

Test(keep, an_item_that_no_bound_can_hold_costs_no_room_of_others)
{
	room_on_others(1, 0, MANY);
	f.tiers.decay.last_stop_ms = 0;
	cr_assert_eq(idle_keep(&f, idle_make(&f, 1)), TP_NO_BYTES);
	cr_assert_eq(rooms_left(1, 0), 1);
	idle_end(&f);
}

Test(keep, a_cache_keeps_any_number_without_leases)
{
	tierpool_buf *b;

	pin(0);
	idle_new_cache(&f);
	b = idle_keep_new(&f, 0, 3000);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), 3000);
	cr_assert_leq(idle_depth(&f, idle_own_cpu(&f), 0), TP_AGES_SLOTS);
	cr_assert_eq(f.tiers.retain.leased, 0);
	for (unsigned n = 3000; n--;)
		cr_assert_not_null(idle_take(&f, 0));
	cr_assert_null(idle_take(&f, 0));
	cr_assert(idle_all(&f, b, 3000, false));
	idle_end(&f);
}

Test(keep, a_stack_above_a_lowered_limit_takes_no_more)
{
	size_t cost;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_keep_new(&f, 0, IDLE_SLOTS);
	cost = f.tiers.tier[0].cost;
	tp_tiers_retain_set(&f.tiers, 32 * cost * f.tiers.cpus.count + IDLE_SLOTS * cost);
	cr_assert_lt(f.tiers.tier[0].limit, 32);
	for (unsigned n = 0; n < 10; n++)
		idle_keep_new(&f, 0, 1);
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), IDLE_SLOTS);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), IDLE_SLOTS + 10);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(keep, after_close_nothing_is_kept_or_found)
{
	for (unsigned cache = 0; cache < 2; cache++) {
		bool all;

		pin(0);
		if (cache)
			idle_new_cache(&f);
		else
			idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
		idle_keep_new(&f, 0, 70);
		idle_take(&f, 0);
		tp_idle_close(&f.tiers);
		cr_assert_eq(idle_released(&f), 69);
		cr_assert_eq(f.why, TP_DROP_DESTROY);
		idle_assert_leases(&f);
		idle_unlease(&f);
		cr_assert_eq(f.tiers.retain.leased, 0, "room is given up, too");
		cr_assert_eq(idle_keep(&f, f.buffer), IDLE_CLOSED);
		cr_assert_eq(idle_released(&f), 1, "with the lease that it had");
		idle_unlease(&f);
		cr_assert_eq(f.tiers.retain.leased, 0);
		cr_assert_null(idle_take(&f, 0));
		cr_assert_not(tp_idle_evict(&f.tiers, 0));
		tp_idle_tick(&f.tiers);
		tp_idle_trim(&f.tiers, SIZE_MAX, &all);
		cr_assert_eq(idle_released(&f), 0);
		idle_end(&f);
	}
}
