/* SPDX-License-Identifier: MIT */
/*
 * The idle layer by itself: what ages, what goes first, and its invariant after every one of many
 * random operations. Where buffers lie: test_idle.c.
 */
#include "idle_fixture.h"

#define PLENTY ((size_t)1 << 40)
#define MANY SIZE_MAX
#define DEPOT_ONLY 3 /* as max_idle: too few for room on the stack of even one CPU */

static struct fixture f, g; /* one a process, and each test is one */

static void tick(void)
{
	tp_idle_tick(&f.tiers, true, &f.victims);
}

static size_t victims(void)
{
	return victims_take(&f, NULL);
}

/* Whether all of n buffers are where the layer is, or all with us. */
static bool all_kept(const tierpool_buf *b, unsigned n, bool kept)
{
	for (unsigned i = 0; i < n; i++)
		if (f.kept[index_of(&f, b + i)] != kept)
			return false;
	return true;
}

/* ---- ticks ---- */

Test(idle, what_lay_untouched_for_two_ticks_is_gone_from_stack_and_depot)
{
	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	keep_new(&f, 0, 70);
	keep_new(&f, 1, 5);
	cr_assert_gt(depot_count(&f, 0), 0);
	cr_assert_gt(depth_on(&f, own_cpu(&f), 0), 0);
	tick();
	cr_assert_eq(victims(), 0, "one tick takes nothing");
	assert_leases(&f);
	tick();
	cr_assert_eq(victims(), 75);
	assert_leases(&f);
	cr_assert_eq(tp_tiers_bytes(&f.tiers), 0);
	fixture_end(&f);
}

Test(idle, what_is_touched_between_ticks_stays)
{
	tierpool_buf *b;
	size_t gone = 0;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	b = keep_new(&f, 0, 40);
	for (unsigned ticks = 0; ticks < 10; ticks++) {
		tierpool_buf *used[10];

		for (unsigned i = 0; i < 10; i++)
			used[i] = take(&f, 0);
		for (unsigned i = 0; i < 10; i++)
			cr_assert_eq(keep(&f, used[i]), TP_KEPT);
		tick();
		gone += victims();
		assert_leases(&f);
	}
	cr_assert_eq(gone, 30, "the thirty that lay below the working set");
	cr_assert(all_kept(b + 30, 10, true), "the working set of a stack is its top");
	fixture_end(&f);
}

Test(idle, a_depot_keeps_what_came_since_the_last_tick)
{
	tierpool_buf *older, *newer;

	fixture_new(&f, PLENTY, NULL, DEPOT_ONLY, 1024);
	older = keep_new(&f, 0, 1);
	tick();
	newer = keep_new(&f, 0, 2);
	tick();
	cr_assert_eq(victims(), 1);
	cr_assert(all_kept(older, 1, false));
	cr_assert(all_kept(newer, 2, true));
	tick();
	cr_assert_eq(victims(), 2);
	assert_leases(&f);
	fixture_end(&f);
}

Test(idle, a_buffer_keeps_its_age_on_the_way_from_depot_to_stack)
{
	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	keep_new(&f, 0, 65);
	for (unsigned i = 0; i < 33; i++)
		take(&f, 0);
	tick();
	cr_assert_eq(depot_count(&f, 0), 32);
	take(&f, 0); /* and sixteen others come along, untouched as yet */
	cr_assert_eq(depth_on(&f, own_cpu(&f), 0), 16);
	tick();
	cr_assert_eq(victims(), 31);
	fixture_end(&f);
}

Test(idle, a_buffer_keeps_its_age_on_the_way_from_stack_to_depot)
{
	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	keep_new(&f, 0, 64);
	tick();
	keep_new(&f, 0, 1);
	cr_assert_eq(depot_count(&f, 0), 32);
	tick();
	cr_assert_eq(victims(), 64);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), 1);
	fixture_end(&f);
}

Test(idle, a_tick_halves_unused_room)
{
	unsigned cpu;

	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	keep_new(&f, 0, 30);
	for (unsigned i = 0; i < 30; i++)
		take(&f, 0);
	cpu = own_cpu(&f);
	for (unsigned room = 32; room; room /= 2) {
		cr_assert_eq(room_on(&f, cpu, 0), room);
		cr_assert_eq(f.tiers.retain.leased, room * f.tiers.tier[0].cost);
		tick();
	}
	cr_assert_eq(f.tiers.retain.leased, 0);
	fixture_end(&f);
}

/* ---- one tier up ---- */

