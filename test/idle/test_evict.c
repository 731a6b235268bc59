/* SPDX-License-Identifier: MIT */
/*
 * How idle items leave if something must go: which ones first, and how many at once.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "cpus.h"
#include "idle/idle.h"
#include "idle_fixture.h"
#include "syscall_filter.h"

static struct idle_fixture f; /* one a process, and each test is one */

/* One fresh and one old buffer of each of four tiers, in stacks or in depots. */
static void fill_four_tiers(size_t max_idle)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, max_idle, 1024, 2048, 4096, 8192);
	for (unsigned tier = 0; tier < 4; tier++)
		idle_keep_new(&f, tier, 1);
	tp_idle_tick(&f.tiers);
	for (unsigned tier = 0; tier < 4; tier++)
		idle_keep_new(&f, tier, 1);
	for (unsigned tier = 0; tier < 4; tier++)
		cr_assert_eq(idle_depot_count(&f, tier), max_idle == DEPOT_ONLY ? 2 : 0);
}

/* ---- one ---- */

/* Buffers 0 to 3 are the old ones of tiers 0 to 3, 4 to 7 the fresh ones. */
Test(evict, takes_old_ones_first_then_the_largest_from_depots_and_from_stacks)
{
	static const unsigned order[] = {3, 2, 7, 6};
	static const size_t max_idle[] = {DEPOT_ONLY, MANY};

	for (unsigned n = 0; n < 2; n++) {
		fill_four_tiers(max_idle[n]);
		for (unsigned i = 0; i < 4; i++) {
			cr_assert(tp_idle_evict(&f.tiers, 1));
			cr_assert(idle_all(&f, f.buffer + order[i], 1, false), "eviction %u", i);
			cr_assert_eq(idle_released(&f), 1);
			cr_assert_eq(f.why, TP_DROP_RETAIN);
		}
		cr_assert_not(tp_idle_evict(&f.tiers, 1), "none of the own or a smaller tier");
		cr_assert_not(tp_idle_evict(&f.tiers, 3));
		idle_assert_leases(&f);
		cr_assert_eq(tp_tiers_count(&f.tiers, 0) + tp_tiers_count(&f.tiers, 1), 4);
		idle_end(&f);
	}
}

/* The first look at a CPU finds that it has moved, the second one that it has not since. */
Test(evict, looks_at_one_other_cpu_in_each_call_until_each_had_its_turn)
{
	enum { OTHERS = 12 };
	unsigned calls, found = 0;

	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048, 4096);
	idle_others(&f, OTHERS);
	for (unsigned i = 1; i <= OTHERS; i++)
		idle_place(&f, i, 2, 1);
	for (calls = 0; calls < 2 * f.tiers.cpus.count; calls++) {
		uint64_t fences = f.tiers.cpus.fences;

		found += tp_idle_evict(&f.tiers, 1);
		cr_assert_leq(
			f.tiers.cpus.fences - fences, 2, "at each: for old ones, then for any");
	}
	cr_assert_eq(found, OTHERS);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(evict, stops_a_cpu_at_work_once_a_millisecond_at_most)
{
	uint64_t now;
	bool found;

	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	idle_others(&f, 1);
	idle_place(&f, 1, 1, 1);
	f.tiers.next_cpu = f.own + 1;
	now = tp_clock_ms();
	f.tiers.decay.last_stop_ms = now;
	found = tp_idle_evict(&f.tiers, 0);
	if (tp_clock_ms() == now)
		cr_assert_eq(found, !tp_cpu_rseq, "in locked mode a stop costs nothing");
	f.tiers.next_cpu = f.own + 1;
	cr_assert(found || tp_idle_evict(&f.tiers, 0), "it has not moved since");
	idle_end(&f);
}

Test(evict, nothing_goes_for_an_item_that_no_bound_can_hold)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048, 4096);
	idle_keep_new(&f, 2, 1);
	tp_budget_limit_set(&f.tiers.retain, 2048);
	cr_assert_not(tp_idle_evict(&f.tiers, 1));
	cr_assert(tp_idle_evict(&f.tiers, 0));
	idle_end(&f);
}

/* ---- many ---- */

static size_t trim(size_t excess)
{
	struct tp_released released;
	bool all;

	released = tp_idle_trim(&f.tiers, excess, &all);
	cr_assert(all);
	cr_assert_eq(idle_released(&f), released.count);
	cr_assert(!released.count || f.why == TP_DROP_TRIM);
	return released.count;
}

