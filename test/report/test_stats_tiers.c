/* SPDX-License-Identifier: MIT */
/*
 * Statistics by tier: what is counted of each tier is compared with what the test has done there.
 */
#include "pool_checks.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "pool/pool.h"
#include "tier_checks.h"

static struct tierpool_tier_stats one_tier(tierpool *pool, size_t size)
{
	struct tierpool_tier_stats all[TIERS];

	tiers_of(pool, all);
	return all[tier_of(pool, size)];
}

/* ---- the call ---- */

Test(stats_tiers, what_cannot_be_filled_is_refused_and_a_smaller_element_is_cut_off)
{
	enum { CUT = 3 * sizeof(uint64_t) }; /* block_size, cost, gets */
	struct tierpool_tier_stats whole[TIERS], canary[2] = {{.gets = 77}, {.gets = 77}};
	tierpool *pool = pool_new(.max_size = 4 * KIB);
	char cut[TIERS * CUT + 1];
	unsigned count;

	cr_assert_eq(tierpool_stats_tiers(NULL, canary, 1, sizeof *canary), -EINVAL);
	cr_assert_eq(tierpool_stats_tiers(pool, NULL, 1, sizeof *canary), -EINVAL);
	cr_assert_eq(tierpool_stats_tiers(pool, canary, 1, sizeof *canary + 8), -EINVAL);
	cr_assert_eq(tierpool_stats_tiers(pool, canary, 1, SIZE_MAX - 7), -EINVAL);
	for (size_t stride = 1; stride < 2 * sizeof(uint64_t); stride++)
		if (stride % sizeof(uint64_t))
			cr_assert_eq(tierpool_stats_tiers(pool, canary, 1, stride), -EINVAL);
	cr_assert_eq(canary[0].gets, 77, "nothing was written");
	cycle(pool, 100, 3);
	count = tiers_of(pool, whole);
	cr_assert_eq(count, 7, "64 to 4,096");
	cr_assert_eq(tierpool_stats_tiers(pool, NULL, 0, sizeof *whole), 7, "it may ask first");
	cr_assert_eq(tierpool_stats_tiers(pool, canary, 1, sizeof *canary), 7);
	cr_assert_eq(canary[0].block_size, 64);
	cr_assert_eq(canary[1].gets, 77, "no more than n");
	memset(cut, 0x5a, sizeof cut);
	cr_assert_eq(tierpool_stats_tiers(pool, (void *)cut, TIERS, CUT), 7);
	for (unsigned tier = 0; tier < count; tier++)
		cr_assert_eq(memcmp(cut + tier * CUT, &whole[tier], CUT), 0, "tier %u", tier);
	cr_assert_eq(cut[count * CUT], 0x5a, "and no more tiers than there are");
	tierpool_destroy(pool);
	cr_assert_eq(tierpool_stats_tiers(pool, canary, 1, sizeof *canary), -ENOENT);
}

Test(stats_tiers, a_pool_that_was_never_used_has_counted_nothing)
{
	struct tierpool_tier_stats t[TIERS];
	tierpool *pool = pool_new(.name = "new");
	unsigned count = tiers_at_rest(pool, t);

	for (unsigned tier = 0; tier < count; tier++) {
		cr_assert_eq(t[tier].cost, tp_blocks_cost(&pool->blocks, tier) + HEADER);
		t[tier].block_size = t[tier].cost = 0;
		cr_assert(!memcmp(&t[tier], &(struct tierpool_tier_stats){0}, sizeof *t));
	}
	cr_assert_eq(stats_of(pool).gets, 0);
	tierpool_destroy(pool);
}

/* ---- what they say ---- */