Test(idle, a_larger_buffer_is_taken_only_when_aged)
{
	tierpool_buf *b;

	fixture_new(&f, PLENTY, NULL, DEPOT_ONLY, 1024, 2048, 4096);
	b = keep_new(&f, 1, 1);
	keep_new(&f, 2, 1);
	cr_assert_null(take(&f, 0), "fresh: its own tier may need it");
	tick();
	keep_new(&f, 1, 1);
	cr_assert_eq(take(&f, 0), b, "the aged one of the two");
	cr_assert_eq(b->tp_tier, 1);
	cr_assert_null(take(&f, 0), "the other is fresh, and two tiers up is too far");
	assert_leases(&f);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 1);
	cr_assert_eq(tp_tiers_count(&f.tiers, 2), 1);
	fixture_end(&f);
}

/* ---- evict ---- */

/* One fresh and one aged buffer of each of four tiers, in stacks or in depots. */
static void fill_four_tiers(size_t max_idle)
{
	pin(0);
	fixture_new(&f, PLENTY, NULL, max_idle, 1024, 2048, 4096, 8192);
	for (unsigned tier = 0; tier < 4; tier++)
		keep_new(&f, tier, 1);
	tick();
	for (unsigned tier = 0; tier < 4; tier++)
		keep_new(&f, tier, 1);
}

/* Buffers 0 to 3 are the aged ones of tiers 0 to 3, 4 to 7 the fresh ones. */
static void evict_in_order(void)
{
	static const unsigned order[] = {3, 2, 7, 6};

	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(evict(&f, 1), &f.buffer[order[i]], "eviction %u", i);
	cr_assert_null(evict(&f, 1), "of the own and of smaller tiers none goes");
	cr_assert_null(evict(&f, 3));
	assert_leases(&f);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), 2);
	cr_assert_eq(tp_tiers_count(&f.tiers, 1), 2);
	fixture_end(&f);
}

Test(idle, eviction_takes_aged_ones_first_then_the_largest_from_depots)
{
	fill_four_tiers(DEPOT_ONLY);
	evict_in_order();
}

Test(idle, eviction_takes_aged_ones_first_then_the_largest_from_stacks)
{
	fill_four_tiers(MANY);
	for (unsigned tier = 0; tier < 4; tier++)
		cr_assert_eq(depth_on(&f, own_cpu(&f), tier), 2);
	evict_in_order();
}

Test(idle, eviction_finds_what_lies_on_another_cpu)
{
	tierpool_buf *b;

	if (!pin(1))
		skip("needs two CPUs");
	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	b = keep_new(&f, 1, 1);
	pin(1);
	cr_assert_eq(evict(&f, 0), b);
	assert_leases(&f);
	fixture_end(&f);
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
	cr_assert_eq(victims(), 2, "at least so many bytes");
	cr_assert(all_kept(f.buffer + 6, 2, false), "and the largest first");
	tp_idle_trim(&f.tiers, SIZE_MAX, &f.victims);
	cr_assert_eq(victims(), 2);
	assert_leases(&f);
	fixture_end(&f);
}

Test(idle, strip_takes_aged_ones_first_then_the_largest_from_depots)
{
	fill_four_tiers(DEPOT_ONLY);
	strip_in_order();
}

Test(idle, strip_takes_aged_ones_first_then_the_largest_from_stacks)
{
	fill_four_tiers(MANY);
	strip_in_order();
}

Test(idle, strip_takes_some_thousand_at_a_time_so_that_nobody_waits_for_long)
{
	enum { KEPT = 3000, MOST = 1024 };
	size_t left = KEPT;

	fixture_new(&f, PLENTY, NULL, MANY, 64, 128);
	keep_new(&f, 0, KEPT / 2);
	keep_new(&f, 1, KEPT / 2);
	for (size_t taken; left; left -= taken) {
		tp_idle_trim(&f.tiers, SIZE_MAX, &f.victims);
		taken = victims();
		cr_assert_eq(taken, tp_min(left, MOST), "%zu of %zu", taken, left);
	}
	assert_leases(&f);
	fixture_end(&f);
}

Test(idle, dropping_room_leaves_leases_of_what_is_there)
{
	pin(0);
	fixture_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	keep_new(&f, 0, 100);
	keep_new(&f, 1, 3);
	for (unsigned i = 0; i < 20; i++)
		take(&f, 0);
	cr_assert_gt(f.tiers.retain.leased, tp_tiers_bytes(&f.tiers));
	tp_tiers_room_drop(&f.tiers, 0, f.tiers.sizes->count, UINT_MAX);
	cr_assert_eq(f.tiers.retain.leased, tp_tiers_bytes(&f.tiers));
	assert_leases(&f);
	fixture_end(&f);
}

