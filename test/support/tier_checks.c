/* SPDX-License-Identifier: MIT */
#include "tier_checks.h"

#include "pool/pool.h"

unsigned tiers_of(tierpool *pool, struct tierpool_tier_stats *out)
{
	int count = tierpool_stats_tiers(pool, out, TIERS, sizeof *out);

	cr_assert(count > 0 && count <= TIERS);
	return (unsigned)count;
}

unsigned tier_of(const tierpool *pool, size_t size)
{
	return tp_sizeclass_of(&pool->sizes, size);
}

const char *tier_fault(const struct tierpool_tier_stats *t)
{
	if (t->allocs - t->frees != t->borrowed + t->idle)
		return "allocs - frees != borrowed + idle";
	if (t->gets < t->hits_cpu + t->hits_depot + t->hits_other_cpu + t->hits_larger)
		return "more hits than gets";
	if (t->grows_pooled > t->grows)
		return "more pooled growths than growths";
	if (t->idle > t->leased || t->leased > t->leased_peak)
		return "idle above leased, or that above its peak";
	return NULL;
}

unsigned tiers_at_rest(tierpool *pool, struct tierpool_tier_stats *out)
{
	struct tierpool_stats s = stats_of(pool);
	size_t idle = 0, idle_bytes = 0, leased_bytes = 0;
	unsigned count = tiers_of(pool, out);

	for (unsigned tier = 0; tier < count; tier++) {
		const char *fault = tier_fault(&out[tier]);

		cr_assert(!fault, "tier %u: %s", tier, fault);
		cr_assert_eq(out[tier].block_size, pool->sizes.size[tier]);
		idle += out[tier].idle;
		idle_bytes += out[tier].idle * out[tier].cost;
		leased_bytes += out[tier].leased * out[tier].cost;
	}
	cr_assert_eq(idle, s.idle);
	cr_assert_eq(idle_bytes, s.idle_bytes);
	cr_assert_eq(leased_bytes, s.leased_bytes);
	return count;
}
