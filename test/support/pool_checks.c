/* SPDX-License-Identifier: MIT */
#include "pool_checks.h"

#include "pool/pool.h"

tierpool *pool_create(const struct tierpool_options *options)
{
	tierpool *pool;

	cr_assert_eq(tierpool_create(&pool, options), 0);
	cr_assert_not_null(pool);
	return pool;
}

struct tierpool_stats stats_of(tierpool *pool)
{
	struct tierpool_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_stats_read(pool, &s), 0);
	return s;
}

const char *stats_fault(const struct tierpool_stats *s)
{
	if (s->gets - s->puts != s->borrowed)
		return "gets - puts != borrowed";
	if (s->allocs - s->frees != s->borrowed + s->idle)
		return "allocs - frees != borrowed + idle";
	if (s->frees != s->drops_oversize + s->drops_retain + s->drops_idle_count + s->drops_decay +
				s->drops_trim + s->drops_destroy)
		return "a free without its reason, or a reason without its free";
	if (s->allocs != s->gets - s->hits + s->grows - s->grows_pooled)
		return "an alloc that is neither a miss nor a growth";
	if (s->hits != s->hits_cpu + s->hits_depot + s->hits_other_cpu + s->hits_larger)
		return "a hit that is not of one layer";
	if (s->hits > s->gets)
		return "more hits than gets";
	if (s->grows_pooled > s->grows)
		return "more pooled growths than growths";
	if (s->idle_bytes > s->idle_bytes_peak)
		return "idle_bytes above its peak";
	if (s->idle_bytes > s->retain)
		return "idle_bytes above retain";
	return NULL;
}

struct tierpool_stats at_rest(tierpool *pool)
{
	struct tierpool_stats s = stats_of(pool);
	const char *fault = stats_fault(&s);

	cr_assert(!fault, "%s", fault);
	return s;
}

struct tierpool_stats accounted(tierpool *pool, const struct counting_backing *counting, size_t out)
{
	struct tierpool_stats s = at_rest(pool);
	size_t pages = pool->heads.bytes + tp_tiers_page_bytes(&pool->tiers);

	cr_assert_eq(s.idle_bytes + s.overhead_bytes + s.borrowed * HEADER + out,
		counting_backing_live(counting) + pages,
		"%zu idle + %zu overhead + %zu borrowed, but %zu out of the backing, and %zu in "
		"pages",
		s.idle_bytes, s.overhead_bytes, s.borrowed * HEADER + out,
		counting_backing_live(counting), pages);
	return s;
}

void pool_end(tierpool *pool, const struct counting_backing *counting)
{
	accounted(pool, counting, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
	cr_assert_eq(counting_backing_blocks(counting), 0);
	cr_assert_eq(counting_backing_live(counting), 0);
}

void cycle(tierpool *pool, size_t size, unsigned n)
{
	tierpool_buf *b[n + 1]; /* n may be 0, an array not */

	for (unsigned i = 0; i < n; i++)
		cr_assert_not_null(b[i] = (tierpool_get_sized)(pool, size));
	while (n--)
		tierpool_put(b[n]);
}

unsigned fill(tierpool *pool)
{
	cycle(pool, 64, 100);
	cycle(pool, KIB, 3);
	cycle(pool, 20 * KIB, 30);
	cycle(pool, MIB, 2);
	return 135;
}
