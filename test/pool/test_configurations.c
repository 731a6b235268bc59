/* SPDX-License-Identifier: MIT */
/*
 * What other pools do, as configurations of this one. tierpool(7) shows the same options, and where
 * the two differ. Nothing decays here, so each count is exact.
 */
#include "pool_checks.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <tierpool/cache.h>

static struct counting_backing counting; /* each test is a process with one of its own */

static void start(void)
{
	counting_backing_init(&counting);
}

TestSuite(configurations, .init = start, .timeout = 60);

#define LASTING(...) pool_on(&counting, .decay_ms = UINT_MAX, __VA_ARGS__)

/* At most n buffers, all of width bytes. */
#define BOUNDED(n, width) LASTING(.tiers = (size_t[]){(width)}, .tier_count = 1, .max_idle = (n))

/* ---- bpool's BufferPool: n buffers at most ---- */

Test(configurations, bpool_keeps_at_most_n_buffers_and_drops_the_surplus)
{
	static const unsigned bounds[] = {1, 3, 48, 100};

	stay_on_this_cpu();
	for (unsigned i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
		unsigned n = bounds[i], surplus = 7;
		tierpool *pool = BOUNDED(n, KIB);
		struct tierpool_stats s;

		cycle(pool, KIB, n);
		s = accounted(pool, &counting, 0);
		cr_assert_eq(s.idle, n, "as many as it may keep, it keeps");
		cycle(pool, KIB, n + surplus);
		s = accounted(pool, &counting, 0);
		cr_assert_eq(s.hits, n, "a get takes an idle one before it makes one");
		cr_assert_eq(s.allocs, n + surplus);
		cr_assert_eq(s.idle, n);
		cr_assert_eq(s.drops_idle_count, surplus);
		pool_end(pool, &counting);
	}
}

Test(configurations, bpool_with_several_tiers_keeps_n_of_each)
{
	const unsigned n = 5;
	struct tierpool_stats s;
	tierpool *pool = LASTING(.max_idle = n, .max_size = 256);

	stay_on_this_cpu();
	for (size_t size = 64; size <= 256; size *= 2)
		cycle(pool, size, n + 1);
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.idle, 3 * n, "so a list of one tier, where n in all are meant");
	cr_assert_eq(s.idle_bytes, n * (64 + 128 + 256 + 3 * HEADER));
	cr_assert_eq(s.drops_idle_count, 3);
	pool_end(pool, &counting);
}

/* ---- the same, by several threads ---- */

#define CROWD 4
#define EACH 32

/* Threads that all do the same; between two steps they wait for each other and for the test. */
static struct {
	tierpool *pool;
	unsigned rounds, entered, faults;
	pthread_barrier_t meeting;
} crowd = {.rounds = 100};

static pthread_t crowd_threads[CROWD];

static void meet(unsigned times)
{
	while (times--)
		pthread_barrier_wait(&crowd.meeting);
}

static void crowd_start(void *(*work)(void *))
{
	pthread_barrier_init(&crowd.meeting, NULL, CROWD + 1);
	for (unsigned i = 0; i < CROWD; i++)
		pthread_create(&crowd_threads[i], NULL, work, NULL);
}

static void crowd_end(void)
{
	for (unsigned i = 0; i < CROWD; i++)
		pthread_join(crowd_threads[i], NULL);
	cr_assert_eq(crowd.faults, 0, "a get failed, or gave what was given before");
}

/* Meets three times a round: before, when all have all that they want, and after. */
static void *borrow_in_rounds(void *unused)
{
	char mark = (char)tp_add_relaxed(&crowd.entered, 1u);

	for (unsigned round = 0; round < crowd.rounds; round++) {
		tierpool_buf *b[EACH];

		meet(1);
		for (unsigned i = 0; i < EACH; i++) {
			b[i] = tierpool_get(crowd.pool);
			tp_add_relaxed(&crowd.faults, b[i] ? 0u : 1u);
			if (b[i])
				memset(b[i]->data, mark, b[i]->cap);
		}
		meet(1); /* no thread has put yet: a get that waits for a put never comes here */
		for (unsigned i = 0; i < EACH; i++) {
			if (b[i] && (b[i]->data[0] != mark || b[i]->data[b[i]->cap - 1] != mark))
				tp_add_relaxed(&crowd.faults, 1u);
			tierpool_put(b[i]);
		}
		meet(1);
	}
	return unused;
}

