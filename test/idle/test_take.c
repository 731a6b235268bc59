/* SPDX-License-Identifier: MIT */
/*
 * Where a take finds an idle item, and what comes along from a depot, with which leases. With which
 * ages: test_age.c.
 */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "cpus.h"
#include "idle/idle.h"
#include "idle_fixture.h"

static struct idle_fixture f; /* one a process, and each test is one */

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
	idle_keep_new(&f, 0, IDLE_SLOTS + IDLE_FLUSHED + 1);
	while (idle_depth(&f, idle_own_cpu(&f), 0))
		idle_take(&f, 0);
	tp_idle_room_drop(&f.tiers, 0, f.tiers.count, UINT_MAX);
	cr_assert_eq(idle_depot_count(&f, 0), 2 * IDLE_FLUSHED);
	leased = f.tiers.retain.leased;
	cr_assert_eq(leased, 2 * IDLE_FLUSHED * f.tiers.tier[0].cost);
	cr_assert_not_null(idle_take(&f, 0));
	cr_assert_eq(idle_depot_count(&f, 0), 32, "one for the taker and 31 for its stack");
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), 31);
	cr_assert_eq(idle_room(&f, idle_own_cpu(&f), 0), 1, "the taken one's lease is room now");
	cr_assert_eq(f.tiers.retain.leased, leased);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(take, on_a_cpu_that_only_takes_one_in_32_comes_from_the_depot_itself)
{
	unsigned slow = 0;
	size_t count;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_depot_new(&f, 0, TP_YOUNG, 320);
	for (unsigned n = 0; n < 320; n++) {
		count = idle_depot_count(&f, 0);
		cr_assert_not_null(idle_take(&f, 0));
		slow += idle_depot_count(&f, 0) != count;
	}
	cr_assert_eq(slow, 10);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(take, a_refill_never_holds_more_than_the_limit)
{
	size_t cost = 1024 + sizeof(tierpool_buf);
	unsigned cpu_count = tp_cpu_count();

	pin(0);
	/* limit 2: half of it, 1, comes along with the one that is taken. */
	idle_new(&f, 8 * cost * cpu_count, NULL, MANY, 1024);
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

/* Steals look at four CPUs, each time from the one behind the own one on. */
Test(take, from_256_KiB_up_and_of_a_cache_an_item_is_taken_from_another_cpu)
{
	for (unsigned cache = 0; cache < 2; cache++) {
		unsigned tier = !cache;

		if (cache)
			idle_new_cache(&f);
		else
			idle_new(&f, PLENTY, NULL, MANY, 131072, 262144);
		idle_others(&f, 5);
		for (unsigned i = 1; i <= 5; i++)
			idle_place(&f, i, tier, 2);
		for (unsigned i = 1; i <= 4; i++)
			for (unsigned n = 2; n--;) {
				tierpool_buf *top = f.buffer + 2 * (i - 1) + n;

				f.tiers.decay.last_stop_ms = 0; /* the CPU moves, by the last one */
				cr_assert_eq(idle_take(&f, tier), top);
				cr_assert_eq(idle_room(&f, f.own + i, tier), 2 - n,
					"its lease stays where it was taken");
			}
		cr_assert_null(idle_take(&f, tier), "the fifth one is too far");
		idle_assert_leases(&f);
		idle_end(&f);
	}
}

Test(take, below_256_KiB_nobody_looks_at_other_cpus)
{
	idle_new(&f, PLENTY, NULL, MANY, 131072);
	idle_others(&f, 1);
	idle_place(&f, 1, 0, 1);
	cr_assert_null(idle_take(&f, 0));
	idle_end(&f);
}

Test(take, a_cpu_at_work_is_stopped_for_one_once_a_millisecond_at_most)
{
	tierpool_buf *b;
	uint64_t now;

	idle_new(&f, PLENTY, NULL, MANY, 262144);
	idle_others(&f, 1);
	idle_place(&f, 1, 0, 1);
	now = tp_clock_ms();
	f.tiers.decay.last_stop_ms = now;
	b = idle_take(&f, 0);
	if (tp_clock_ms() == now)
		cr_assert_eq(!b, tp_cpu_rseq != 0, "in locked mode a stop costs nothing");
	cr_assert(b || idle_take(&f, 0), "it has not moved since");
	idle_end(&f);
}

Test(take, an_item_of_the_next_larger_tier_is_taken_only_if_it_is_old)
{
	tierpool_buf *b;

	idle_new(&f, PLENTY, NULL, DEPOT_ONLY, 1024, 2048, 4096);
	b = idle_keep_new(&f, 1, 1);
	idle_keep_new(&f, 2, 1);
	cr_assert_null(idle_take(&f, 0), "fresh: its own tier may need it");
	tp_idle_tick(&f.tiers);
	idle_keep_new(&f, 1, 1);
	cr_assert_eq(idle_take(&f, 0), b, "the aged one of the two");
	cr_assert_eq(b->tp_tier, 1);
	cr_assert_null(idle_take(&f, 0), "the other is fresh, and two tiers up is too far");
	idle_assert_leases(&f);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 1);
	cr_assert_eq(tp_tiers_count(&f.tiers, 2), 1);
	idle_end(&f);
}
