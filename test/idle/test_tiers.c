/* SPDX-License-Identifier: MIT */
/*
 * The tables of idle buffers: what the bounds let one CPU hold, what a fork makes of the leases,
 * and memory that fails. Which buffer goes where: test_idle.c.
 */
#include "base/colour.h"
#include "idle_fixture.h"

#include <errno.h>
#include <pthread.h>

#define PLENTY ((size_t)1 << 40)
#define MANY SIZE_MAX

static struct fixture f; /* one a process, and each test is one */
static char other_cpus[sizeof f.cpus] __attribute__((aligned(TP_LINE)));

struct limit_case {
	size_t each, slack; /* bound: so many a CPU, less so much */
	unsigned limit;
};

static const struct limit_case limit_cases[] = {{0, 0, 0}, {1, 0, 0}, {4, 1, 0}, {4, 0, 1},
	{15, 0, 1}, {16, 0, 2}, {32, 0, 4}, {32, 1, 3}, {512, 1, 63}, {512, 0, 64}, {9999, 0, 64}};

#define LIMIT_CASES (sizeof limit_cases / sizeof limit_cases[0])

Test(tiers, what_a_cpu_may_hold_follows_from_retain)
{
	size_t cost = 1024 + sizeof(tierpool_buf);

	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	for (size_t i = 0; i < LIMIT_CASES; i++) {
		const struct limit_case *c = &limit_cases[i];

		tp_tiers_retain_set(&f.tiers, c->each * cost * tp_cpu_count() - c->slack);
		cr_assert_eq(f.tiers.tier[0].limit, c->limit, "case %zu", i);
	}
	fixture_end(&f);
}

Test(tiers, what_a_cpu_may_hold_follows_from_max_idle)
{
	for (size_t i = 1; i < LIMIT_CASES; i++) {
		const struct limit_case *c = &limit_cases[i];

		fixture_new(&f, PLENTY, NULL, c->each * tp_cpu_count() - c->slack, 1024);
		cr_assert_eq(f.tiers.tier[0].limit, c->limit, "case %zu", i);
		fixture_end(&f);
	}
}

Test(tiers, what_a_cpu_may_hold_follows_from_the_shared_budget)
{
	size_t cost = 1024 + sizeof(tierpool_buf);

	for (size_t i = 0; i < LIMIT_CASES; i++) {
		const struct limit_case *c = &limit_cases[i];
		struct tp_budget shared;

		tp_budget_init(&shared, c->each * cost * tp_cpu_count() - c->slack);
		fixture_new(&f, PLENTY, &shared, MANY, 1024);
		cr_assert_eq(f.tiers.tier[0].limit, c->limit, "case %zu", i);
		fixture_end(&f);
	}
}

Test(tiers, stacks_have_fewer_slots_for_larger_tiers)
{
	static const unsigned slots[] = {64, 64, 64, 32, 16, 8, 8};

	fixture_new(&f, PLENTY, NULL, MANY, 64, 4096, 8192, 16384, 32768, 65536, 1 << 20);
	for (unsigned tier = 0; tier < 7; tier++) {
		cr_assert_eq(f.tiers.tier[tier].stack, slots[tier]);
		cr_assert_eq(f.tiers.tier[tier].limit, slots[tier]);
	}
	cr_assert_leq(f.tiers.slab_bytes, 5120);
	fixture_end(&f);
}

/* Stacks of 15 tiers beside what lies in these lines of the page. */
static void words_beside(uint64_t hot)
{
	struct tp_tiers tiers;
	struct tp_sizeclass sizes;
	uint64_t *slab;

	cr_assert_eq(tp_sizeclass_steps(&sizes, 64, 1 << 20, 1), 0);
	cr_assert_eq(tp_tiers_init(&tiers, other_cpus, &sizes, &f.backing, PLENTY, NULL, MANY,
			     UINT_MAX, hot),
		0);
	stay_on_this_cpu();
	tp_tiers_slab_create(&tiers);
	slab = tiers.cpus.cpu[tp_cpu_current(tiers.cpus.count)].slab;
	cr_assert_eq((uintptr_t)slab % TP_COLOUR_PAGE, 0);
	cr_assert_leq(tiers.slab_bytes, TP_SLAB_BYTES_MAX);
	for (unsigned tier = 0; tier < sizes.count && hot != UINT64_MAX; tier++) {
		uint64_t line = tp_colour((uintptr_t)&slab[tiers.stack_index[tier]]);

		cr_assert(!(line & hot), "tier %u", tier);
		cr_assert(!(line & tp_colour((uintptr_t)tiers.cpus.visible)), "tier %u", tier);
		cr_assert(line & tp_tiers_colours(&tiers, tier), "tier %u", tier);
	}
	tp_tiers_fini(&tiers);
}