/*
 * Three are less than four for each CPU, so they lie in one list, as in bpool, on any number of
 * CPUs. Any thread gets what another one puts, and the counts are exact.
 */
Test(configurations, bpool_never_blocks)
{
	const unsigned n = 3, beyond = CROWD * EACH;
	struct tierpool_stats s;
	tierpool_buf *held[3];

	crowd.pool = BOUNDED(n, KIB);
	cycle(crowd.pool, KIB, n);
	for (unsigned i = 0; i < n; i++)
		held[i] = tierpool_get(crowd.pool);
	cr_assert_eq(accounted(crowd.pool, &counting, n * KIB).hits, n, "all that it keeps is out");
	crowd.rounds = 1;
	crowd_start(borrow_in_rounds);
	meet(3);
	crowd_end();
	s = accounted(crowd.pool, &counting, n * KIB);
	cr_assert_eq(s.hits, n, "each get beyond n had a fresh one");
	cr_assert_eq(s.allocs, n + beyond);
	cr_assert_eq(s.idle, n);
	for (unsigned i = 0; i < n; i++)
		tierpool_put(held[i]);
	cr_assert_eq(accounted(crowd.pool, &counting, 0).drops_idle_count, beyond,
		"nor does a put wait for room");
	pool_end(crowd.pool, &counting);
}

static void stays_within(unsigned least, unsigned n)
{
	unsigned above = 0, below = 0;

	crowd.pool = BOUNDED(n, KIB);
	crowd_start(borrow_in_rounds);
	for (unsigned round = 0; round < crowd.rounds; round++) {
		meet(3);
		above += accounted(crowd.pool, &counting, 0).idle > n;
		below += stats_of(crowd.pool).idle < least;
	}
	crowd_end();
	cr_assert_eq(above, 0, "more than %u were kept", n);
	cr_assert_eq(below, 0, "less than %u of %u were kept", least, n);
	pool_end(crowd.pool, &counting);
}

Test(configurations, bpool_keeps_n_whichever_threads_put)
{
	stays_within(3, 3);
}

/*
 * Of four or more for each CPU some lie on CPUs. What a CPU may keep and does not keep counts among
 * the n: a quarter of them, or one for each CPU.
 */
Test(configurations, bpool_keeps_n_less_a_quarter_where_some_lie_on_cpus)
{
	stays_within(48 - 48 / 4, 48);
}

/* ---- bpool's BytePool: one width ---- */

Test(configurations, byte_pool_lends_one_width_whatever_was_put)
{
	const size_t width = 1500; /* no power of two: a list is taken as it is */
	struct tierpool_stats s;
	tierpool *pool = BOUNDED(4, width);

	stay_on_this_cpu();
	for (size_t len = 0; len <= width; len += width / 10) {
		tierpool_buf *b = tierpool_get(pool);

		cr_assert_eq(b->cap, width);
		cr_assert_eq(b->len, 0);
		b->len = len; /* there a slice of this length would be put */
		tierpool_put(b);
	}
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.allocs, 1);
	cr_assert_eq(s.idle_bytes, width + HEADER, "kept by its block, not by its length");
	pool_end(pool, &counting);
}

/* ---- bpool's SizedBufferPool: what has grown is replaced ---- */

