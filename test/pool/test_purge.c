/* SPDX-License-Identifier: MIT */
/*
 * Memory goes back to the system. 128 threads each hold 256 KiB and then put all of it: what is
 * kept is within the bound at every instant, after three ticks nothing is kept, and the process is as
 * small as before. The same when ticks come by themselves.
 */
#include "pool_checks.h"

#include <pthread.h>
#include <string.h>

#include "pool/pool.h"
#include "resident.h"

#define THREADS 128
#define HELD (256 * KIB) /* by each of them, in blocks of one size */
#define SMALLEST KIB
#define ROUNDS 8      /* at least; the last of them is measured */
#define READINGS 1000 /* of the watcher, at least */
#define RETAIN (8 * MIB)
#define NEAR (6 * MIB) /* to the start: headers, and what malloc makes of 128 threads */

static struct {
	tierpool *pool;
	size_t block;
	pthread_barrier_t step;
	bool again; /* one more round; set while all threads wait */
	bool over;
	unsigned failures; /* of gets */
	size_t readings;   /* of the watcher */
	size_t too_much;   /* the first reading above the bound; 0: none */
} crowd;

static void step(void)
{
	pthread_barrier_wait(&crowd.step);
}

/*
 * The memory that a thread takes for itself belongs to the start: the stack that the calls below
 * need, and what malloc sets up for each thread that uses it.
 */
__attribute__((noinline)) static void settle_in(void)
{
	char deep[16 * KIB];
	void *first = malloc(KIB);

	memset(deep, 1, sizeof deep);
	__asm__ volatile("" : : "r"(deep), "r"(first) : "memory");
	free(first);
}

static void *hold(void *unused)
{
	tierpool_buf *b[HELD / SMALLEST];
	size_t n = HELD / crowd.block;

	settle_in();
	step(); /* all are there, and the start is measured */
	step();
	while (crowd.again) {
		for (size_t i = 0; i < n; i++) {
			b[i] = get_touched(crowd.pool, crowd.block);
			if (!b[i])
				tp_add_relaxed(&crowd.failures, 1u);
		}
		step(); /* all hold, and the peak is measured */
		step();
		for (size_t i = 0; i < n; i++)
			tierpool_put(b[i]);
		step(); /* all have put; what is left is measured, and whether again is set */
		step();
	}
	step(); /* the threads are there until the last measurement, as at the start */
	return unused;
}

static void *watch(void *unused)
{
	settle_in();
	while (!tp_load_relaxed(&crowd.over)) {
		struct tierpool_stats s = {.size = sizeof s};

		if (tierpool_stats_read(crowd.pool, &s))
			tp_add_relaxed(&crowd.failures, 1u);
		if (s.idle_bytes > RETAIN && !crowd.too_much)
			crowd.too_much = s.idle_bytes;
		tp_add_relaxed(&crowd.readings, 1u);
	}
	return unused;
}

/* Bytes resident, and idle, at each turn. */
struct course {
	size_t start, peak, put, idle_put, tables_put, idle_ticked, ticked, trimmed;
};

/* No assertion here: the threads use what is on this stack. */
static struct course crowd_run(void)
{
	pthread_t thread[THREADS], watcher;
	struct course c;

