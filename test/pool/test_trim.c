/* SPDX-License-Identifier: MIT */
/*
 * What a tick and a trim free when the program asks for them, what they leave, and in which order,
 * out of every layer and while other threads work; and that the memory is back at the system. A new
 * bound: test_retain_set.c; ticks that come by themselves: test_surplus.c.
 */
#include "pool_checks.h"

#include <pthread.h>
#include <string.h>

#include "pool/pool.h"
#include "resident.h"

static struct counting_backing counting; /* each test is a process with one of its own */

static tierpool *tested; /* on it */

static void start(void)
{
	pin(0); /* so that tests can find a second CPU */
	counting_backing_init(&counting);
	tested = pool_on(&counting, .max_size = MIB, .decay_ms = UINT_MAX);
}

TestSuite(tick, .init = start);

/* ---- ticks ---- */

Test(tick, two_ticks_free_all_that_is_idle)
{
	unsigned n = fill(tested);
	struct tierpool_stats s = accounted(tested, &counting, 0);

	cr_assert_eq(s.idle, n);
	cr_assert_eq(tierpool_tick(tested), 0);
	cr_assert_eq(accounted(tested, &counting, 0).idle, n);
	cr_assert_eq(tierpool_tick(tested), s.idle_bytes, "the bytes released");
	s = accounted(tested, &counting, 0);
	cr_assert_eq(s.idle, 0);
	cr_assert_eq(s.drops_decay, n);
	cr_assert_eq(s.ticks, 2);
	pool_end(tested, &counting);
}

Test(tick, two_ticks_free_the_same_if_the_depot_has_no_memory)
{
	cycle(tested, KIB, 3);
	counting_backing_fail(&counting, 1, true);
	cr_assert_eq(tierpool_tick(tested), 0);
	cr_assert_eq(tierpool_tick(tested), 3 * (KIB + HEADER));
	counting_backing_fail(&counting, 0, false);
	cr_assert_eq(accounted(tested, &counting, 0).drops_decay, 3);
	pool_end(tested, &counting);
}

Test(tick, what_is_in_use_between_ticks_is_not_freed)
{
	size_t allocs;

	cycle(tested, KIB, 10);
	cycle(tested, 100 * KIB, 3);
	allocs = counting_backing_allocs(&counting);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(tierpool_tick(tested), 0);
		cycle(tested, KIB, 10);
		cycle(tested, 100 * KIB, 3);
	}
	cr_assert_eq(counting_backing_allocs(&counting), allocs);
	pool_end(tested, &counting);
}

Test(tick, borrowed_buffers_do_not_age)
{
	tierpool_buf *b = tierpool_get(tested);

	for (unsigned i = 0; i < 3; i++)
		tierpool_tick(tested);
	cr_assert_eq(tierpool_buf_append(b, "alive", 5), 0);
	tierpool_put(b);
	cr_assert_eq(tierpool_tick(tested), 0, "its time counts from its put");
	cr_assert_eq(tierpool_tick(tested), KIB + HEADER);
	pool_end(tested, &counting);
}

Test(tick, a_block_that_growth_displaced_is_not_aged)
{
	tierpool *depots = pool_on(&counting, .max_idle = 1); /* which puts all into depots */
	tierpool_buf *b;

	cycle(depots, 4 * KIB, 1);
	tierpool_tick(depots);
	b = tierpool_get_sized(depots, KIB);
	cr_assert_eq(tierpool_buf_reserve(b, 4 * KIB), 0);
	cr_assert_eq(stats_of(depots).grows_pooled, 1, "with the aged one");
	cr_assert_eq(tierpool_tick(depots), 0, "its former block was in use until then");
	cr_assert_eq(tierpool_tick(depots), KIB + HEADER);
	tierpool_put(b);
	tierpool_destroy(depots);
	pool_end(tested, &counting);
}

Test(tick, what_growth_displaced_on_a_cpu_that_owes_a_tick_is_not_aged_for_it)
{
	tierpool_buf *b;

	if (!pin(1) || !pin(0))
		skip("needs two CPUs");
	cycle(tested, 4 * KIB, 1);
	b = (tierpool_get_sized)(tested, KIB);
	/* Hard at work, so that the tick leaves this CPU to itself; then the CPU falls quiet. */
	for (unsigned i = 0; i < 10000; i++)
		cycle(tested, 4 * KIB, 1);
	pin(1);
	tierpool_tick(tested);
	pin(0);
	cr_assert_eq(tierpool_buf_reserve(b, 8 * KIB), 0);
	cr_assert_eq(stats_of(tested).grows, 1);
	pin(1);
	tierpool_tick(tested);
	cr_assert_geq(at_rest(tested).idle, 1, "its former block was in use until the last tick");
	tierpool_put(b);
	pool_end(tested, &counting);
}

