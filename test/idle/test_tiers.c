/* SPDX-License-Identifier: MIT */
/*
 * The tables of idle buffers: what the bounds let one CPU hold, what a fork makes of the leases,
 * memory that fails, and the invariant of leases after each of many random operations. Which buffer
 * goes where: test_keep.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "base/colour.h"
#include "cpus.h"
#include "idle/idle.h"
#include "idle_fixture.h"
#include "mappings.h"
#include "memory/pages.h"
#include "random.h"

static struct idle_fixture f, g; /* one a process, and each test is one */
static char other_cpus[sizeof f.cpus] __attribute__((aligned(TP_LINE)));

struct limit_case {
	size_t each, slack; /* bound: each buffers a CPU, minus slack */
	unsigned limit;
};

static const struct limit_case limit_cases[] = {{0, 0, 0}, {1, 0, 0}, {4, 1, 0}, {4, 0, 1},
	{7, 0, 1}, {8, 0, 2}, {16, 0, 4}, {16, 1, 3}, {252, 1, 62}, {252, 0, 63}, {9999, 0, 63}};

#define LIMIT_CASES (sizeof limit_cases / sizeof limit_cases[0])

Test(tiers, what_a_cpu_may_hold_follows_from_the_smallest_bound)
{
	size_t cost = 1024 + sizeof(tierpool_buf);

	idle_new(&f, PLENTY, NULL, MANY, 1024);
	for (size_t i = 0; i < LIMIT_CASES; i++) {
		const struct limit_case *c = &limit_cases[i];
		size_t count = c->each * tp_cpu_count() - c->slack;
		size_t bytes = c->each * cost * tp_cpu_count() - c->slack;
		struct tp_budget shared;

		tp_tiers_retain_set(&f.tiers, bytes);
		cr_assert_eq(f.tiers.tier[0].limit, c->limit, "case %zu of retain", i);
		tp_budget_init(&shared, bytes);
		idle_new(&g, PLENTY, &shared, MANY, 1024);
		cr_assert_eq(g.tiers.tier[0].limit, c->limit, "case %zu of the shared budget", i);
		idle_end(&g);
		if (!c->each)
			continue; /* as max_idle, 0 is none */
		idle_new(&g, PLENTY, NULL, count, 1024);
		cr_assert_eq(g.tiers.tier[0].limit, c->limit, "case %zu of max_idle", i);
		idle_end(&g);
	}
	idle_end(&f);
}

Test(tiers, stacks_have_fewer_slots_for_larger_tiers)
{
	static const unsigned slots[] = {63, 63, 63, 31, 31, 15, 7};

	idle_new(&f, PLENTY, NULL, MANY, 64, 4096, 8192, 16384, 32768, 65536, 1 << 20);
	for (unsigned tier = 0; tier < 7; tier++) {
		cr_assert_eq(f.tiers.tier[tier].slots, slots[tier]);
		cr_assert_eq(f.tiers.tier[tier].limit, slots[tier]);
	}
	cr_assert_eq(f.tiers.slab_bytes, tp_max(tp_pages_size, 4096));
	idle_end(&f);
}

/* The tables of a pool, or of a cache if there are no blocks, beside those of f. */
static int tiers_make(struct tp_tiers *tiers, const struct tp_blocks *blocks, uint64_t hot)
{
	return tp_tiers_init(tiers, other_cpus,
		&(struct tp_tiers_options){.backing = &f.backing,
			.blocks = blocks,
			.retain = PLENTY,
			.max_idle = MANY,
			.decay_ms = UINT_MAX,
			.hot = hot});
}