Test(configurations, sized_buffer_pool_replaces_the_oversized)
{
	const unsigned n = 4, all = 10;
	struct tierpool_stats s;
	tierpool_buf *b[10];
	tierpool *pool = BOUNDED(n, KIB);

	stay_on_this_cpu();
	for (unsigned i = 0; i < all; i++)
		b[i] = tierpool_get(pool);
	for (unsigned i = 0; i < all; i++) {
		cr_assert_eq(tierpool_buf_reserve(b[i], 100 * KIB), 0);
		tierpool_put(b[i]);
		s = accounted(pool, &counting, (all - 1 - i) * KIB);
		cr_assert_eq(s.drops_oversize, i + 1);
		cr_assert_eq(s.idle, i < n ? i + 1 : n, "one of the size instead of it");
		cr_assert_eq(s.idle_bytes, s.idle * (KIB + HEADER));
	}
	cr_assert_eq(s.allocs, all + all, "only growth allocated: it put back what it grew out of");
	cr_assert_eq(s.drops_idle_count, all - n);
	cycle(pool, KIB, n);
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.hits, n);
	cr_assert_eq(s.drops_oversize, all, "and of the size itself none");
	pool_end(pool, &counting);
}

/* ---- net/http: 2, 4 and 32 KiB ---- */

Test(configurations, net_http_has_three_tiers)
{
	static const size_t sizes[] = {2 * KIB, 4 * KIB, 32 * KIB};
	tierpool_buf *b[3], *grown;
	struct tierpool_stats s;
	tierpool *pool = LASTING(.tiers = sizes, .tier_count = 3);

	stay_on_this_cpu();
	for (unsigned i = 3; i--;) {
		cycle(pool, sizes[i], 1);
		cr_assert_eq(stats_of(pool).hits, 0, "a larger one is not lent in its place");
	}
	for (unsigned request = 0; request < 100; request++) {
		for (unsigned i = 0; i < 3; i++) {
			b[i] = tierpool_get_sized(pool, sizes[i]);
			cr_assert_eq(b[i]->cap, sizes[i]);
		}
		for (unsigned i = 0; i < 3; i++)
			tierpool_put(b[i]);
	}
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.allocs, 3, "each size from what was put of it");
	cr_assert_eq(s.hits, 300);
	cycle(pool, 32 * KIB + 1, 1);
	cr_assert_eq(accounted(pool, &counting, 0).drops_oversize, 1, "no pool for any other");
	grown = tierpool_get_sized(pool, sizes[0]);
	for (unsigned i = 1; i < 3; i++) {
		grown->len = grown->cap;
		cr_assert_eq(tierpool_buf_append_byte(grown, 'a'), 0);
		cr_assert_eq(grown->cap, sizes[i]);
		cr_assert_eq(stats_of(pool).grows_pooled, i, "by exchange with an idle one");
	}
	tierpool_put(grown);
	cr_assert_eq(accounted(pool, &counting, 0).idle_bytes, 38 * KIB + 3 * HEADER);
	pool_end(pool, &counting);
}

/* ---- fmt, and encoding/json's streams: none above 64 KiB ---- */

Test(configurations, json_and_fmt_drop_what_grew_beyond_64_kib)
{
	struct tierpool_stats s;
	tierpool_buf *b;
	tierpool *pool = LASTING(.max_size = 64 * KIB, .calibrate_every = TIERPOOL_CALIBRATE_OFF);

	stay_on_this_cpu();
	b = tierpool_get_sized(pool, 32 * KIB);
	cr_assert_eq(tierpool_buf_reserve(b, 64 * KIB), 0);
	cr_assert_eq(b->cap, 64 * KIB);
	tierpool_put(b);
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.idle_bytes, 96 * KIB + 2 * HEADER, "64 KiB exactly are kept");
	b = tierpool_get_sized(pool, 64 * KIB);
	cr_assert_eq(stats_of(pool).hits, 1);
	cr_assert_eq(tierpool_buf_reserve(b, 64 * KIB + 1), 0);
	tierpool_put(b);
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.drops_oversize, 1, "one byte more, and it went");
	cr_assert_eq(s.idle_bytes, 96 * KIB + 2 * HEADER, "and left what it grew out of");
	pool_end(pool, &counting);
}