Test(stats_tiers, each_of_72_tiers_counts_its_own)
{
	size_t sizes[72];
	struct tierpool_tier_stats t[TIERS];
	tierpool *pool;

	stay_on_this_cpu();
	for (unsigned i = 0; i < 72; i++)
		sizes[i] = 64 + 64 * i;
	pool = pool_new(.tiers = sizes, .tier_count = 72,
		.calibrate_every = TIERPOOL_CALIBRATE_OFF);
	for (unsigned i = 0; i < 72; i++)
		for (unsigned n = 0; n <= i; n++)
			cycle(pool, sizes[i], 1);
	cr_assert_eq(tiers_at_rest(pool, t), 72);
	for (unsigned i = 0; i < 72; i++) {
		cr_assert(t[i].gets == i + 1 && t[i].puts == i + 1, "tier %u: %zu gets", i,
			(size_t)t[i].gets);
		cr_assert(t[i].hits_cpu == i && t[i].allocs == 1 && t[i].idle == 1);
	}
	tierpool_destroy(pool);
}

/* Of all layers only this one has hits of the tier of KIB, and so many. */
#define HITS_ONLY(pool, layer, n)                                                                 \
	do {                                                                                      \
		struct tierpool_tier_stats seen = one_tier((pool), KIB);                          \
                                                                                                  \
		cr_assert_eq(seen.layer, (n), "%zu", (size_t)seen.layer);                         \
		cr_assert_eq(                                                                     \
			seen.hits_cpu + seen.hits_depot + seen.hits_other_cpu + seen.hits_larger, \
			(n), "there were other hits as well");                                    \
	} while (0)

Test(stats_tiers, a_hit_counts_by_the_layer_where_the_buffer_lay_and_by_the_tier_asked_for)
{
	tierpool *pool;

	stay_on_this_cpu();
	pool = pool_new(.name = "own CPU");
	cycle(pool, KIB, 1);
	cycle(pool, KIB, 1);
	HITS_ONLY(pool, hits_cpu, 1);
	tierpool_destroy(pool);

	/* Too few for a place on a CPU. */
	pool = pool_new(.max_idle = 3);
	cycle(pool, KIB, 2);
	cycle(pool, KIB, 2);
	HITS_ONLY(pool, hits_depot, 2);

	tierpool_trim(pool, 0);
	cycle(pool, 2 * KIB, 1);
	tierpool_tick(pool);
	cycle(pool, KIB, 1);
	cr_assert_eq(one_tier(pool, KIB).hits_larger, 1);
	cr_assert_eq(one_tier(pool, KIB).gets, 5);
	cr_assert_eq(one_tier(pool, KIB).puts, 4, "that of the larger block counts there");
	cr_assert_eq(one_tier(pool, 2 * KIB).gets, 1);
	cr_assert_eq(one_tier(pool, 2 * KIB).puts, 2);
	cr_assert_eq(at_rest(pool).hits_larger, 1);
	tierpool_destroy(pool);
}

Test(stats_tiers, a_hit_on_another_cpu_counts_as_one)
{
	tierpool *pool = pool_new(.retain = 64 * MIB, .calibrate_every = TIERPOOL_CALIBRATE_OFF);

	if (!pin(1) || (tp_cpu_rseq && tp_cpu_fence(0)))
		skip("one CPU, or other CPUs cannot be stopped");
	cycle(pool, MIB, 1);
	cr_assert(pin(0));
	/* The CPU may be stopped once nothing has moved there since the last look. */
	cycle(pool, MIB, 2);
	cycle(pool, MIB, 2);
	cr_assert_eq(one_tier(pool, MIB).hits_other_cpu, 1);
	cr_assert_eq(at_rest(pool).hits_other_cpu, 1);
	tierpool_destroy(pool);
}