	pthread_barrier_init(&crowd.step, NULL, THREADS + 1);
	pthread_create(&watcher, NULL, watch, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, hold, NULL);
	while (!tp_load_relaxed(&crowd.readings))
		sched_yield();
	step();
	c.start = resident();
	crowd.again = true;
	step();
	for (unsigned rounds = 1; crowd.again; rounds++) {
		step();
		c.peak = resident();
		step();
		step();
		c.put = resident();
		crowd.again = rounds < ROUNDS || tp_load_relaxed(&crowd.readings) < READINGS;
		step();
	}
	c.idle_put = stats_of(crowd.pool).idle_bytes;
	c.tables_put = stats_of(crowd.pool).overhead_bytes;
	/* A CPU that is hard at work is spared one of three. */
	for (unsigned tick = 0; tick < 3; tick++)
		tierpool_tick(crowd.pool);
	c.idle_ticked = stats_of(crowd.pool).idle_bytes;
	c.ticked = resident();
	tierpool_trim(crowd.pool, 0);
	c.trimmed = resident();
	step();
	tp_store_relaxed(&crowd.over, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	pthread_join(watcher, NULL);
	return c;
}

static void crowd_puts_all(const char *backing, size_t block)
{
	struct course c;

	setenv("TIERPOOL_BACKING", backing, 1);
	crowd.block = block;
	crowd.pool = pool_new(.retain = RETAIN);
	cr_assert_str_eq(stats_of(crowd.pool).backing, backing);
	c = crowd_run();
	cr_assert_eq(crowd.failures, 0);
	cr_assert_eq(crowd.too_much, 0, "%zu idle bytes, above retain", crowd.too_much);
	cr_assert_gt(c.idle_put, RETAIN / 2, "there has to be something to free");
	cr_assert_eq(c.idle_ticked, 0, "after three ticks");
	cr_assert_eq(at_rest(crowd.pool).idle, 0);
	tierpool_destroy(crowd.pool);
	if (!resident_is_useful())
		return;
	fprintf(stderr, "%s, blocks of %zu KiB: %zu KiB at the start, +%zu held, ", backing,
		block / KIB, c.start / KIB, above(c.peak, c.start) / KIB);
	fprintf(stderr,
		"+%zu put (%zu of it tables), +%zu after ticks, +%zu after a trim; %zu readings\n",
		above(c.put, c.start) / KIB, c.tables_put / KIB, above(c.ticked, c.start) / KIB,
		above(c.trimmed, c.start) / KIB, crowd.readings);
	cr_assert_geq(c.peak, c.start + THREADS * HELD, "all pages were touched");
	cr_assert_leq(above(c.put, c.start), RETAIN + c.tables_put + NEAR);
	cr_assert_leq(above(c.ticked, c.start), NEAR);
	cr_assert_leq(above(c.trimmed, c.start), NEAR);
}

TestSuite(purge, .timeout = 120);

Test(purge, a_crowd_puts_all_in_blocks_of_256_KiB_on_libc)
{
	crowd_puts_all("libc", 256 * KIB);
}

Test(purge, a_crowd_puts_all_in_blocks_of_1_KiB_on_libc)
{
	crowd_puts_all("libc", KIB);
}

static void crowd_puts_all_on_jemalloc(size_t block)
{
	if (!mallctl)
		skip("this program is not linked with jemalloc");
	crowd_puts_all("jemalloc", block);
}

Test(purge, a_crowd_puts_all_in_blocks_of_256_KiB_on_jemalloc)
{
	crowd_puts_all_on_jemalloc(256 * KIB);
}

Test(purge, a_crowd_puts_all_in_blocks_of_1_KiB_on_jemalloc)
{
	crowd_puts_all_on_jemalloc(KIB);
}

/* ---- without being asked ---- */

/* Ticks come by themselves, and pages go after them, a piece in each call. */
static void pool_frees_by_itself(size_t size)
{
	enum { BYTES = 32 << 20 };
	tierpool *pool = pool_new(.decay_ms = 50);
	size_t count = BYTES / size, start, most;
	tierpool_buf **b = calloc(count, sizeof(tierpool_buf *));

	stay_on_this_cpu();
	memset(b, 1, count * sizeof(tierpool_buf *));
	cycle(pool, size, 1);
	start = resident();
	for (size_t i = 0; i < count; i++)
		cr_assert_not_null(b[i] = get_touched(pool, size));
	most = resident();
	for (size_t i = 0; i < count; i++)
		tierpool_put(b[i]);
	while (stats_of(pool).idle > 1 || !tp_pool_is_purged(pool))
		for (unsigned i = 0; i < 1000; i++)
			cycle(pool, size == KIB ? 64 : KIB, 1);
	cr_assert_leq(stats_of(pool).overhead_bytes, MIB, "%zu", stats_of(pool).overhead_bytes);
	if (resident_is_useful())
		cr_assert_leq(above(resident(), start), above(most, start) / 10,
			"%zu KiB above the start, of %zu KiB", above(resident(), start) / KIB,
			above(most, start) / KIB);
	free(b);
	tierpool_destroy(pool);
}

Test(purge, the_pages_of_what_a_pool_frees_by_itself_go_back_to_the_system)
{
	for (size_t size = 64; size <= 4 * MIB; size *= 8)
		pool_frees_by_itself(size);
}

/* In any case: the same by a trim, after which not even tables are left. */
Test(purge, after_a_trim_a_burst_of_small_buffers_leaves_no_tables)
{
	enum { COUNT = 300000 };
	tierpool *pool = pool_new(.name = "small");
	tierpool_buf **b = calloc(COUNT, sizeof(tierpool_buf *));
	size_t before;

	cycle(pool, 64, 1);
	before = stats_of(pool).overhead_bytes;
	for (size_t i = 0; i < COUNT; i++)
		cr_assert_not_null(b[i] = (tierpool_get_sized)(pool, 64));
	for (size_t i = 0; i < COUNT; i++)
		tierpool_put(b[i]);
	cr_assert_gt(stats_of(pool).overhead_bytes, before + MIB, "arrays of depots");
	tierpool_trim(pool, 0);
	cr_assert_leq(stats_of(pool).overhead_bytes, before + 256 * KIB);
	free(b);
	cr_assert_eq(tierpool_destroy(pool), 0);
}