/* Gets and puts of many sizes, so that no countdown is likely to expire. */
static void work_hard(tierpool *pool)
{
	for (unsigned i = 0; i < 350; i++)
		for (size_t size = 64; size <= 16 * KIB; size *= 2)
			cycle(pool, size, 1);
}

Test(tick, what_lies_idle_on_a_cpu_that_stays_busy_is_gone_by_the_third_tick)
{
	size_t released = 0;

	if (!pin(1))
		skip("needs two CPUs");
	cycle(tested, 100 * KIB, 3);
	for (unsigned tick = 0; tick < 3; tick++) {
		pin(1);
		work_hard(tested);
		pin(0);
		released += tierpool_tick(tested);
	}
	cr_assert_geq(released, 3 * (128 * KIB + HEADER), "%zu", released);
	pool_end(tested, &counting);
}

Test(tick, tick_and_trim_of_NULL_reach_every_pool)
{
	tierpool *all[] = {tested, pool_on(&counting, .max_size = MIB), tierpool_default()};

	for (unsigned trims = 0; trims < 2; trims++) {
		size_t bytes = 0;

		for (unsigned i = 0; i < 3; i++) {
			fill(all[i]);
			bytes += at_rest(all[i]).idle_bytes;
		}
		if (trims)
			cr_assert_eq(tierpool_trim(NULL, 0), bytes);
		else
			cr_assert_eq(tierpool_tick(NULL) + tierpool_tick(NULL), bytes);
		for (unsigned i = 0; i < 3; i++)
			cr_assert_eq(at_rest(all[i]).idle, 0);
	}
	tierpool_destroy(all[1]);
	pool_end(tested, &counting);
}

/* ---- trims ---- */

Test(trim, it_brings_idle_bytes_to_what_it_is_told_to_keep, .init = start)
{
	static const size_t keeps[] = {SIZE_MAX, 4 * MIB, MIB + HEADER, MIB, 100 * KIB, 1, 0};

	for (unsigned i = 0; i < sizeof keeps / sizeof keeps[0]; i++) {
		struct tierpool_stats before, after;
		size_t released, live;

		fill(tested);
		before = accounted(tested, &counting, 0);
		live = counting_backing_live(&counting);
		released = tierpool_trim(tested, keeps[i]);
		after = accounted(tested, &counting, 0);
		cr_assert_leq(after.idle_bytes, keeps[i]);
		cr_assert_eq(before.idle_bytes - after.idle_bytes, released);
		/* Headers lie elsewhere; arrays of depots may have gone too. */
		cr_assert_geq(live - counting_backing_live(&counting),
			released - (before.idle - after.idle) * HEADER);
		cr_assert_eq(after.drops_trim - before.drops_trim, before.idle - after.idle);
		if (before.idle_bytes <= keeps[i])
			cr_assert_eq(released, 0);
	}
	pool_end(tested, &counting);
}

/* ---- with every layer filled ---- */

#define PLENTY ((size_t)1 << 40) /* so that each tier has its stacks, on any number of CPUs */
#define MOST 40

/* What lies in a pool before it is trimmed: n buffers of a size from each of two CPUs. */
static const struct layer {
	size_t size;
	unsigned n; /* more than a stack holds, so that some are in the depot */
	bool aged;
} layers[] = {
	{64 * KIB, 40, true}, {128 * KIB, 36, true}, {64 * KIB, 12, false}, {256 * KIB, 36, false}};

#define LAYERS (sizeof layers / sizeof layers[0])
#define CPUS 2

/* Borrows what is to lie in one layer, from the CPU that this thread is on. */
static void layer_borrow(tierpool *pool, const struct layer *layer, tierpool_buf **b)
{
	for (unsigned i = 0; i < layer->n; i++)
		cr_assert_not_null(b[i] = get_touched(pool, layer->size));
}

