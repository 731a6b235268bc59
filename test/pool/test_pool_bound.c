/* SPDX-License-Identifier: MIT */
/*
 * What a pool keeps and what it does not: retain, max_idle, a shared budget. The sums are the
 * counting backing's own.
 */
#include "pool_checks.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#define THREADS 4

static struct counting_backing counting; /* one a process, and each test is one */

/* ---- retain ---- */

Test(pool, a_pool_full_of_large_buffers_makes_place_for_small_ones)
{
	struct tierpool_stats full, s;
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .retain = 16 * (MIB + HEADER));
	cycle(pool, MIB, 20);
	full = accounted(pool, &counting, 0);
	cr_assert_eq(full.idle, 16);
	cr_assert_eq(full.drops_retain, 4);
	for (unsigned i = 0; i < 1000; i++)
		cycle(pool, KIB, 1);
	s = accounted(pool, &counting, 0);
	cr_assert_eq(s.hits - full.hits, 999, "every get but the first");
	cr_assert_eq(s.drops_retain, 5, "one large buffer went");
	cr_assert_eq(s.idle_bytes, 15 * (MIB + HEADER) + KIB + HEADER);
	pool_end(pool, &counting);
}

Test(pool, retain_is_used_up_and_never_passed)
{
	static const size_t retains[] = {
		2, 100, 64 + HEADER - 1, 64 + HEADER, 5000, 20 * KIB, 100 * KIB, MIB, 16 * MIB};
	size_t cost = KIB + HEADER;

	stay_on_this_cpu();
	for (unsigned i = 0; i < sizeof retains / sizeof retains[0]; i++) {
		tierpool_buf *b[64];
		struct tierpool_stats s;
		size_t most;
		tierpool *pool;

		counting_backing_init(&counting);
		pool = pool_on(&counting, .retain = retains[i]);
		cr_assert_eq(stats_of(pool).retain, retains[i]);
		for (unsigned n = 0; n < 64; n++)
			b[n] = tierpool_get(pool);
		for (unsigned n = 0; n < 64; n++) {
			tierpool_put(b[n]);
			s = accounted(pool, &counting, (63 - n) * KIB);
			cr_assert_leq(s.idle_bytes, retains[i]);
			cr_assert_leq(s.idle_bytes_peak, retains[i]);
		}
		most = retains[i] / cost < 64 ? retains[i] / cost : 64;
		cr_assert_eq(s.idle, most);
		cr_assert_eq(s.drops_retain, 64 - most);
		pool_end(pool, &counting);
	}
}

Test(pool, RETAIN_NONE_keeps_nothing)
{
	tierpool *pool;

	counting_backing_init(&counting);
	pool = pool_on(&counting, .retain = TIERPOOL_RETAIN_NONE);
	for (size_t size = 1; size <= 2 * MIB; size *= 2) {
		tierpool_buf *b = tierpool_get_sized(pool, size);

		cr_assert_eq(tierpool_buf_reserve(b, 2 * size), 0);
		tierpool_put(b);
		cr_assert_eq(accounted(pool, &counting, 0).idle, 0);
	}
	cr_assert_eq(stats_of(pool).hits, 0);
	pool_end(pool, &counting);
}

Test(pool, retain_set_holds_when_it_returns_and_can_be_raised_again)
{
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .retain = 16 * MIB);
	for (size_t bytes = 16 * MIB; bytes > KIB; bytes /= 3) {
		struct tierpool_stats s;

		cycle(pool, 64, 100);
		cycle(pool, 10 * KIB, 50);
		cycle(pool, 64 * KIB, 100);
		tierpool_retain_set(pool, bytes);
		s = accounted(pool, &counting, 0);
		cr_assert_eq(s.retain, bytes);
		cr_assert_leq(s.idle_bytes, bytes);
		cycle(pool, 10 * KIB, 100);
		cr_assert_leq(accounted(pool, &counting, 0).idle_bytes, bytes);
	}
	tierpool_retain_set(pool, 0);
	cr_assert_eq(accounted(pool, &counting, 0).idle, 0, "0 is RETAIN_NONE");
	cycle(pool, KIB, 10);
	cr_assert_eq(accounted(pool, &counting, 0).idle, 0);
	tierpool_retain_set(pool, 16 * MIB);
	cycle(pool, 64 * KIB, 100);
	cr_assert_eq(accounted(pool, &counting, 0).idle, 100);
	pool_end(pool, &counting);
}