Test(tiers, a_slab_begins_a_page_and_no_word_lies_in_a_line_that_others_need)
{
	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	for (unsigned line = 0; line < 64; line++)
		words_beside(UINT64_C(0xff) << line);
	words_beside(UINT64_C(0xaaaaaaaaaaaaaaaa));
	words_beside(UINT64_MAX); /* where there is no such place any will do */
	fixture_end(&f);
}

Test(tiers, memory_that_fails_leaves_nothing_behind)
{
	struct tp_tiers tiers;
	size_t blocks;

	fixture_new(&f, PLENTY, NULL, MANY, 1024);
	blocks = counting_backing_blocks(&f.counting);
	counting_backing_fail(&f.counting, 1, false);
	cr_assert_eq(tp_tiers_init(&tiers, other_cpus, &f.sizes, &f.backing, PLENTY, NULL, MANY,
			     UINT_MAX, 0),
		-ENOMEM);
	cr_assert_eq(counting_backing_blocks(&f.counting), blocks);
	/* Without a slab there is the depot. */
	counting_backing_fail(&f.counting, 1, true);
	keep_new(&f, 0, 3);
	cr_assert_eq(depot_count(&f, 0), 3);
	assert_leases(&f);
	fixture_end(&f);
}

Test(tiers, a_forked_child_leases_what_is_really_there)
{
	struct tp_budget shared;

	tp_budget_init(&shared, PLENTY);
	fixture_new(&f, PLENTY, &shared, MANY, 1024, 262144);
	keep_new(&f, 0, 100);
	keep_new(&f, 1, 3);
	for (unsigned i = 0; i < 9; i++)
		take(&f, 0);
	/* In the parent other threads were about to keep and to free some. */
	tp_tiers_lock(&f.tiers);
	cr_assert(tp_budget_lease(&f.tiers.retain, 5 * f.tiers.tier[1].cost));
	cr_assert(tp_budget_lease(&f.tiers.tier[1].many, 5));
	tp_budget_recount(&shared, 0);
	tp_tiers_recount(&f.tiers);
	tp_tiers_unlock(&f.tiers);
	assert_leases(&f);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), 91);
	keep_new(&f, 0, 9);
	assert_leases(&f);
	fixture_end(&f);
}

#define LESSEES 3
#define CHANGES 20000000

static bool stop;

static void *lease_and_release(void *unused)
{
	while (!tp_load_relaxed(&stop))
		if (tp_tiers_lease(&f.tiers, 0, 1) == TP_KEPT)
			tp_tiers_unlease(&f.tiers, 0, 1);
	return unused;
}

Test(tiers, the_peak_is_what_was_leased_though_the_bound_changes_meanwhile)
{
	pthread_t lessee[LESSEES];
	size_t cost;

	fixture_new(&f, MANY, NULL, MANY, 1024);
	cost = f.tiers.tier[0].cost;
	for (unsigned i = 0; i < LESSEES; i++)
		pthread_create(&lessee[i], NULL, lease_and_release, NULL);
	for (unsigned i = 0; i < CHANGES; i++)
		tp_budget_limit_set(&f.tiers.retain, i % 2 ? PLENTY : LESSEES * cost);
	tp_store_relaxed(&stop, true);
	for (unsigned i = 0; i < LESSEES; i++)
		pthread_join(lessee[i], NULL);
	assert_leases(&f);
	cr_assert_gt(f.tiers.retain.peak, 0);
	cr_assert_leq(
		f.tiers.retain.peak, LESSEES * cost, "%zu bytes", (size_t)f.tiers.retain.peak);
	fixture_end(&f);
}
