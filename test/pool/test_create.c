/* SPDX-License-Identifier: MIT */
/*
 * From tierpool_create to the end of a pool: options, destroy, the default pool.
 */
#include "pool_checks.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

static struct counting_backing counting; /* each test is a process with one of its own */

static void start(void)
{
	counting_backing_init(&counting);
}

TestSuite(create, .init = start);

/* ---- options ---- */

static void assert_refused(const struct tierpool_options *options, int error)
{
	tierpool *pool = (tierpool *)&pool;

	cr_assert_eq(tierpool_create(&pool, options), error);
	cr_assert_null(pool);
}

Test(create, it_refuses_a_NULL_out_and_options_without_their_size)
{
	struct tierpool_options options = pool_options(.steps = 1);

	cr_assert_eq(tierpool_create(NULL, NULL), -EINVAL);
	for (options.size = 0; options.size < sizeof(size_t); options.size++)
		assert_refused(&options, -EINVAL);
}

Test(create, it_looks_at_no_more_of_the_options_than_their_size)
{
	struct tierpool_options options = pool_options(.max_size = 4096, .steps = 3);
	tierpool *pool;

	options.size = offsetof(struct tierpool_options, steps);
	cr_assert_eq(tierpool_create(&pool, &options), 0);
	cr_assert_eq(stats_of(pool).max_size, 4096);
	tierpool_destroy(pool);
}

Test(create, it_takes_larger_options_with_a_tail_of_zeros_only)
{
	struct {
		struct tierpool_options known;
		char tail[24];
	} larger = {pool_options(.max_size = 4096), {0}};
	tierpool *pool;

	larger.known.size = sizeof larger;
	cr_assert_eq(tierpool_create(&pool, &larger.known), 0);
	cr_assert_eq(stats_of(pool).max_size, 4096);
	tierpool_destroy(pool);
	for (size_t i = 0; i < sizeof larger.tail; i++) {
		larger.tail[i] = 1;
		assert_refused(&larger.known, -E2BIG);
		larger.tail[i] = 0;
	}
}

Test(create, it_refuses_sizes_and_lists_that_make_no_tiers)
{
	static const size_t level[] = {64, 128, 128}, falls[] = {64, 256, 128}, zero[] = {0, 64},
			    huge[] = {64, SIZE_MAX}, good[] = {64, 128};
	const struct tierpool_options wrong[] = {pool_options(.min_size = 4097, .max_size = 4096),
		pool_options(.steps = 3), pool_options(.steps = 5), pool_options(.steps = 8),
		pool_options(.steps = UINT_MAX), pool_options(.max_size = (size_t)PTRDIFF_MAX + 1),
		pool_options(.max_size = SIZE_MAX), pool_options(.min_size = SIZE_MAX),
		pool_options(.min_size = 1, .max_size = SIZE_MAX, .steps = 4),
		pool_options(.tiers = level, .tier_count = 3),
		pool_options(.tiers = falls, .tier_count = 3),
		pool_options(.tiers = zero, .tier_count = 2),
		pool_options(.tiers = huge, .tier_count = 2), pool_options(.tiers = good),
		pool_options(.tier_count = 2),
		pool_options(.tiers = good, .tier_count = 2, .min_size = 64),
		pool_options(.tiers = good, .tier_count = 2, .max_size = 128),
		pool_options(.tiers = good, .tier_count = 2, .steps = 1)};

	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_refused(&wrong[i], -EINVAL);
}

Test(create, it_takes_254_tiers_and_refuses_255)
{
	size_t sizes[255];
	tierpool *pool;

	for (size_t i = 0; i < 255; i++)
		sizes[i] = 100 + i;
	assert_refused(&pool_options(.tiers = sizes, .tier_count = 255), -EINVAL);
	pool = pool_new(.tiers = sizes, .tier_count = 254);
	cr_assert_eq(stats_of(pool).max_size, 100 + 253);
	for (size_t i = 0; i < 254; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, sizes[i]);

		cr_assert_eq(b->cap, sizes[i]);
		tierpool_put(b);
	}
	cr_assert_eq(at_rest(pool).idle, 254);
	tierpool_destroy(pool);
}