Test(pool, growth_finds_what_is_idle_after_retain_was_lowered)
{
	struct tierpool_stats before, after;
	tierpool_buf *b;
	tierpool *pool;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting, .retain = 16 * MIB);
	cycle(pool, 2 * KIB, 1);
	tierpool_retain_set(pool, 4 * KIB);
	before = accounted(pool, &counting, 0);
	cr_assert_eq(before.idle, 1);
	b = tierpool_get_sized(pool, KIB);
	cr_assert_eq(tierpool_buf_reserve(b, 2 * KIB), 0);
	after = accounted(pool, &counting, b->cap);
	cr_assert_eq(after.grows_pooled, before.grows_pooled + 1);
	tierpool_put(b);
	pool_end(pool, &counting);
}

struct crew {
	tierpool *pool;
	bool stop;
	unsigned failures; /* of gets, which nothing here lets fail */
};

/* Holds two blocks of at most 64 KiB at a time: the one it has and the one it grows out of. */
static void *borrow_on(void *argument)
{
	struct crew *crew = argument;
	uint64_t random = (uintptr_t)&random | 1;

	while (!tp_load_relaxed(&crew->stop)) {
		tierpool_buf *b = tierpool_get_sized(crew->pool, next_random(&random) % (32 * KIB));

		if (!b || tierpool_buf_reserve(b, next_random(&random) % (64 * KIB)))
			tp_add_relaxed(&crew->failures, 1u);
		tierpool_put(b);
		if (next_random(&random) % 256 == 0)
			sched_yield();
	}
	return NULL;
}

Test(pool, retain_set_holds_at_once_while_threads_borrow)
{
	const size_t low = MIB, high = 8 * MIB, held = THREADS * 2 * 64 * KIB;
	pthread_t thread[THREADS];
	struct crew crew = {0};
	unsigned filled = 0, i;
	bool above = false;

	counting_backing_init(&counting);
	crew.pool = pool_on(&counting, .max_size = 64 * KIB, .retain = high);
	for (i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, borrow_on, &crew);
	/* No assertion while threads run: they use what is on this stack. */
	for (i = 0; i < 20000 && !above; i++) {
		struct tierpool_stats s;
		size_t live;

		cycle(crew.pool, 64 * KIB, 40);
		filled += stats_of(crew.pool).idle_bytes > low;
		tierpool_retain_set(crew.pool, low);
		live = counting_backing_live(&counting);
		s = stats_of(crew.pool);
		above = s.idle_bytes > low || live > low + tables_of(&s) + held;
		tierpool_retain_set(crew.pool, high);
	}
	tp_store_relaxed(&crew.stop, true);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert(!above, "more than the bound was kept when retain_set returned");
	cr_assert_eq(crew.failures, 0);
	cr_assert_gt(filled, 10000, "what was lowered has to be there");
	pool_end(crew.pool, &counting);
}

/* ---- two at once ---- */

/* A backing that holds each thread that frees in it until it is let go. */
static struct {
	struct tierpool_backing inner;
	bool holds;
	sem_t entered, leave[2];
} gate;

static __thread unsigned gate_side;

static void gate_free(void *context, void *block, size_t n)
{
	if (tp_load_relaxed(&gate.holds) && n == MIB) {
		sem_post(&gate.entered);
		sem_wait(&gate.leave[gate_side]);
	}
	gate.inner.free(context, block, n);
}

struct setting {
	tierpool *pool;
	size_t bytes;
	unsigned side; /* of the gate */
	bool returned;
};

static void *set_retain(void *argument)
{
	struct setting *setting = argument;

	gate_side = setting->side;
	tierpool_retain_set(setting->pool, setting->bytes);
	tp_store_release(&setting->returned, true);
	return NULL;
}