static void layer_put(const struct layer *layer, tierpool_buf **b)
{
	for (unsigned i = 0; i < layer->n; i++)
		tierpool_put(b[i]);
}

/* Fills them all. Returns from how many CPUs. */
static unsigned fill_layers(tierpool *pool)
{
	static tierpool_buf *b[CPUS][LAYERS][MOST];
	unsigned cpu_count = 0;

	/* All at once, so that each is another buffer; the young ones are put last. */
	for (; cpu_count < CPUS && pin(cpu_count); cpu_count++)
		for (unsigned i = 0; i < LAYERS; i++)
			layer_borrow(pool, &layers[i], b[cpu_count][i]);
	for (int aged = 1; aged >= 0; aged--) {
		for (unsigned cpu_id = 0; cpu_id < cpu_count; cpu_id++) {
			pin(cpu_id);
			for (unsigned i = 0; i < LAYERS; i++)
				if (layers[i].aged == aged)
					layer_put(&layers[i], b[cpu_id][i]);
		}
		if (aged)
			tierpool_tick(pool);
	}
	return cpu_count;
}

/* Fails when one of the layers is empty, since a trim of it would prove nothing. */
static void layers_check(const tierpool *pool)
{
	for (unsigned i = 0; i < LAYERS; i++) {
		unsigned tier = tp_sizeclass_of(&pool->sizes, layers[i].size), stacks = 0;

		for (unsigned cpu_id = 0; cpu_id < pool->tiers.cpus.count; cpu_id++)
			stacks += tp_tiers_depth(&pool->tiers, cpu_id, tier) != 0;
		cr_assert_geq(stacks, pin(1) ? 2 : 1, "tier %u", tier);
		cr_assert_gt(tp_depot_count(&pool->tiers.tier[tier].depot), 0, "tier %u", tier);
	}
}

/* A backing that writes down how many blocks of each size were freed. */
static struct {
	struct counting_backing counting;
	unsigned freed[64]; /* by the logarithm of the size */
} diary;

static unsigned *diary_of(size_t n)
{
	return &diary.freed[__builtin_ctzl(n)];
}

static void diary_free(void *context, void *block, size_t n)
{
	if (n >= 64 * KIB)
		(*diary_of(n))++;
	counting_backing_free(context, block, n);
}

/* A trim that has to free so many bytes frees n blocks of this size, and no others. */
static void expect_trimmed(tierpool *pool, size_t bytes, unsigned n, size_t size)
{
	size_t exact = n * (size + HEADER);
	struct tierpool_stats s = stats_of(pool);

	memset(diary.freed, 0, sizeof diary.freed);
	cr_assert_eq(tierpool_trim(pool, s.idle_bytes - bytes), exact);
	cr_assert_eq(*diary_of(size), n, "%u of %zu KiB", *diary_of(size), size / KIB);
	cr_assert_eq(stats_of(pool).idle, s.idle - n, "and no others");
	cr_assert_eq(stats_of(pool).idle_bytes, s.idle_bytes - exact);
}

static void expect_layer_trimmed(tierpool *pool, unsigned n, size_t size)
{
	expect_trimmed(pool, n * (size + HEADER), n, size);
}

Test(trim, a_trim_takes_aged_ones_first_and_of_them_the_large_out_of_every_layer)
{
	struct tierpool_backing calls;
	unsigned cpu_count;
	tierpool *pool;

	counting_backing_init(&diary.counting);
	calls = counting_backing_calls(&diary.counting);
	calls.free = diary_free;
	pool = pool_new(.backing = &calls, .retain = PLENTY, .decay_ms = UINT_MAX);
	cpu_count = fill_layers(pool);
	layers_check(pool);
	expect_layer_trimmed(pool, cpu_count * layers[1].n, layers[1].size);
	expect_layer_trimmed(pool, cpu_count * layers[0].n, layers[0].size);
	expect_trimmed(pool, 1, 1, layers[3].size);
	expect_layer_trimmed(pool, cpu_count * layers[3].n - 1, layers[3].size);
	expect_layer_trimmed(pool, cpu_count * layers[2].n, layers[2].size);
	cr_assert_eq(accounted(pool, &diary.counting, 0).idle, 0);
	pool_end(pool, &diary.counting);
}

/* ---- while a thread works ---- */