/* golang issue 23199: many small requests keep the buffers of a few large ones alive. */
Test(configurations, json_and_fmt_do_not_pin_the_large_by_many_small)
{
	tierpool_buf *large[10];
	struct tierpool_stats s;
	tierpool *pool = LASTING(.max_size = 64 * KIB, .calibrate_every = TIERPOOL_CALIBRATE_OFF);

	stay_on_this_cpu();
	for (unsigned i = 0; i < 10; i++)
		large[i] = tierpool_get(pool);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(tierpool_buf_reserve(large[i], MIB), 0);
		tierpool_put(large[i]);
	}
	for (unsigned i = 0; i < 1000; i++) {
		tierpool_buf *b = tierpool_get(pool);

		cr_assert_eq(tierpool_buf_printf(b, "%u", i), 0);
		tierpool_put(b);
	}
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.drops_oversize, 10);
	cr_assert_eq(s.allocs, 20, "the small ones live on what the large ones grew out of");
	cr_assert_leq(s.idle_bytes, 10 * (64 * KIB + HEADER));
	pool_end(pool, &counting);
}

/* ---- Hugo: reset at put ---- */

Test(configurations, hugo_gets_are_empty)
{
	tierpool *pool = LASTING(.name = "hugo");

	stay_on_this_cpu();
	cycle(pool, KIB, 1);
	for (unsigned i = 1; i <= 4; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, KIB);

		cr_assert_eq(stats_of(pool).hits, i, "one that was used before");
		cr_assert_eq(b->len, 0);
		cr_assert_eq(tierpool_buf_error(b), 0);
		cr_assert_str_empty(tierpool_buf_cstr(b));
		cr_assert_eq(b->cap, KIB, "its capacity it keeps");
		cr_assert_eq(tierpool_buf_append_str(b, "a page, and never reset"), 0);
		if (i % 2) /* put with an error that sticks, which only a reset would end */
			cr_assert_eq(tierpool_buf_reserve(b, SIZE_MAX), -ENOMEM);
		tierpool_put(b);
	}
	cr_assert_eq(accounted(pool, &counting, 0).allocs, 1);
	pool_end(pool, &counting);
}

/* ---- net/rpc: a list of requests ---- */

struct request {
	unsigned out; /* 1: somebody's, 0: the list's */
};

static tierpool_cache *list;
static unsigned created, destroyed;

static void *request_create(void *context)
{
	tp_add_relaxed((unsigned *)context, 1u);
	return calloc(1, sizeof(struct request));
}

static void request_destroy(void *unused, void *request)
{
	(void)unused;
	tp_add_relaxed(&destroyed, 1u);
	free(request);
}

static void list_create(void)
{
	struct tierpool_cache_options options = {.size = sizeof options,
		.create = request_create,
		.destroy = request_destroy,
		.context = &created,
		.decay_ms = UINT_MAX};

	cr_assert_eq(tierpool_cache_create(&list, &options), 0);
}

static struct request *request_get(void)
{
	struct request *request = tierpool_cache_get(list);

	tp_add_relaxed(&crowd.faults, tp_exchange_relaxed(&request->out, 1u));
	return request;
}

static void request_put(struct request *request)
{
	tp_add_relaxed(&crowd.faults, 1 - tp_exchange_relaxed(&request->out, 0u));
	tierpool_cache_put(list, request);
}

Test(configurations, rpc_requests_come_from_a_list)
{
	enum { LENT = 128 };
	struct request *lent[LENT];

	stay_on_this_cpu();
	list_create();
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < LENT; i++)
			lent[i] = request_get();
		for (unsigned i = 0; i < LENT; i++)
			request_put(lent[i]);
	}
	cr_assert_eq(crowd.faults, 0);
	cr_assert_eq(created, LENT, "as many as were out at once, and no more");
	cr_assert_eq(tierpool_cache_tick(list), 0);
	cr_assert_eq(tierpool_cache_tick(list), created, "net/rpc keeps them for ever");
	cr_assert_eq(destroyed, created);
	tierpool_cache_destroy(list);
}