Test(create, it_refuses_a_backing_that_is_not_whole)
{
	struct {
		struct tierpool_backing known;
		size_t tail;
	} later = {.tail = 1};
	struct tierpool_backing wrong[4];

	for (unsigned i = 0; i < 4; i++)
		wrong[i] = counting_backing_calls(&counting);
	wrong[0].alloc = NULL;
	wrong[1].free = NULL;
	wrong[2].size = 0;
	wrong[3].size = offsetof(struct tierpool_backing, free);
	for (unsigned i = 0; i < 4; i++)
		assert_refused(&pool_options(.backing = &wrong[i]), -EINVAL);
	later.known = counting_backing_calls(&counting);
	later.known.size = sizeof later;
	assert_refused(&pool_options(.backing = &later.known), -E2BIG);
	cr_assert_eq(counting_backing_allocs(&counting), 0);
	later.tail = 0; /* one of a later version that uses nothing new */
	pool_end(pool_new(.backing = &later.known), &counting);
}

Test(create, defaults_are_those_of_the_contract)
{
	tierpool *pool;
	struct tierpool_stats s;
	tierpool_buf *b;

	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	s = at_rest(pool);
	cr_assert_eq(s.retain, 64 * MIB);
	cr_assert_eq(s.max_size, 32 * KIB, "none larger was asked for twice");
	cr_assert_eq(s.default_size, KIB);
	b = tierpool_get_sized(pool, 1);
	cr_assert_eq(b->cap, 64);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

static char reported_name[32];

static void report(const char *pool, const char *what, const tierpool_buf *b)
{
	(void)what;
	(void)b;
	strncpy(reported_name, pool, sizeof reported_name - 1);
}

Test(create, name_list_and_backing_are_copied)
{
	struct tierpool_backing calls = counting_backing_calls(&counting);
	size_t sizes[] = {100, 200};
	char name[] = "parser";
	tierpool *pool;
	tierpool_buf *b;

	pool = pool_new(.name = name, .tiers = sizes, .tier_count = 2, .backing = &calls);
	memset(&calls, 0, sizeof calls);
	memset(sizes, 0, sizeof sizes);
	memset(name, 'x', sizeof name - 1);
	b = tierpool_get_sized(pool, 150);
	tierpool_put(b);
	cr_assert_eq(accounted(pool, &counting, 0).idle_bytes, 200 + HEADER);
	tierpool_on_misuse(report);
	tierpool_put(b);
	cr_assert_str_eq(reported_name, "parser");
	pool_end(pool, &counting);
}

/* ---- alignment ---- */

static void assert_aligned(tierpool *pool, size_t alignment)
{
	static const size_t sizes[] = {1, 64, 100, 1000, 2048, 4096, 5000, 100 * KIB, MIB, 3 * MIB};
	enum { SIZES = sizeof sizes / sizeof *sizes, EACH = 3 };
	tierpool_buf *b[SIZES * EACH];

	for (unsigned i = 0; i < SIZES * EACH; i++) {
		b[i] = (tierpool_get_sized)(pool, sizes[i / EACH]);
		cr_assert_not_null(b[i]);
		cr_assert_eq((uintptr_t)b[i]->data % alignment, 0, "%zu bytes, alignment %zu",
			sizes[i / EACH], alignment);
		memset(b[i]->data, (int)i, b[i]->len = b[i]->cap);
	}
	for (unsigned i = 0; i < SIZES * EACH; i++) {
		size_t len = b[i]->len;

		cr_assert_eq(tierpool_buf_reserve(b[i], 5 * MIB), 0);
		cr_assert_eq((uintptr_t)b[i]->data % alignment, 0, "grown");
		for (size_t k = 0; k < len; k++)
			cr_assert_eq(b[i]->data[k], (char)i);
		tierpool_put(b[i]);
	}
}

Test(create, blocks_are_aligned_as_the_options_say)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t alignment = 1; alignment <= page; alignment *= 2) {
		tierpool *pool = pool_new(.max_size = 2 * MIB, .alignment = alignment);

		assert_aligned(pool, alignment < 64 ? 64 : alignment);
		cr_assert_eq(tierpool_destroy(pool), 0);
	}
	assert_refused(&pool_options(.alignment = 3), -EINVAL);
	assert_refused(&pool_options(.alignment = 96), -EINVAL);
	assert_refused(&pool_options(.alignment = 2 * page), -EINVAL);
	assert_refused(&pool_options(.max_size = (size_t)PTRDIFF_MAX / 2 + 1), -EINVAL);
	pool_end(pool_on(&counting, .alignment = 64), &counting);
}