/* ---- random operations ---- */

#define TOKENS 256
#define TIERS 5
#define ROUNDS 24
#define OPERATIONS 15000

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 32) % n;
}

static void keep_any(struct fixture *x)
{
	tierpool_buf *b = &x->buffer[random_below(TOKENS)];

	if (x->kept[index_of(x, b)])
		return;
	b->tp_tier = (uint8_t)random_below(TIERS);
	keep(x, b);
}

/* A take that finds nothing has looked everywhere that it has to. */
static void take_any(struct fixture *x)
{
	unsigned tier = random_below(TIERS), cpu = own_cpu(x);
	tierpool_buf *b = take(x, tier);

	if (b) {
		cr_assert(b->tp_tier == tier || b->tp_tier == tier + 1);
	} else {
		cr_assert_eq(depot_count(x, tier), 0);
		cr_assert_eq(depth_on(x, cpu, tier), 0);
	}
}

static void evict_any(struct fixture *x)
{
	unsigned tier = random_below(TIERS);

	if (evict(x, tier))
		return;
	while (++tier < TIERS)
		cr_assert_eq(tp_tiers_count(&x->tiers, tier), 0);
}

static void strip_any(struct fixture *x, size_t excess)
{
	size_t before = tp_tiers_bytes(&x->tiers), after;

	tp_idle_trim(&x->tiers, excess, &x->victims);
	after = tp_tiers_bytes(&x->tiers);
	cr_assert(after == 0 || before - after >= excess);
}

/* As the pool does it. */
static void retain_any(struct fixture *x)
{
	size_t bytes = (size_t)random_below(4 << 20) + 1;

	tp_tiers_retain_set(&x->tiers, bytes);
	victims_take(x, NULL);
	unlease_all(x);
	if (x->tiers.retain.leased > bytes)
		tp_tiers_room_drop(&x->tiers, 0, x->tiers.sizes->count, UINT_MAX);
	if (x->tiers.retain.leased > bytes)
		strip_any(x, x->tiers.retain.leased - bytes);
	victims_take(x, NULL);
	unlease_all(x);
}

static void operate(struct fixture *x)
{
	unsigned what = random_below(256);

	if (what < 120)
		keep_any(x);
	else if (what < 220)
		take_any(x);
	else if (what < 232)
		evict_any(x);
	else if (what < 236)
		strip_any(x, random_below(65536));
	else if (what < 240)
		tp_idle_tick(&x->tiers, true, &x->victims);
	else if (what < 242)
		tp_tiers_room_drop(&x->tiers, 0, x->tiers.sizes->count, UINT_MAX);
	else if (what < 244)
		retain_any(x);
	else if (what < 246)
		pin(random_below(2));
	else
		unlease_all(x);
	victims_take(x, NULL);
}

static void new_random(struct fixture *x, struct tp_budget *shared)
{
	size_t max_idle = random_below(2) ? MANY : random_below(64 * tp_cpu_count()) + 1;

	fixture_new(x, random_below(4 << 20) + 1, shared, max_idle, 64, 1024, 4096, 65536, 262144);
	for (unsigned i = 0; i < TOKENS; i++)
		make(x, 0);
}

Test(idle, every_lease_belongs_to_something_after_each_random_operation)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct tp_budget shared;

		tp_budget_init(&shared, (size_t)3 << 20);
		random_state = 0x9e3779b97f4a7c15 * (round + 1);
		new_random(&f, &shared);
		new_random(&g, &shared);
		for (unsigned i = 0; i < OPERATIONS; i++) {
			const char *fault;

			operate(random_below(2) ? &f : &g);
			fault = lease_fault(&f, g.tiers.retain.leased);
			if (!fault)
				fault = lease_fault(&g, f.tiers.retain.leased);
			if (!fault && (f.tiers.retain.leased > f.tiers.retain.limit ||
					      g.tiers.retain.leased > g.tiers.retain.limit ||
					      shared.leased > shared.limit))
				fault = "more is leased than the bound allows";
			if (fault)
				cr_assert_fail("round %u, operation %u: %s", round, i, fault);
		}
		f.tiers.shared = NULL; /* fixture_end looks at each by itself */
		g.tiers.shared = NULL;
		fixture_end(&f);
		fixture_end(&g);
	}
}