Test(stats_tiers, growth_counts_in_the_tier_that_it_leads_to_with_the_bytes_that_it_copied)
{
	tierpool *pool = pool_new(.max_size = 16 * KIB);
	struct tierpool_tier_stats t;
	tierpool_buf *b;

	stay_on_this_cpu();
	for (unsigned round = 0; round < 3; round++) {
		b = (tierpool_get_sized)(pool, KIB);
		b->len = 700;
		cr_assert_eq(
			tierpool_buf_append(b, "0123456789", 10) || tierpool_buf_reserve(b, 3000),
			0);
		cr_assert_eq(b->cap, 4 * KIB);
		tierpool_put(b);
	}
	t = one_tier(pool, 4 * KIB);
	cr_assert_eq(t.grows, 3);
	cr_assert_eq(t.grows_pooled, 2);
	cr_assert_eq(t.grow_bytes, 3 * 710);
	cr_assert(t.gets == 0 && t.puts == 3 && t.allocs == 1);
	t = one_tier(pool, KIB);
	cr_assert(t.gets == 3 && t.puts == 0 && t.grows == 0 && t.grow_bytes == 0);
	/* Above the largest tier: in the numbers of the pool only. */
	b = (tierpool_get_sized)(pool, 16 * KIB);
	b->len = 5000;
	cr_assert_eq(tierpool_buf_reserve(b, 40 * KIB), 0);
	cr_assert_eq(one_tier(pool, 16 * KIB).grows, 0);
	cr_assert_eq(stats_of(pool).grows, 4);
	cr_assert_eq(stats_of(pool).grow_bytes, 3 * 710 + 5000);
	tierpool_put(b);
	tiers_at_rest(pool, (struct tierpool_tier_stats[TIERS]){{0}});
	tierpool_destroy(pool);
}

static void grow_one(tierpool *pool)
{
	tierpool_buf *b = (tierpool_get_sized)(pool, KIB);

	cr_assert_eq(tierpool_buf_reserve(b, 2 * KIB), 0);
	tierpool_put(b);
}

Test(stats_tiers, a_pop_that_another_thread_tries_for_a_growth_counts_as_none)
{
	tierpool *pool = pool_new(.max_size = 16 * KIB);
	struct tp_stack_counters *counters;

	stay_on_this_cpu();
	grow_one(pool);
	grow_one(pool);
	/* As it is until the pop has taken something, or nothing. */
	counters = tp_stack_counters(
		&pool->tiers.cpus, tp_cpu_current(pool->tiers.cpus.count), tier_of(pool, 2 * KIB));
	counters->owner[TP_EXCHANGE_POPS]++;
	cr_assert_leq(one_tier(pool, 2 * KIB).grows, 2);
	counters->owner[TP_EXCHANGE_POPS]--;
	cr_assert_eq(one_tier(pool, 2 * KIB).grows, 2);
	cr_assert_eq(one_tier(pool, 2 * KIB).grows_pooled, 1);
	grow_one(pool);
	cr_assert_eq(one_tier(pool, 2 * KIB).grows, 3);
	tierpool_destroy(pool);
}