/* ---- destroy ---- */

Test(create, destroy_of_an_unused_pool_gives_everything_back)
{
	for (unsigned i = 0; i < 10; i++) {
		tierpool *pool = pool_on(&counting, .steps = 4);

		cr_assert_gt(counting_backing_blocks(&counting), 0);
		pool_end(pool, &counting);
	}
}

Test(create, destroy_counts_what_is_borrowed_and_the_last_put_frees_the_rest)
{
	tierpool_buf *b[5];
	struct tierpool_stats s = {.size = sizeof s};
	tierpool *pool = pool_on(&counting, .max_size = 64 * KIB);

	fill(pool);
	for (unsigned i = 0; i < 5; i++)
		b[i] = tierpool_get_sized(pool, KIB << 2 * i); /* the last one is oversize */
	cr_assert_eq(tierpool_destroy(pool), 5);
	cr_assert_eq(
		accounted(pool, &counting, 341 * KIB).idle, 0, "what was idle is freed at once");
	for (unsigned i = 0; i < 5; i++) {
		/* Still good: for content, for growth, for put. */
		memset(b[i]->data, 'a', b[i]->len = b[i]->cap);
		cr_assert_eq(tierpool_buf_append(b[i], "bc", 2), 0);
		cr_assert_eq(b[i]->data[(KIB << 2 * i) - 1], 'a');
		cr_assert_eq(b[i]->data[KIB << 2 * i], 'b');
		cr_assert_eq(at_rest(pool).borrowed, 5 - i);
		cr_assert_eq(at_rest(pool).idle, 0, "nothing is kept any more");
		cr_assert_eq(tierpool_tick(pool) + tierpool_trim(pool, 0), 0);
		tierpool_put(b[i]);
	}
	cr_assert_eq(counting_backing_blocks(&counting), 0);
	cr_assert_eq(counting_backing_live(&counting), 0);
	cr_assert_eq(tierpool_stats_read(pool, &s), -ENOENT);
	cr_assert_eq(tierpool_tick(pool) + tierpool_trim(pool, 0), 0);
}

Test(create, a_second_destroy_does_nothing)
{
	tierpool *pool = pool_on(&counting, .max_size = MIB);
	tierpool_buf *b = tierpool_get(pool);

	cr_assert_eq(tierpool_destroy(pool), 1);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(tierpool_destroy(pool), 0);
	cr_assert_eq(tierpool_buf_append(b, "good", 4), 0);
	tierpool_put(b);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
	cr_assert_eq(tierpool_destroy(pool), 0, "not even after the pool is gone");
}

/* ---- the default pool ---- */

#define ASKERS 8

static pthread_barrier_t together;

static void *ask(void *answer)
{
	pthread_barrier_wait(&together);
	*(tierpool **)answer = tierpool_default();
	return NULL;
}