static tierpool *gated_pool(void)
{
	struct tierpool_backing calls;

	counting_backing_init(&counting);
	gate.inner = counting_backing_calls(&counting);
	calls = gate.inner;
	calls.free = gate_free;
	sem_init(&gate.entered, 0, 0);
	sem_init(&gate.leave[0], 0, 0);
	sem_init(&gate.leave[1], 0, 0);
	tp_store_relaxed(&gate.holds, true);
	return pool_new(.backing = &calls, .retain = 32 * MIB);
}

Test(pool, two_retain_sets_at_once_do_not_empty_the_pool, .timeout = 60)
{
	struct setting higher = {.bytes = 11 * MIB}, lower = {.bytes = 9 * MIB, .side = 1};
	pthread_t first, second;
	tierpool *pool;

	stay_on_this_cpu();
	higher.pool = lower.pool = pool = gated_pool();
	cycle(pool, MIB, 12);
	pthread_create(&first, NULL, set_retain, &higher);
	sem_wait(&gate.entered); /* the first frees the first of its two, and will look again */
	pthread_create(&second, NULL, set_retain, &lower);
	sem_wait(&gate.entered); /* the second has lowered the bound, and frees one of its four */
	tp_store_relaxed(&gate.holds, false);
	sem_post(&gate.leave[0]);
	pthread_join(first, NULL);
	sem_post(&gate.leave[1]);
	pthread_join(second, NULL);
	cr_assert_geq(
		accounted(pool, &counting, 0).idle, 4, "of six, two more at the most had to go");
	pool_end(pool, &counting);
}

static void *trim_all(void *pool)
{
	tierpool_trim(pool, 0);
	return NULL;
}

Test(pool, retain_set_waits_for_blocks_that_another_thread_is_freeing, .timeout = 60)
{
	struct setting none = {.bytes = TIERPOOL_RETAIN_NONE, .side = 1};
	pthread_t first, second;
	bool early;
	tierpool *pool;

	none.pool = pool = gated_pool();
	cycle(pool, MIB, 1);
	pthread_create(&first, NULL, trim_all, pool);
	sem_wait(&gate.entered); /* the block is idle no more, and not yet free */
	pthread_create(&second, NULL, set_retain, &none);
	usleep(50000); /* time enough to return, were it not for the block */
	early = tp_load_acquire(&none.returned);
	sem_post(&gate.leave[0]);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	cr_assert(!early);
	pool_end(pool, &counting);
}

/* ---- max_idle ---- */

Test(pool, max_idle_bounds_each_tier_exactly)
{
	static const size_t bounds[] = {1, 2, 7, 40, 64, 100};

	stay_on_this_cpu();
	for (unsigned i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
		struct tierpool_stats s;
		tierpool *pool;

		counting_backing_init(&counting);
		pool = pool_on(&counting, .max_idle = bounds[i], .max_size = 64 * KIB);
		for (unsigned again = 0; again < 3; again++)
			for (unsigned tier = 1; tier <= 3; tier++) {
				cycle(pool, 32 * KIB >> tier, 101);
				s = accounted(pool, &counting, 0);
				cr_assert_eq(s.idle, bounds[i] * (again ? 3 : tier));
			}
		cr_assert_eq(s.drops_idle_count, 9 * (101 - bounds[i]));
		cr_assert_eq(s.drops_retain, 0);
		pool_end(pool, &counting);
	}
}

/* ---- a budget for several pools ---- */

Test(pool, a_budget_is_made_of_more_than_nothing)
{
	tierpool_budget *budget = (tierpool_budget *)&counting;

	cr_assert_eq(tierpool_budget_create(&budget, 0), -EINVAL);
	cr_assert_null(budget);
}