Test(stats_tiers, a_block_that_grows_where_it_is_leaves_its_tier)
{
	struct tierpool_tier_stats t[TIERS];
	/* It may also find no place there: then the old block is kept. */
	tierpool *pool = pool_new(.max_size = MIB, .calibrate_every = TIERPOOL_CALIBRATE_OFF);
	tierpool_buf *b = (tierpool_get_sized)(pool, MIB);
	unsigned last = tiers_of(pool, t) - 1;
	struct tierpool_stats s;

	b->len = 10;
	cr_assert_eq(tierpool_buf_reserve(b, 3 * MIB), 0);
	tiers_of(pool, t);
	cr_assert(!tier_fault(&t[last]), "%s", tier_fault(&t[last]));
	cr_assert(t[last].allocs == 1 && t[last].borrowed == 0 && t[last].gets == 1);
	cr_assert_eq(stats_of(pool).borrowed, 1);
	tierpool_put(b);
	tiers_of(pool, t);
	cr_assert(t[last].allocs == 1 && t[last].borrowed == 0 && t[last].puts == 0);
	s = stats_of(pool);
	cr_assert(s.drops_oversize == 1 && s.puts == 1 && !s.borrowed);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(stats_tiers, what_is_oversize_counts_in_the_pool_only)
{
	struct tierpool_tier_stats t[TIERS];
	tierpool *pool = pool_new(.max_size = 4 * KIB);
	struct tierpool_stats s;
	unsigned count;

	cycle(pool, 5000, 7);
	s = at_rest(pool);
	cr_assert(s.gets == 7 && s.puts == 7 && s.allocs == 7 && s.drops_oversize == 7);
	count = tiers_at_rest(pool, t);
	for (unsigned tier = 0; tier < count; tier++)
		cr_assert(!t[tier].gets && !t[tier].puts && !t[tier].allocs && !t[tier].frees);
	tierpool_destroy(pool);
}

Test(stats_tiers, drops_count_by_tier_and_what_the_bound_refuses_raises_no_peak)
{
	struct tierpool_tier_stats t;
	tierpool *pool = pool_new(.name = "cost");
	size_t cost = one_tier(pool, KIB).cost;

	stay_on_this_cpu();
	tierpool_destroy(pool);
	pool = pool_new(.retain = 9 * cost);
	cycle(pool, KIB, 20);
	t = one_tier(pool, KIB);
	cr_assert(t.cost == cost && t.drops_retain == 11 && t.frees == 11 && t.idle == 9);
	cr_assert(t.leased == 9 && t.leased_peak == 9, "%zu, %zu", t.leased, t.leased_peak);
	tierpool_trim(pool, 0);
	t = one_tier(pool, KIB);
	cr_assert(t.drops_trim == 9 && t.leased == 0 && t.leased_peak == 9);
	cr_assert_eq(one_tier(pool, 2 * KIB).frees, 0);
	tierpool_destroy(pool);
}

/* Slabs go and come back, and what was counted in them stays. */
Test(stats_tiers, ticks_of_a_pool_that_holds_nothing_leave_its_counts)
{
	tierpool *pool = pool_new(.name = "purged");
	uint64_t gets = 0;

	stay_on_this_cpu();
	for (unsigned round = 1; round <= 20; round++) {
		struct tierpool_tier_stats small, large;

		for (unsigned i = 0; i < round * 37; i++, gets++) {
			cycle(pool, KIB, 1);
			cycle(pool, 8 * KIB, 1);
			cycle(pool, 8 * KIB, 1);
		}
		cr_assert_gt(pool->tiers.slabs_spent, 0);
		for (unsigned ticks = 0; pool->tiers.slabs_spent; ticks++) {
			cr_assert_lt(ticks, 4u, "two ticks, and the halves of the room");
			tierpool_tick(pool);
		}
		small = one_tier(pool, KIB);
		large = one_tier(pool, 8 * KIB);
		cr_assert(small.gets == gets && small.puts == gets);
		cr_assert(large.gets == 2 * gets && large.puts == 2 * gets);
		cr_assert(small.hits_cpu == gets - round && small.allocs == round);
	}
	tierpool_destroy(pool);
}

Test(stats_tiers, the_child_of_a_fork_goes_on_counting_by_tier)
{
	struct tierpool_tier_stats before = {0}, after;
	tierpool *pool = pool_new(.name = "fork");
	pid_t child;

	stay_on_this_cpu();
	cycle(pool, KIB, 5);
	cycle(pool, 4 * KIB, 2);
	before = one_tier(pool, KIB);
	child = fork();
	if (!child) {
		cycle(pool, KIB, 3);
		after = one_tier(pool, KIB);
		_exit(after.gets != before.gets + 3 || after.hits_cpu != before.hits_cpu + 3 ||
			one_tier(pool, 4 * KIB).gets != 2);
	}
	cr_assert_eq(child_await(child), 0);
	after = one_tier(pool, KIB);
	cr_assert(!memcmp(&after, &before, sizeof after), "the parent's are its own");
	tierpool_destroy(pool);
}