Test(create, there_is_one_default_pool_whichever_thread_asks_first)
{
	pthread_t thread[ASKERS];
	tierpool *answer[ASKERS];

	pthread_barrier_init(&together, NULL, ASKERS);
	for (unsigned i = 0; i < ASKERS; i++)
		pthread_create(&thread[i], NULL, ask, &answer[i]);
	for (unsigned i = 0; i < ASKERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_not_null(answer[0]);
	for (unsigned i = 1; i < ASKERS; i++)
		cr_assert_eq(answer[i], answer[0]);
	cr_assert_eq(at_rest(answer[0]).retain, 64 * MIB);
}

Test(create, destroy_of_the_default_pool_trims_it)
{
	tierpool *pool = tierpool_default();
	tierpool_buf *b = tierpool_get(pool);

	for (unsigned i = 0; i < 3; i++) {
		fill(pool);
		cr_assert_eq(tierpool_destroy(pool), 1);
		cr_assert_eq(at_rest(pool).idle, 0);
		cr_assert_eq(tierpool_default(), pool);
	}
	cr_assert_eq(tierpool_buf_append(b, "good", 4), 0);
	tierpool_put(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
	b = tierpool_get(pool);
	cr_assert_not_null(b);
	tierpool_put(b);
	cr_assert_eq(at_rest(pool).idle, 1);
}

static bool ticking_stops;

static void *tick_and_trim(void *unused)
{
	while (!tp_load_relaxed(&ticking_stops)) {
		tierpool_tick(NULL);
		tierpool_trim(NULL, KIB);
	}
	return unused;
}

Test(create, destroy_returns_what_is_borrowed_while_ticks_and_trims_go_on)
{
	enum { OUT = 48, ROUNDS = 300 };
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, tick_and_trim, NULL), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		tierpool *pool = pool_new(.name = "ticked");
		tierpool_buf *b[OUT];

		for (unsigned i = 0; i < OUT; i++)
			b[i] = tierpool_get_sized(pool, KIB << i % 4);
		cycle(pool, 2 * KIB, 64);
		cr_assert_eq(tierpool_destroy(pool), OUT);
		for (unsigned i = 0; i < OUT; i++)
			tierpool_put(b[i]);
	}
	tp_store_relaxed(&ticking_stops, true);
	pthread_join(thread, NULL);
}

/* ---- destroy, while other threads use the pool ---- */

#define PUTTERS 3
#define EACH 4
#define DESTROYS 2000

static struct {
	tierpool *pool;
	tierpool_buf *b[PUTTERS][EACH];
	pthread_barrier_t start, end;
	unsigned faults;
} fight;

static void *put_against_destroy(void *argument)
{
	tierpool_buf **mine = argument;

	for (unsigned i = 0; i < DESTROYS; i++) {
		struct tierpool_stats s = {.size = sizeof s};
		int error;

		pthread_barrier_wait(&fight.start);
		for (unsigned n = 0; n < EACH; n++) {
			if (tierpool_buf_reserve(mine[n], 100 * n))
				tp_add_relaxed(&fight.faults, 1u);
			tierpool_put(mine[n]);
			switch ((i + n) % 3) {
			case 0:
				tierpool_tick(n & 1 ? fight.pool : NULL);
				break;
			case 1:
				error = tierpool_stats_read(fight.pool, &s);
				if (error && error != -ENOENT)
					tp_add_relaxed(&fight.faults, 1u);
				break;
			default:
				tierpool_trim(fight.pool, 0);
			}
		}
		pthread_barrier_wait(&fight.end);
	}
	return NULL;
}

Test(create, destroy_while_others_put_tick_trim_and_read_frees_everything_once)
{
	pthread_t thread[PUTTERS];

	pthread_barrier_init(&fight.start, NULL, PUTTERS + 1);
	pthread_barrier_init(&fight.end, NULL, PUTTERS + 1);
	for (unsigned i = 0; i < PUTTERS; i++)
		pthread_create(&thread[i], NULL, put_against_destroy, fight.b[i]);
	for (unsigned i = 0; i < DESTROYS; i++) {
		size_t out;

		tp_store_relaxed(&counting.yields, i % 2);
		fight.pool = pool_on(&counting, .max_size = 4096);
		for (unsigned n = 0; n < PUTTERS * EACH; n++)
			fight.b[n / EACH][n % EACH] =
				tierpool_get_sized(fight.pool, (size_t)64 << n % 8);
		pthread_barrier_wait(&fight.start);
		for (unsigned spin = 0; spin < i % 64; spin++)
			sched_yield();
		out = tierpool_destroy(fight.pool);
		pthread_barrier_wait(&fight.end);
		if (out > PUTTERS * EACH || counting_backing_blocks(&counting))
			tp_add_relaxed(&fight.faults, 1u);
	}
	for (unsigned i = 0; i < PUTTERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(fight.faults, 0);
}