Test(pool, a_shared_budget_is_used_up_by_two_pools_and_never_passed)
{
	const size_t bound = MIB;
	struct counting_backing other;
	tierpool_budget *budget;
	tierpool *pool[2];

	stay_on_this_cpu();
	counting_backing_init(&counting);
	counting_backing_init(&other);
	cr_assert_eq(tierpool_budget_create(&budget, bound), 0);
	pool[0] = pool_on(&counting, .budget = budget);
	pool[1] = pool_on(&other, .budget = budget);
	tierpool_budget_destroy(budget); /* the pools keep it alive */
	for (unsigned i = 0; i < 200; i++) {
		size_t sum;

		cycle(pool[i % 2], i % 3 ? 16 * KIB : 3 * KIB, 1 + i);
		sum = accounted(pool[0], &counting, 0).idle_bytes +
		      accounted(pool[1], &other, 0).idle_bytes;
		cr_assert_leq(sum, bound);
	}
	tierpool_trim(pool[0], 0);
	tierpool_trim(pool[1], 0);
	cycle(pool[0], 64 * KIB, 10);
	cycle(pool[1], 64 * KIB, 10);
	cr_assert_eq(stats_of(pool[0]).idle, 10);
	cr_assert_eq(stats_of(pool[1]).idle, 5, "what the other left of the budget");
	pool_end(pool[0], &counting);
	cycle(pool[1], 64 * KIB, 20);
	cr_assert_eq(stats_of(pool[1]).idle, 15, "a destroyed pool's share is free again");
	pool_end(pool[1], &other);
}

Test(pool, a_shared_budget_holds_while_threads_borrow_from_both_pools)
{
	const size_t bound = MIB, held = THREADS * 2 * 64 * KIB;
	struct crew crew[2] = {{0}, {0}};
	pthread_t thread[THREADS];
	tierpool_budget *budget;
	bool above = false;

	counting_backing_init(&counting);
	cr_assert_eq(tierpool_budget_create(&budget, bound), 0);
	for (unsigned i = 0; i < 2; i++)
		crew[i].pool = pool_on(&counting, .max_size = 64 * KIB, .budget = budget);
	tierpool_budget_destroy(budget);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, borrow_on, &crew[i % 2]);
	for (unsigned i = 0; i < 20000 && !above; i++) {
		size_t live, tables = 0;

		if (i % 4 == 0) /* more than the whole budget, so that it matters */
			cycle(crew[i / 4 % 2].pool, 64 * KIB, 40);
		live = counting_backing_live(&counting);
		for (unsigned n = 0; n < 2; n++)
			tables += tables_of((struct tierpool_stats[]){stats_of(crew[n].pool)});
		above = live > bound + tables + held;
		sched_yield();
	}
	for (unsigned i = 0; i < 2; i++)
		tp_store_relaxed(&crew[i].stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert(!above, "more than the budget was kept");
	cr_assert_eq(crew[0].failures + crew[1].failures, 0);
	cr_assert_leq(at_rest(crew[0].pool).idle_bytes + at_rest(crew[1].pool).idle_bytes, bound);
	tierpool_destroy(crew[0].pool);
	tierpool_destroy(crew[1].pool);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(pool, whatever_was_borrowed_the_bound_holds_for_real_bytes)
{
	uint64_t random = 362436069;

	for (unsigned round = 0; round < 40; round++) {
		size_t retain = next_random(&random) % (2 * MIB) + 1, out = 0;
		tierpool_buf *b[64] = {NULL};
		tierpool *pool;

		counting_backing_init(&counting);
		pool = pool_on(&counting, .retain = retain, .max_size = 128 * KIB);
		for (unsigned i = 0; i < 2000; i++) {
			unsigned at = next_random(&random) % 64;

			if (b[at]) {
				out -= b[at]->cap;
				tierpool_put(b[at]);
				b[at] = NULL;
			} else {
				size_t size = (size_t)1 << next_random(&random) % 18;

				b[at] = tierpool_get_sized(pool, size);
				tierpool_buf_reserve(b[at], next_random(&random) % (2 * size));
				out += b[at]->cap;
			}
			if (i % 64 == 0)
				tierpool_tick(pool);
			cr_assert_leq(accounted(pool, &counting, out).idle_bytes, retain);
		}
		for (unsigned i = 0; i < 64; i++)
			tierpool_put(b[i]);
		cr_assert_leq(
			counting_backing_live(&counting), retain + stats_of(pool).overhead_bytes);
		pool_end(pool, &counting);
	}
}
