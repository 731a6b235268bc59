/* SPDX-License-Identifier: MIT */
/*
 * By its data a borrowed buffer is found, on each backing, also while other threads grow theirs and end
 * pools; by any other address nothing is, and nothing is touched.
 */
#include "pool_checks.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "pool/pool.h"
#include "resident.h"

#define SIZES 18 /* 64 bytes to 8 MiB */
#define OVERSIZE (20 * MIB)

/* A borrowed buffer is found by its data alone. */
static void check_found(tierpool_buf *b)
{
	errno = 7;
	cr_assert_eq(tierpool_buf_of(b->data), b);
	cr_assert_null(tierpool_buf_of(b->data + 1));
	cr_assert_null(tierpool_buf_of(b->data + b->cap - 1));
	cr_assert_null(tierpool_buf_of(b));
	b->len = 40;
	cr_assert_eq(tierpool_buf_consume(b, 20), 0);
	cr_assert_eq(tierpool_buf_of(b->data), b);
	cr_assert_null(tierpool_buf_of(b->data - 20), "it lies further on");
	tierpool_buf_reset(b);
	cr_assert_eq(tierpool_buf_of(b->data), b);
	cr_assert_eq(errno, 7);
}

static void check_pool(tierpool *pool)
{
	tierpool_buf *b[SIZES + 1], *grown;
	char *was;

	for (unsigned i = 0; i <= SIZES; i++) {
		b[i] = tierpool_get_sized(pool, i < SIZES ? (size_t)64 << i : OVERSIZE);
		cr_assert_not_null(b[i]);
	}
	for (unsigned i = 0; i <= SIZES; i++)
		check_found(b[i]);
	grown = b[3];
	was = grown->data;
	cr_assert_eq(tierpool_buf_reserve(grown, 100 * KIB), 0);
	check_found(grown);
	cr_assert_neq(tierpool_buf_of(was), grown, "its old block is another's");
	cr_assert_eq(tierpool_buf_reserve(b[SIZES], OVERSIZE + MIB), 0);
	check_found(b[SIZES]);
	for (unsigned i = 0; i <= SIZES; i++)
		tierpool_put(b[i]);
	was = b[0]->data;
	cr_assert_null(tierpool_buf_of(was), "it is idle");
	b[0] = tierpool_get_sized(pool, 200);
	cr_assert_eq(tierpool_destroy(pool), 1);
	check_found(b[0]); /* of a pool that is destroyed */
	was = b[0]->data;
	tierpool_put(b[0]);
	cr_assert_null(tierpool_buf_of(was));
}

static void on_backing(const char *name)
{
	setenv("TIERPOOL_BACKING", name, 1);
	cr_assert_str_eq(stats_of(tierpool_default()).backing, name);
	check_pool(pool_new(.retain = 64 * MIB));
	check_pool(pool_new(.alignment = 4096));
}

Test(find, on_libc)
{
	on_backing("libc");
}

Test(find, on_jemalloc)
{
	if (!mallctl)
		skip("this program is not linked with jemalloc");
	if (SANITIZED || under_valgrind())
		skip("where each block is watched there is no jemalloc");
	on_backing("jemalloc");
}

static struct counting_backing counting;

Test(find, on_a_backing_of_the_program)
{
	counting_backing_init(&counting);
	check_pool(pool_on(&counting, .retain = 64 * MIB));
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

static const void *at(uintptr_t address)
{
	return (const void *)address; /* NOLINT(performance-no-int-to-ptr) */
}

Test(find, any_other_address_is_nobodys)
{
	tierpool *pool = pool_new(.name = "other"), *custom;
	tierpool_buf *b = tierpool_get(pool);
	char *ours = malloc(100), here;

	counting_backing_init(&counting);
	custom = pool_on(&counting, .name = "custom");
	for (unsigned bit = 0; bit < 64; bit++) {
		cr_assert_null(tierpool_buf_of(at(UINT64_C(1) << bit)));
		cr_assert_null(tierpool_buf_of(at(-(UINT64_C(1) << bit))));
	}
	cr_assert_null(tierpool_buf_of(NULL));
	cr_assert_null(tierpool_buf_of(&here));
	cr_assert_null(tierpool_buf_of(ours));
	cr_assert_null(tierpool_buf_of(b), "a header is no block");
	cr_assert_null(tierpool_buf_of(pool));
	free(ours);
	tierpool_put(b);
	tierpool_destroy(custom);
	tierpool_destroy(pool);
}

/* ---- while others grow theirs ---- */

#define THREADS 3
#define ROUNDS 2000

static struct {
	tierpool *pool;
	unsigned wrong;
} crowd;

/* Each round a new buffer, which grows through all sizes: its block is another's before and after. */
static void *grow_and_find(void *unused)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		tierpool_buf *b = (tierpool_get_sized)(crowd.pool, 64);

		for (size_t n = 64; b && n < 8 * KIB; n *= 2)
			if (tierpool_buf_of(b->data) != b || tierpool_buf_reserve(b, n))
				tp_add_relaxed(&crowd.wrong, 1u);
		if (!b)
			tp_add_relaxed(&crowd.wrong, 1u);
		tierpool_put(b);
	}
	return unused;
}

static void crowd_finds(tierpool *pool)
{
	pthread_t thread[THREADS];

	crowd.pool = pool;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, grow_and_find, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(crowd.wrong, 0, "%u", crowd.wrong);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(find, each_thread_finds_its_own_while_blocks_change_hands, .timeout = 120)
{
	counting_backing_init(&counting);
	crowd_finds(pool_new(.name = "runs"));
	crowd_finds(pool_on(&counting, .name = "custom"));
}

/* ---- while pools end ---- */

static struct {
	const void *seen; /* data of a buffer that may be gone */
	bool stop;
} gone;

/* Looks for buffers of others, whose pools end, and for its own, whose memory was theirs. */
static void *find_others(void *unused)
{
	while (!tp_load_relaxed(&gone.stop)) {
		tierpool_buf *b = (tierpool_get_sized)(crowd.pool, 100);

		(void)!tierpool_buf_of(tp_load_relaxed(&gone.seen));
		if (tierpool_buf_of(b->data) != b)
			tp_add_relaxed(&crowd.wrong, 1u);
		tierpool_put(b);
	}
	return unused;
}

static void end_pools(bool custom)
{
	pthread_t thread[THREADS];

	crowd.pool = custom ? pool_on(&counting, .retain = TIERPOOL_RETAIN_NONE)
			    : pool_new(.name = "crowd");
	gone.stop = false;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, find_others, NULL);
	for (unsigned round = 0; round < 300; round++) {
		tierpool *pool =
			custom ? pool_on(&counting, .name = "short") : pool_new(.name = "short");
		tierpool_buf *b[20];

		for (unsigned i = 0; i < 20; i++)
			b[i] = (tierpool_get_sized)(pool, 100 + 1000 * i);
		tp_store_relaxed(&gone.seen, (const void *)b[round % 20]->data);
		for (unsigned i = 0; i < 20; i++)
			tierpool_put(b[i]);
		cr_assert_eq(tierpool_destroy(pool), 0);
	}
	tp_store_relaxed(&gone.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(crowd.wrong, 0, "%u", crowd.wrong);
	cr_assert_eq(tierpool_destroy(crowd.pool), 0);
}

Test(find, any_pointer_may_be_looked_for_while_pools_end, .timeout = 120)
{
	counting_backing_init(&counting);
	end_pools(false);
	end_pools(true);
}