#define WORKING (8 * KIB) /* what the worker borrows, one at a time */
/*
 * Some more of them may be idle: one was put to another CPU, because its own was stopped; and one
 * that moves while idle bytes are added up is counted twice.
 */
#define IN_WORK (4 * WORKING)
#define CLOSE (2 * MIB) /* above the start, at which one thread has worked */

static struct {
	tierpool *pool;
	pthread_t thread;
	bool over;
	unsigned failures;
	uint64_t pairs;
} worker;

/* On the second CPU, where there is one. */
static void *work(void *unused)
{
	pin(1);
	while (!tp_load_relaxed(&worker.over)) {
		tierpool_buf *b = get_touched(worker.pool, WORKING);

		if (!b)
			tp_add_relaxed(&worker.failures, 1u);
		tierpool_put(b);
		tp_add_relaxed(&worker.pairs, 1u);
	}
	return unused;
}

static void worker_start(tierpool *pool)
{
	worker.pool = pool;
	pthread_create(&worker.thread, NULL, work, NULL);
	while (tp_load_relaxed(&worker.pairs) < 100)
		sched_yield();
}

static void worker_end(void)
{
	tp_store_relaxed(&worker.over, true);
	pthread_join(worker.thread, NULL);
	cr_assert_eq(worker.failures, 0);
}

/* What is there after a trim. Nothing is asserted while the worker runs. */
struct trimmed {
	size_t keep, idle_bytes, resident;
};

static struct trimmed trim_to(tierpool *pool, size_t keep)
{
	struct tierpool_stats s = {.size = sizeof s};

	tierpool_trim(pool, keep);
	if (tierpool_stats_read(worker.pool, &s))
		s.idle_bytes = SIZE_MAX;
	return (struct trimmed){keep, s.idle_bytes, resident()};
}

static void trimmed_check(const struct trimmed *t, size_t start)
{
	cr_assert_leq(t->idle_bytes, t->keep + IN_WORK, "%zu kept of %zu", t->idle_bytes, t->keep);
	if (resident_is_useful())
		cr_assert_leq(above(t->resident, start), t->keep + CLOSE, "%zu kept: +%zu KiB",
			t->keep, above(t->resident, start) / KIB);
}

static void trim_while_working(const char *backing)
{
	struct trimmed at[4];
	size_t start, full, all;
	tierpool *pool;

	setenv("TIERPOOL_BACKING", backing, 1);
	pool = pool_new(.retain = PLENTY, .decay_ms = UINT_MAX);
	pin(0);
	worker_start(pool);
	start = resident();
	fill_layers(pool);
	full = resident();
	all = stats_of(pool).idle_bytes;
	pin(0);
	for (unsigned i = 0; i < 4; i++)
		at[i] = trim_to(pool, all / 4 * (3 - i));
	worker_end();
	cr_assert_str_eq(at_rest(pool).backing, backing);
	if (resident_is_useful())
		cr_assert_geq(above(full, start), all / 10 * 9, "all pages were touched");
	for (unsigned i = 0; i < 4; i++)
		trimmed_check(&at[i], start);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(trim, a_trim_gives_pages_back_while_a_thread_works_on_libc)
{
	trim_while_working("libc");
}

Test(trim, a_trim_gives_pages_back_while_a_thread_works_on_jemalloc)
{
	if (!mallctl)
		skip("this program is not linked with jemalloc");
	trim_while_working("jemalloc");
}

Test(trim, a_trim_of_every_pool_gives_pages_back_while_a_thread_works)
{
	struct tierpool_stats s[3];
	struct trimmed at;
	tierpool *pool[3];
	size_t start;

	for (unsigned i = 0; i < 3; i++)
		pool[i] = i ? pool_new(.retain = PLENTY, .decay_ms = UINT_MAX) : tierpool_default();
	pin(0);
	worker_start(pool[2]);
	start = resident();
	for (unsigned i = 0; i < 3; i++)
		fill_layers(pool[i]);
	at = trim_to(NULL, 0);
	for (unsigned i = 0; i < 3; i++)
		s[i] = stats_of(pool[i]);
	worker_end();
	trimmed_check(&at, start);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_leq(s[i].idle_bytes, i == 2 ? IN_WORK : 0, "pool %u", i);
	for (unsigned i = 1; i < 3; i++)
		cr_assert_eq(tierpool_destroy(pool[i]), 0);
}
