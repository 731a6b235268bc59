/* SPDX-License-Identifier: MIT */
/*
 * What a trim frees, and in which order, whatever layer the buffers lie in and whoever works
 * meanwhile; and that the memory really is back at the system.
 */
#include "pool_checks.h"

#include <pthread.h>
#include <string.h>

#include "pool/pool.h"
#include "resident.h"

/* ---- trim, with every layer filled ---- */

#define PLENTY ((size_t)1 << 40) /* so that each tier has its stacks, on however many CPUs */
#define MOST 20

/* What is to lie in a pool before it is trimmed: so many of a size from each of two CPUs. */
static const struct layer {
	size_t size;
	unsigned n; /* more than a stack holds, so that some are in the depot */
	bool aged;
} layers[] = {
	{64 * KIB, 20, true}, {128 * KIB, 12, true}, {64 * KIB, 10, false}, {256 * KIB, 12, false}};

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

/* How many CPUs there were to do it from. */
static unsigned fill_layers(tierpool *pool)
{
	static tierpool_buf *b[CPUS][LAYERS][MOST];
	unsigned cpus = 0;

	/* All at once, so that none of them is another one again; the young ones are put late. */
	for (; cpus < CPUS && pin(cpus); cpus++)
		for (unsigned i = 0; i < LAYERS; i++)
			layer_borrow(pool, &layers[i], b[cpus][i]);
	for (int aged = 1; aged >= 0; aged--) {
		for (unsigned cpu_id = 0; cpu_id < cpus; cpu_id++) {
			pin(cpu_id);
			for (unsigned i = 0; i < LAYERS; i++)
				if (layers[i].aged == aged)
					layer_put(&layers[i], b[cpu_id][i]);
		}
		if (aged)
			tierpool_tick(pool);
	}
	return cpus;
}

/* Fails where one of the layers is empty, which would make a trim of them easy. */
static void layers_check(const tierpool *pool)
{
	for (unsigned i = 0; i < LAYERS; i++) {
		unsigned tier = tp_sizeclass_of(&pool->sizes, layers[i].size), stacks = 0;

		for (unsigned cpu_id = 0; cpu_id < pool->tiers.cpus.count; cpu_id++)
			stacks += tp_word_depth(tp_tiers_word(&pool->tiers, cpu_id, tier)) != 0;
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

/* A trim that is to free so many bytes frees these blocks, and no others. */
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

Test(pool_trim, a_trim_takes_aged_ones_first_and_of_them_the_large_out_of_every_layer)
{
	struct tierpool_backing calls;
	unsigned cpus;
	tierpool *pool;

	counting_backing_init(&diary.counting);
	calls = counting_backing_calls(&diary.counting);
	calls.free = diary_free;
	pool = pool_new(.backing = &calls, .retain = PLENTY, .decay_ms = UINT_MAX);
	cpus = fill_layers(pool);
	layers_check(pool);
	expect_layer_trimmed(pool, cpus * layers[1].n, layers[1].size);
	expect_layer_trimmed(pool, cpus * layers[0].n, layers[0].size);
	expect_trimmed(pool, 1, 1, layers[3].size);
	expect_layer_trimmed(pool, cpus * layers[3].n - 1, layers[3].size);
	expect_layer_trimmed(pool, cpus * layers[2].n, layers[2].size);
	cr_assert_eq(accounted(pool, &diary.counting, 0).idle, 0);
	pool_end(pool, &diary.counting);
}

/* ---- and with somebody at work ---- */

#define WORKING (8 * KIB) /* what the worker borrows, one at a time */
/*
 * Of them some more may be idle: one that was put to another CPU, because its own was stopped; and
 * one that moves while idle bytes are summed up is seen twice.
 */
#define IN_WORK (4 * WORKING)
#define CLOSE (2 * MIB) /* to the start, where one thread has worked */

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

/* One more trim, and what is there then; the worker goes on, so nothing is asserted here. */
struct trimmed {
	size_t keep, idle_bytes, resident;
};

static struct trimmed trim_to(tierpool *pool, size_t keep)
{
	struct tierpool_stats s = {.size = sizeof s};

	tierpool_trim(pool, keep);
	tierpool_stats_read(worker.pool, &s);
	return (struct trimmed){keep, s.idle_bytes, resident()};
}

static void trimmed_check(const struct trimmed *t, size_t start)
{
	cr_assert_leq(t->idle_bytes, t->keep + IN_WORK, "%zu kept of %zu", t->idle_bytes, t->keep);
	if (resident_tells())
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
	if (resident_tells())
		cr_assert_geq(above(full, start), all / 10 * 9, "all pages were touched");
	for (unsigned i = 0; i < 4; i++)
		trimmed_check(&at[i], start);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

Test(pool_trim, a_trim_gives_pages_back_while_a_thread_works_on_libc)
{
	trim_while_working("libc");
}

Test(pool_trim, a_trim_gives_pages_back_while_a_thread_works_on_jemalloc)
{
	if (!mallctl)
		skip("this program is not linked with jemalloc");
	trim_while_working("jemalloc");
}

Test(pool_trim, a_trim_of_every_pool_gives_pages_back_while_a_thread_works)
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
