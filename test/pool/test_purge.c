/* SPDX-License-Identifier: MIT */
/*
 * Memory goes back to the system. 128 threads each hold 256 KiB and then put all of it: what is
 * kept is within the bound at every instant, after two ticks nothing is kept, and the process is as
 * small as before. The same when ticks come by themselves.
 */
#include "pool_checks.h"

#include <pthread.h>
#include <string.h>

#include "resident.h"

#define THREADS 128
#define HELD (256 * KIB) /* by each of them, in blocks of one size */
#define SMALLEST (16 * KIB)
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
	size_t start, peak, put, idle_put, idle_ticked, ticked, trimmed;
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
	tierpool_tick(crowd.pool);
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
	bool mapped = !strcmp(backing, "libc");
	struct course c;

	setenv("TIERPOOL_BACKING", backing, 1);
	crowd.block = block;
	crowd.pool = pool_new(.retain = RETAIN);
	cr_assert_str_eq(stats_of(crowd.pool).backing, backing);
	c = crowd_run();
	cr_assert_eq(crowd.failures, 0);
	cr_assert_eq(crowd.too_much, 0, "%zu idle bytes, above retain", crowd.too_much);
	cr_assert_gt(c.idle_put, RETAIN / 2, "there has to be something to free");
	cr_assert_eq(c.idle_ticked, 0, "after two ticks");
	cr_assert_eq(at_rest(crowd.pool).idle, 0);
	tierpool_destroy(crowd.pool);
	if (!resident_is_useful())
		return;
	fprintf(stderr, "%s, blocks of %zu KiB: %zu KiB at the start, +%zu held, ", backing,
		block / KIB, c.start / KIB, above(c.peak, c.start) / KIB);
	fprintf(stderr, "+%zu put, +%zu after ticks, +%zu after a trim; %zu readings\n",
		above(c.put, c.start) / KIB, above(c.ticked, c.start) / KIB,
		above(c.trimmed, c.start) / KIB, crowd.readings);
	cr_assert_geq(c.peak, c.start + THREADS * HELD, "all pages were touched");
	/*
	 * A mapping is gone with its buffer; jemalloc keeps pages until the tick that leaves
	 * nothing.
	 */
	if (mapped)
		cr_assert_leq(above(c.put, c.start), RETAIN + NEAR);
	cr_assert_leq(above(c.ticked, c.start), NEAR);
	cr_assert_leq(above(c.trimmed, c.start), NEAR);
}

TestSuite(purge, .timeout = 120);

Test(purge, a_crowd_puts_all_in_blocks_of_256_KiB_on_libc)
{
	crowd_puts_all("libc", 256 * KIB);
}

/* Below 64 KiB libc's malloc has the blocks, which gives back what is at the end of its heap. */
Test(purge, a_crowd_puts_all_in_blocks_of_64_KiB_on_libc)
{
	crowd_puts_all("libc", 64 * KIB);
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

/* Below 16 KiB jemalloc's thread caches have the blocks: 128 of them here. */
Test(purge, a_crowd_puts_all_in_blocks_of_16_KiB_on_jemalloc)
{
	crowd_puts_all_on_jemalloc(16 * KIB);
}

/* ---- without being asked ---- */

Test(purge, the_pages_of_what_a_pool_frees_by_itself_go_back_to_the_system)
{
	enum { BUFFERS = 32 };
	tierpool *pool = pool_new(.max_size = MIB, .decay_ms = 100);
	tierpool_buf *b[BUFFERS];
	size_t most;

	if (strcmp(stats_of(pool).backing, "jemalloc"))
		skip("with this backing a free gives its pages back or keeps them for good");
	if (!resident_is_useful())
		skip("resident bytes say nothing here");
	stay_on_this_cpu();
	cycle(pool, KIB, 1);
	for (unsigned i = 0; i < BUFFERS; i++)
		cr_assert_not_null(b[i] = get_touched(pool, MIB));
	for (unsigned i = 0; i < BUFFERS; i++)
		tierpool_put(b[i]);
	most = resident();
	/*
	 * The backing gets the blocks within three ticks, and lets their pages go within two more.
	 */
	while (stats_of(pool).ticks < 6)
		for (unsigned i = 0; i < 1000; i++)
			cycle(pool, KIB, 1);
	cr_assert_eq(stats_of(pool).idle, 1);
	cr_assert_leq(resident(), most - BUFFERS / 2 * MIB, "%zu KiB, and %zu KiB now", most / KIB,
		resident() / KIB);
	tierpool_destroy(pool);
}
