/* SPDX-License-Identifier: MIT */
/*
 * A new bound on idle bytes: it holds when tierpool_retain_set returns, also while other threads
 * work, and it frees no more than it has to.
 */
#include "pool_checks.h"

#include "base/compiler.h"

#include <pthread.h>
#include <semaphore.h>

static struct counting_backing counting; /* each test is a process with one of its own */

Test(retain_set, it_holds_when_it_returns_and_can_be_raised_again)
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

/* Unused room goes first, and what that frees is not freed again in buffers. */
Test(retain_set, it_frees_no_more_than_the_bound_asks_for)
{
	tierpool *pool;
	size_t idle;

	stay_on_this_cpu();
	counting_backing_init(&counting);
	pool = pool_on(&counting);
	cycle(pool, KIB, 100);
	cycle(pool, 64 * KIB, 5);
	idle = accounted(pool, &counting, 0).idle_bytes;
	tierpool_retain_set(pool, idle);
	cr_assert_eq(accounted(pool, &counting, 0).idle_bytes, idle, "all of it fits");
	tierpool_retain_set(pool, 100 * KIB);
	idle = accounted(pool, &counting, 0).idle_bytes;
	cr_assert(idle <= 100 * KIB && idle > 98 * KIB, "%zu", idle);
	pool_end(pool, &counting);
}

/* ---- while threads borrow ---- */

#define THREADS 4
#define ROUNDS (SANITIZED ? 800u : 4000u)

struct crew {
	tierpool *pool;
	bool stop;
	unsigned failures; /* of gets; nothing here makes one fail */
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

Test(retain_set, it_holds_at_once_while_threads_borrow)
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
	for (i = 0; i < ROUNDS && !above; i++) {
		struct tierpool_stats s;
		size_t live, tables;

		cycle(crew.pool, 64 * KIB, 40);
		filled += stats_of(crew.pool).idle_bytes > low;
		tierpool_retain_set(crew.pool, low);
		tables = counting_backing_tables(crew.pool);
		live = counting_backing_live(&counting);
		tables = tp_max(tables, counting_backing_tables(crew.pool));
		s = stats_of(crew.pool);
		above = s.idle_bytes > low || live > low + tables + held;
		tierpool_retain_set(crew.pool, high);
	}
	tp_store_relaxed(&crew.stop, true);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert(!above, "more than the bound was kept when retain_set returned");
	cr_assert_eq(crew.failures, 0);
	cr_assert_gt(filled, ROUNDS / 2, "there has to be something to free");
	pool_end(crew.pool, &counting);
}

/* ---- two at once ---- */

/* A backing that stops each thread that frees 1 MiB in it, until the test lets it go. */
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
	return pool_new(.backing = &calls, .retain = 32 * MIB,
		.calibrate_every = TIERPOOL_CALIBRATE_OFF);
}

Test(retain_set, two_at_once_do_not_empty_the_pool, .timeout = 60)
{
	struct setting higher = {.bytes = 11 * MIB}, lower = {.bytes = 9 * MIB, .side = 1};
	pthread_t first, second;
	tierpool *pool;

	stay_on_this_cpu();
	higher.pool = lower.pool = pool = gated_pool();
	cycle(pool, MIB, 12);
	pthread_create(&first, NULL, set_retain, &higher);
	sem_wait(&gate.entered); /* the first frees one of its two blocks, and will look again */
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

Test(retain_set, it_waits_for_blocks_that_another_thread_is_freeing, .timeout = 60)
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
	usleep(20000); /* it would return in this time if it did not wait for the block */
	early = tp_load_acquire(&none.returned);
	sem_post(&gate.leave[0]);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	cr_assert(!early);
	pool_end(pool, &counting);
}