Test(evict, a_trim_takes_old_ones_first_then_the_largest_from_depots_and_from_stacks)
{
	static const size_t max_idle[] = {DEPOT_ONLY, MANY};

	for (unsigned n = 0; n < 2; n++) {
		size_t old_large, old = 0;

		fill_four_tiers(max_idle[n]);
		old_large = f.tiers.tier[3].cost;
		for (unsigned tier = 0; tier < 4; tier++)
			old += f.tiers.tier[tier].cost;
		cr_assert_eq(trim(0), 0);
		cr_assert_eq(trim(old_large), 1, "no more than is needed");
		cr_assert(idle_all(&f, f.buffer + 3, 1, false));
		cr_assert_eq(trim(old - old_large), 3);
		cr_assert(
			idle_all(&f, f.buffer, 4, false), "all old ones before any that is fresh");
		cr_assert_eq(trim(old_large + 1), 2, "at least as many bytes as asked for");
		cr_assert(idle_all(&f, f.buffer + 6, 2, false), "and the largest first");
		cr_assert_eq(trim(SIZE_MAX), 2);
		idle_assert_leases(&f);
		idle_end(&f);
	}
}

Test(evict, a_trim_says_what_it_released_and_gives_up_all_room)
{
	struct tp_released released;
	bool all;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	idle_keep_new(&f, 0, 20);
	idle_keep_new(&f, 1, 9);
	cr_assert_gt(f.tiers.retain.leased, tp_tiers_bytes(&f.tiers));
	released = tp_idle_trim(&f.tiers, 1, &all);
	cr_assert(released.count == 1 && released.bytes == f.tiers.tier[1].cost);
	idle_unlease(&f);
	cr_assert_eq(f.tiers.retain.leased, tp_tiers_bytes(&f.tiers));
	idle_end(&f);
}

Test(evict, a_trim_takes_a_few_hundred_at_a_time_so_that_no_get_waits_long_for_its_cpu)
{
	enum { KEPT = 3000, MOST = 256 };

	for (unsigned cache = 0; cache < 2; cache++) {
		size_t left = KEPT;

		pin(0);
		if (cache)
			idle_new_cache(&f);
		else
			idle_new(&f, PLENTY, NULL, MANY, 64, 128);
		idle_keep_new(&f, 0, KEPT / 2);
		idle_keep_new(&f, !cache, KEPT / 2);
		for (size_t taken; left; left -= taken) {
			taken = trim(SIZE_MAX);
			cr_assert_eq(taken, tp_min(left, MOST), "%zu of %zu", taken, left);
		}
		idle_assert_leases(&f);
		idle_end(&f);
	}
}

Test(evict, a_trim_reaches_cpus_at_work_with_one_fence_for_all)
{
	enum { OTHERS = 12 };

	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_others(&f, OTHERS);
	for (unsigned i = 1; i <= OTHERS; i++) {
		idle_place(&f, i, 0, 3);
		idle_work(&f, i, IDLE_BUSILY);
	}
	cr_assert_eq(trim(SIZE_MAX), 3 * OTHERS);
	cr_assert_eq(f.tiers.cpus.fences, tp_cpu_rseq != 0);
	idle_end(&f);
}

Test(evict, what_lies_on_a_cpu_out_of_reach_is_released_when_the_layer_is_the_callers_alone)
{
	bool all;

	if (!tp_cpu_rseq)
		skip("in locked mode no CPU is out of reach");
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	idle_others(&f, 3);
	idle_keep_new(&f, 0, 300);
	for (unsigned i = 1; i <= 3; i++)
		idle_place(&f, i, 0, 2);
	if (syscall_refuse(SYS_membarrier, UINT32_MAX, 128, EPERM) ||
		syscall_refuse(SYS_sched_setaffinity, 0, 0, EPERM))
		skip("the system takes no filter");
	tp_idle_trim(&f.tiers, 1, &all);
	cr_assert_not(all);
	tp_idle_close(&f.tiers);
	cr_assert_eq(idle_released(&f), 300);
	tp_idle_drain(&f.tiers);
	cr_assert_eq(idle_released(&f), 3 * 2);
	idle_end(&f);
}