/* Stacks of these tiers, if something else lies in the hot lines of the page. */
static void words_avoid(const struct tp_blocks *blocks, uint64_t hot)
{
	struct tp_tiers tiers;
	uint64_t *slab;

	cr_assert_eq(tiers_make(&tiers, blocks, hot), 0);
	stay_on_this_cpu();
	tp_tiers_slab_create(&tiers);
	slab = tiers.cpus.cpu[tp_cpu_current(tiers.cpus.count)].slab;
	cr_assert_eq((uintptr_t)slab % TP_COLOUR_PAGE, 0);
	cr_assert_leq(tiers.slab_bytes, TP_SLAB_BYTES_MAX);
	for (unsigned tier = 0; tier < tiers.count && hot != UINT64_MAX; tier++) {
		uint64_t line = tp_colour((uintptr_t)&slab[tiers.stack_index[tier]]);

		cr_assert(!(line & hot), "tier %u", tier);
		cr_assert(!(line & tp_colour((uintptr_t)tiers.cpus.visible)), "tier %u", tier);
		cr_assert(line & tiers.tier[tier].colours, "tier %u", tier);
	}
	tp_tiers_fini(&tiers);
}

Test(tiers, a_slab_begins_a_page_and_no_word_lies_in_a_line_that_others_need)
{
	static size_t size[TP_TIERS_MAX];
	struct tp_sizeclass steps = {.size = size};
	struct tp_blocks of_steps;

	idle_new(&f, PLENTY, NULL, MANY, 1024);
	cr_assert_eq(tp_sizeclass_steps(&steps, 64, 1 << 24, 1), 0);
	tp_blocks_init(&of_steps, NULL, &f.backing, steps.size, steps.count, TP_LINE);
	for (unsigned cache = 0; cache < 2; cache++) {
		const struct tp_blocks *blocks = cache ? NULL : &of_steps;

		for (unsigned line = 0; line < 64; line++)
			words_avoid(blocks, UINT64_C(0xff) << line);
		words_avoid(blocks, UINT64_C(0xaaaaaaaaaaaaaaaa));
		words_avoid(blocks, UINT64_MAX); /* there is no such place, so any will do */
	}
	idle_end(&f);
}

Test(tiers, memory_that_fails_leaves_nothing_behind)
{
	struct tp_tiers tiers;
	size_t blocks;

	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024);
	blocks = counting_backing_blocks(&f.counting);
	counting_backing_fail(&f.counting, 1, false);
	cr_assert_eq(tiers_make(&tiers, &f.blocks, 0), -ENOMEM);
	cr_assert_eq(counting_backing_blocks(&f.counting), blocks);
	/* Without a slab there is the depot; without an array for that the item is released. */
	counting_backing_fail(&f.counting, 1, true);
	map_fails = (struct failing){1, true};
	cr_assert_eq(idle_keep(&f, idle_make(&f, 0)), IDLE_CLOSED);
	cr_assert_eq(idle_released(&f), 1);
	cr_assert_eq(f.why, TP_DROP_RETAIN);
	counting_backing_fail(&f.counting, 0, false);
	map_fails = (struct failing){1, false};
	idle_keep_new(&f, 0, 3);
	cr_assert_eq(idle_depot_count(&f, 0), 1);
	cr_assert_eq(idle_depth(&f, idle_own_cpu(&f), 0), 2);
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(tiers, a_forked_child_leases_what_is_really_there)
{
	struct tp_budget shared;

	tp_budget_init(&shared, PLENTY);
	idle_new(&f, PLENTY, &shared, MANY, 1024, 262144);
	idle_keep_new(&f, 0, 100);
	idle_keep_new(&f, 1, 3);
	for (unsigned i = 0; i < 9; i++)
		idle_take(&f, 0);
	/* In the parent other threads were about to keep and to free some. */
	tp_tiers_lock(&f.tiers);
	cr_assert(tp_budget_lease(&f.tiers.retain, 5 * f.tiers.tier[1].cost));
	cr_assert(tp_budget_lease(&f.tiers.tier[1].many, 5));
	tp_budget_recount(&shared, 0);
	tp_tiers_recount(&f.tiers);
	tp_tiers_unlock(&f.tiers);
	idle_assert_leases(&f);
	cr_assert_eq(tp_tiers_count(&f.tiers, 0), 91);
	idle_keep_new(&f, 0, 9);
	idle_assert_leases(&f);
	idle_end(&f);
}

