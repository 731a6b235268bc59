/* SPDX-License-Identifier: MIT */
/*
 * For tests of pools through the public interface: a pool on a counting backing, and what must be
 * true of every pool that nobody is inside of.
 */
#ifndef POOL_CHECKS_H
#define POOL_CHECKS_H

#include <criterion/criterion.h>
#include <stdint.h>

#include <tierpool/stats.h>

#include "counting_backing.h"
#include "cpus.h"
#include "random.h"

#define HEADER sizeof(tierpool_buf)
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* A pool, with these options. */
#define pool_new(...) \
	pool_create(  \
		&(struct tierpool_options){.size = sizeof(struct tierpool_options), __VA_ARGS__})

/* The same, on a counting backing. */
#define pool_on(counting, ...)                                                             \
	pool_new(.backing = (struct tierpool_backing[]){counting_backing_calls(counting)}, \
		__VA_ARGS__)

static inline tierpool *pool_create(const struct tierpool_options *options)
{
	tierpool *pool;

	cr_assert_eq(tierpool_create(&pool, options), 0);
	cr_assert_not_null(pool);
	return pool;
}

static inline struct tierpool_stats stats_of(tierpool *pool)
{
	struct tierpool_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_stats_read(pool, &s), 0);
	return s;
}

/* What is wrong with the statistics of a pool at rest, or NULL. */
static inline const char *stats_fault(const struct tierpool_stats *s)
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

static inline struct tierpool_stats at_rest(tierpool *pool)
{
	struct tierpool_stats s = stats_of(pool);
	const char *fault = stats_fault(&s);

	cr_assert(!fault, "%s", fault);
	return s;
}

/*
 * The pool's own tables, headers of live buffers among them. Only grows: read after a sum of bytes
 * it is no less than it was then.
 */
static inline size_t tables_of(const struct tierpool_stats *s)
{
	return s->overhead_bytes + (size_t)(s->allocs - s->frees) * HEADER;
}

/* At rest, where the backing can say it as well; out: capacities of what is borrowed, summed. */
static inline struct tierpool_stats accounted(
	tierpool *pool, const struct counting_backing *counting, size_t out)
{
	struct tierpool_stats s = at_rest(pool);

	cr_assert_eq(s.idle_bytes + s.overhead_bytes + s.borrowed * HEADER + out,
		counting_backing_live(counting),
		"%zu idle + %zu overhead + %zu borrowed, but %zu out of the backing", s.idle_bytes,
		s.overhead_bytes, s.borrowed * HEADER + out, counting_backing_live(counting));
	return s;
}

/* Destroys a pool of which nothing is borrowed, and finds everything given back. */
static inline void pool_end(tierpool *pool, const struct counting_backing *counting)
{
	accounted(pool, counting, 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
	cr_assert_eq(counting_backing_blocks(counting), 0);
	cr_assert_eq(counting_backing_live(counting), 0);
}

/* Borrows n buffers of a size, all at once, and puts them. */
static inline void cycle(tierpool *pool, size_t size, unsigned n)
{
	tierpool_buf *b[n + 1]; /* n may be 0, an array not */

	for (unsigned i = 0; i < n; i++)
		cr_assert_not_null(b[i] = (tierpool_get_sized)(pool, size));
	while (n--)
		tierpool_put(b[n]);
}

/* Idle buffers in stacks and depots, of several tiers; how many. */
static inline unsigned fill(tierpool *pool)
{
	cycle(pool, 64, 100);
	cycle(pool, KIB, 3);
	cycle(pool, 20 * KIB, 30);
	cycle(pool, MIB, 2);
	return 135;
}

#endif