#define LESSEES 3
#define CHANGES 4000000

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

	idle_new(&f, MANY, NULL, MANY, 1024);
	cost = f.tiers.tier[0].cost;
	for (unsigned i = 0; i < LESSEES; i++)
		pthread_create(&lessee[i], NULL, lease_and_release, NULL);
	for (unsigned i = 0; i < CHANGES; i++)
		tp_budget_limit_set(&f.tiers.retain, i % 2 ? PLENTY : LESSEES * cost);
	tp_store_relaxed(&stop, true);
	for (unsigned i = 0; i < LESSEES; i++)
		pthread_join(lessee[i], NULL);
	idle_assert_leases(&f);
	cr_assert_gt(f.tiers.retain.peak, 0);
	cr_assert_leq(
		f.tiers.retain.peak, LESSEES * cost, "%zu bytes", (size_t)f.tiers.retain.peak);
	idle_end(&f);
}

Test(tiers, dropping_room_leaves_leases_of_what_is_there)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	idle_keep_new(&f, 0, 100);
	idle_keep_new(&f, 1, 3);
	for (unsigned i = 0; i < 20; i++)
		idle_take(&f, 0);
	cr_assert_gt(f.tiers.retain.leased, tp_tiers_bytes(&f.tiers));
	tp_idle_room_drop(&f.tiers, 0, f.tiers.count, UINT_MAX);
	cr_assert_eq(f.tiers.retain.leased, tp_tiers_bytes(&f.tiers));
	idle_assert_leases(&f);
	idle_end(&f);
}

Test(tiers, the_slab_of_a_cpu_that_holds_nothing_is_given_back_and_its_counts_stay)
{
	pin(0);
	idle_new(&f, PLENTY, NULL, MANY, 1024, 2048);
	cr_assert_eq(f.tiers.slabs_spent, 0);
	for (unsigned round = 0; round < 3; round++) {
		struct tp_stack_counts before, after;

		idle_keep_new(&f, 1, 2);
		idle_keep_new(&f, 0, 3);
		idle_take(&f, 0);
		cr_assert_eq(f.tiers.slabs_spent, f.tiers.slab_bytes);
		before = tp_stack_count(&f.tiers.cpus, 0);
		for (unsigned ticks = 0; f.tiers.slabs_spent; ticks++) {
			cr_assert_lt(ticks, 4u, "two ticks, and the halves of the room");
			tp_idle_tick(&f.tiers);
		}
		after = tp_stack_count(&f.tiers.cpus, 0);
		cr_assert_eq(after.pops, before.pops);
		cr_assert_eq(after.pushes, before.pushes);
		cr_assert_eq(tp_tiers_word(&f.tiers, idle_own_cpu(&f), 0), 0, "it reads as 0");
		idle_assert_leases(&f);
	}
	idle_end(&f);
}

/* ---- random operations ---- */

#define TOKENS 256
#define TIERS 5
#define ROUNDS 24
#define OPERATIONS 15000

/* Two pools on one budget, and a cache. */
static struct idle_fixture c;
static struct idle_fixture *const layers[] = {&f, &g, &c};
static bool whole_ticks; /* no tick is done in pieces */

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
	return (unsigned)(next_random(&random_state) % n);
}

static void keep_any(struct idle_fixture *x)
{
	tierpool_buf *b = &x->buffer[random_below(TOKENS)];

	if (x->kept[idle_index(x, b)])
		return;
	b->tp_tier = (uint8_t)random_below(x->tiers.count);
	idle_keep(x, b);
}

/* A take that finds nothing has looked everywhere that it has to. */
static void take_any(struct idle_fixture *x)
{
	unsigned tier = random_below(x->tiers.count), cpu_id = idle_own_cpu(x);
	tierpool_buf *b = idle_take(x, tier);

	if (b) {
		cr_assert(b->tp_tier == tier || b->tp_tier == tier + 1);
	} else {
		cr_assert_eq(idle_depot_count(x, tier), 0);
		cr_assert_eq(idle_depth(x, cpu_id, tier), 0);
	}
}

/* One that finds nothing leaves nothing that is larger, but on other CPUs. */
static void evict_any(struct idle_fixture *x)
{
	unsigned tier = random_below(x->tiers.count), cpu_id = idle_own_cpu(x);

	if (tp_idle_evict(&x->tiers, tier) || !tp_tiers_may_fit(&x->tiers, tier))
		return;
	while (++tier < x->tiers.count)
		cr_assert_eq(idle_depot_count(x, tier) + idle_depth(x, cpu_id, tier), 0);
}

static void trim_any(struct idle_fixture *x, size_t excess)
{
	size_t before = tp_tiers_bytes(&x->tiers);
	struct tp_released released;
	bool all;

	released = tp_idle_trim(&x->tiers, excess, &all);
	cr_assert_eq(before - released.bytes, tp_tiers_bytes(&x->tiers));
	cr_assert(before == released.bytes || released.bytes >= excess);
}

/* As the pool does it. */
static void retain_any(struct idle_fixture *x)
{
	size_t bytes = x == &c ? SIZE_MAX : (size_t)random_below(4 << 20) + 1;

	tp_tiers_retain_set(&x->tiers, bytes);
	idle_unlease(x);
	if (x->tiers.retain.leased > bytes)
		tp_idle_room_drop(&x->tiers, 0, x->tiers.count, UINT_MAX);
	if (x->tiers.retain.leased > bytes)
		trim_any(x, x->tiers.retain.leased - bytes);
	idle_unlease(x);
}

/* After a whole one exactly what lay idle through two of them has gone. */
static void tick_any(struct idle_fixture *x)
{
	if (!whole_ticks && random_below(2)) {
		tp_idle_tick_begin(&x->tiers);
		return;
	}
	tp_idle_tick(&x->tiers);
	for (unsigned i = 0; whole_ticks && i < x->made; i++)
		cr_assert(!x->kept[i] || x->kept_at[i] + 2 > x->tiers.decay.ticks,
			"idle since tick %u, and this is tick %u", (unsigned)x->kept_at[i],
			(unsigned)x->tiers.decay.ticks);
}

static void operate(struct idle_fixture *x)
{
	unsigned what = random_below(256);

	if (what < 120)
		keep_any(x);
	else if (what < 215)
		take_any(x);
	else if (what < 220)
		tp_idle_maintain(&x->tiers);
	else if (what < 232)
		evict_any(x);
	else if (what < 236)
		trim_any(x, random_below(65536));
	else if (what < 240)
		tick_any(x);
	else if (what < 242)
		tp_idle_room_drop(&x->tiers, 0, x->tiers.count, UINT_MAX);
	else if (what < 244)
		retain_any(x);
	else if (what < 246)
		pin(random_below(2));
	else
		idle_unlease(x);
}

static void new_random(struct idle_fixture *x, struct tp_budget *shared)
{
	size_t max_idle = random_below(2) ? MANY : random_below(64 * tp_cpu_count()) + 1;

	if (x == &c)
		idle_new_cache(x);
	else
		idle_new(x, random_below(4 << 20) + 1, shared, max_idle, 64, 1024, 4096, 65536,
			262144);
	for (unsigned i = 0; i < TOKENS; i++)
		idle_make(x, 0);
}

static const char *random_fault(struct tp_budget *shared)
{
	for (unsigned i = 0; i < 3; i++) {
		struct tp_tiers *tiers = &layers[i]->tiers;
		const char *fault = idle_lease_fault(layers[i], layers[!i]->tiers.retain.leased);

		if (fault)
			return fault;
		if (tiers->retain.leased > tiers->retain.limit)
			return "more is leased than retain";
	}
	return shared->leased > shared->limit ? "more is leased than the shared budget has" : NULL;
}

Test(tiers, every_lease_belongs_to_something_after_each_random_operation)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct tp_budget shared;

		tp_budget_init(&shared, (size_t)3 << 20);
		random_state = 0x9e3779b97f4a7c15 * (round + 1);
		whole_ticks = round % 2;
		for (unsigned i = 0; i < 3; i++)
			new_random(layers[i], &shared);
		for (unsigned i = 0; i < OPERATIONS; i++) {
			const char *fault;

			operate(layers[random_below(3)]);
			fault = random_fault(&shared);
			if (fault)
				cr_assert_fail("round %u, operation %u: %s", round, i, fault);
		}
		for (unsigned i = 0; i < 3; i++) {
			layers[i]->tiers.shared = NULL; /* each by itself at its end */
			idle_end(layers[i]);
		}
	}
}
