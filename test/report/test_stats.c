/* SPDX-License-Identifier: MIT */
/*
 * Statistics: every field is compared with what the test has done and what a counting backing has
 * seen.
 */
#include "pool_checks.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "memory/pages.h"
#include "percpu/cpu.h"
#include "pool/pool.h"

static struct counting_backing counting; /* each test is a process with one of its own */

static void start(void)
{
	counting_backing_init(&counting);
}

TestSuite(stats, .init = start);

/* ---- the call ---- */

Test(stats, read_refuses_what_it_cannot_fill)
{
	tierpool *pool = pool_new(.name = "refuses");
	struct {
		struct tierpool_stats known;
		char tail[8];
	} out = {.known = {.gets = 77}};

	out.known.size = sizeof out.known;
	cr_assert_eq(tierpool_stats_read(NULL, &out.known), -EINVAL);
	cr_assert_eq(tierpool_stats_read(pool, NULL), -EINVAL);
	for (size_t size = 0; size < sizeof(size_t); size++) {
		out.known.size = size;
		cr_assert_eq(tierpool_stats_read(pool, &out.known), -EINVAL);
	}
	out.known.size = sizeof out.known + 1;
	cr_assert_eq(tierpool_stats_read(pool, &out.known), -EINVAL);
	out.known.size = SIZE_MAX;
	cr_assert_eq(tierpool_stats_read(pool, &out.known), -EINVAL);
	cr_assert_eq(out.known.gets, 77, "nothing was written");
	tierpool_destroy(pool);
}

Test(stats, read_writes_no_more_than_the_size_it_is_given)
{
	tierpool *pool = pool_new(.name = "small");
	struct tierpool_stats whole, part;

	cycle(pool, 100, 3);
	whole = stats_of(pool);
	for (size_t size = sizeof(size_t); size <= sizeof part; size++) {
		memset(&part, 0xaa, sizeof part);
		part.size = size;
		cr_assert_eq(tierpool_stats_read(pool, &part), 0);
		cr_assert_eq(part.size, size);
		cr_assert_eq(memcmp((char *)&part + sizeof size, (char *)&whole + sizeof size,
				     size - sizeof size),
			0);
		for (size_t i = size; i < sizeof part; i++)
			cr_assert_eq(((unsigned char *)&part)[i], 0xaa);
	}
	tierpool_destroy(pool);
}

Test(stats, read_of_a_pool_that_is_gone_is_ENOENT)
{
	struct tierpool_stats s = {.size = sizeof s};
	tierpool *pool = pool_new(.name = "gone");

	tierpool_destroy(pool);
	cr_assert_eq(tierpool_stats_read(pool, &s), -ENOENT);
}

/* ---- what they say ---- */

struct expected {
	uint64_t gets, puts, hits, allocs, frees, grows, grows_pooled;
	size_t borrowed, idle, idle_bytes;
};

static void assert_counts(tierpool *pool, size_t out, const char *step, struct expected e)
{
	struct tierpool_stats s = accounted(pool, &counting, out);
	struct expected is = {s.gets, s.puts, s.hits, s.allocs, s.frees, s.grows, s.grows_pooled,
		s.borrowed, s.idle, s.idle_bytes};

	cr_assert(!memcmp(&is, &e, sizeof e),
		"%s: gets %zu puts %zu hits %zu allocs %zu frees %zu grows %zu pooled %zu "
		"borrowed %zu idle %zu bytes %zu",
		step, (size_t)s.gets, (size_t)s.puts, (size_t)s.hits, (size_t)s.allocs,
		(size_t)s.frees, (size_t)s.grows, (size_t)s.grows_pooled, s.borrowed, s.idle,
		s.idle_bytes);
}

Test(stats, every_step_of_a_script_is_counted_as_it_is)
{
	const size_t k1 = KIB + HEADER, k2 = 2 * KIB + HEADER;
	tierpool_buf *a, *b;
	tierpool *pool;

	stay_on_this_cpu();
	pool = pool_on(&counting, .max_size = 4 * KIB);
	assert_counts(pool, 0, "new", (struct expected){0});
	a = tierpool_get(pool);
	assert_counts(pool, KIB, "a miss", (struct expected){1, 0, 0, 1, 0, 0, 0, 1, 0, 0});
	tierpool_put(a);
	assert_counts(pool, 0, "its put", (struct expected){1, 1, 0, 1, 0, 0, 0, 0, 1, k1});
	a = tierpool_get(pool);
	assert_counts(pool, KIB, "a hit", (struct expected){2, 1, 1, 1, 0, 0, 0, 1, 0, 0});
	b = tierpool_get_sized(pool, KIB);
	assert_counts(
		pool, 2 * KIB, "another miss", (struct expected){3, 1, 1, 2, 0, 0, 0, 2, 0, 0});
	tierpool_buf_reserve(a, 2 * KIB);
	assert_counts(pool, 3 * KIB, "a growth that allocates",
		(struct expected){3, 1, 1, 3, 0, 1, 0, 2, 1, k1});
	tierpool_put(a);
	assert_counts(pool, KIB, "a put of what grew",
		(struct expected){3, 2, 1, 3, 0, 1, 0, 1, 2, k1 + k2});
	tierpool_buf_reserve(b, 2 * KIB);
	assert_counts(pool, 2 * KIB, "a pooled growth",
		(struct expected){3, 2, 1, 3, 0, 2, 1, 1, 2, 2 * k1});
	tierpool_buf_reserve(b, 5 * KIB);
	assert_counts(pool, b->cap, "a growth beyond the largest tier",
		(struct expected){3, 2, 1, 4, 0, 3, 1, 1, 3, 2 * k1 + k2});
	tierpool_put(b);
	assert_counts(pool, 0, "a put of an oversize one",
		(struct expected){3, 3, 1, 4, 1, 3, 1, 0, 3, 2 * k1 + k2});
	tierpool_trim(pool, k1);
	assert_counts(pool, 0, "a trim", (struct expected){3, 3, 1, 4, 3, 3, 1, 0, 1, k1});
	tierpool_tick(pool);
	tierpool_tick(pool);
	assert_counts(pool, 0, "two ticks", (struct expected){3, 3, 1, 4, 4, 3, 1, 0, 0, 0});
	pool_end(pool, &counting);
}

/* Of all drops only those of one reason happened, and n of them. Ends the pool. */
#define DROPPED(pool, reason, n)                                                 \
	do {                                                                     \
		struct tierpool_stats seen = accounted((pool), &counting, 0);    \
                                                                                 \
		cr_assert_eq(seen.reason, (n), "%zu", (size_t)seen.reason);      \
		cr_assert_eq(seen.frees, (n), "there were other drops as well"); \
		pool_end((pool), &counting);                                     \
	} while (0)

Test(stats, each_drop_is_counted_by_its_reason)
{
	const size_t cost = KIB + HEADER;
	tierpool_budget *budget;
	tierpool *pool;

	stay_on_this_cpu();
	cr_assert_eq(tierpool_budget_create(&budget, 9 * cost), 0);

	pool = pool_on(&counting, .max_size = 4 * KIB);
	cycle(pool, 5000, 7);
	DROPPED(pool, drops_oversize, 7);

	pool = pool_on(&counting, .retain = 9 * cost);
	cycle(pool, KIB, 20);
	DROPPED(pool, drops_retain, 11);

	pool = pool_on(&counting, .budget = budget);
	tierpool_budget_destroy(budget);
	cycle(pool, KIB, 20);
	DROPPED(pool, drops_retain, 11);

	pool = pool_on(&counting, .max_idle = 9);
	cycle(pool, KIB, 20);
	cycle(pool, 64 * KIB, 10);
	DROPPED(pool, drops_idle_count, 12);

	pool = pool_on(&counting, .max_size = MIB);
	cycle(pool, KIB, 20);
	tierpool_tick(pool);
	tierpool_tick(pool);
	cr_assert_eq(stats_of(pool).ticks, 2);
	DROPPED(pool, drops_decay, 20);

	pool = pool_on(&counting, .max_size = MIB);
	cycle(pool, KIB, 20);
	tierpool_trim(pool, 15 * cost);
	cr_assert_eq(stats_of(pool).drops_trim, 5);
	tierpool_retain_set(pool, 7 * cost);
	DROPPED(pool, drops_trim, 13);
}

Test(stats, drops_of_a_destroyed_pool_are_counted_while_a_buffer_is_borrowed)
{
	struct tierpool_stats s;
	tierpool_buf *a, *b;
	tierpool *pool;

	pool = pool_on(&counting, .max_size = MIB);
	a = tierpool_get(pool);
	b = tierpool_get(pool);
	cycle(pool, KIB, 20);
	cr_assert_eq(tierpool_destroy(pool), 2);
	s = accounted(pool, &counting, 2 * KIB);
	cr_assert(s.drops_destroy == 20 && s.frees == 20);
	tierpool_put(a);
	s = accounted(pool, &counting, KIB);
	cr_assert(s.drops_destroy == 21 && s.frees == 21);
	tierpool_put(b);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
}

Test(stats, idle_bytes_are_what_blocks_spend_and_the_headers)
{
	tierpool *pool = pool_new(.name = "cost", .calibrate_every = TIERPOOL_CALIBRATE_OFF);
	size_t sum = 0;

	for (unsigned tier = 0; tier < pool->sizes.count; tier++) {
		cycle(pool, pool->sizes.size[tier], 1);
		cr_assert_geq(tp_blocks_cost(&pool->blocks, tier), pool->sizes.size[tier]);
		sum += tp_blocks_cost(&pool->blocks, tier) + HEADER;
		cr_assert_eq(at_rest(pool).idle_bytes, sum, "tier %u", tier);
	}
	tierpool_destroy(pool);
}

/* On a backing of the program's own; headers and slabs are mappings in any case. */
Test(stats, overhead_is_what_the_pool_takes_besides_its_buffers)
{
	size_t empty, page = tp_max(tp_pages_size, 4096);
	struct tierpool_stats s;
	tierpool *pool;

	stay_on_this_cpu();
	pool = pool_on(&counting, .max_size = MIB);
	empty = accounted(pool, &counting, 0).overhead_bytes;
	cr_assert_eq(empty, counting_backing_live(&counting));
	tierpool_put(tierpool_get(pool));
	s = accounted(pool, &counting, 0);
	/* The header's own page, and perhaps that of the table of headers; a slab. */
	cr_assert_geq(s.overhead_bytes + s.idle_bytes,
		counting_backing_live(&counting) + page + pool->tiers.slab_bytes);
	cr_assert_leq(s.overhead_bytes + s.idle_bytes,
		counting_backing_live(&counting) + 2 * page + pool->tiers.slab_bytes);
	cr_assert_gt(counting_backing_live(&counting), empty, "and this site");
	pool_end(pool, &counting);
}

Test(stats, the_peak_is_reached_and_kept)
{
	struct tierpool_stats s;
	size_t peak = 0;
	tierpool *pool;

	pool = pool_on(&counting, .retain = MIB);
	for (unsigned i = 1; i < 100; i++) {
		cycle(pool, (size_t)64 << i % 14, i);
		s = accounted(pool, &counting, 0);
		cr_assert_geq(s.idle_bytes_peak, s.idle_bytes);
		cr_assert_geq(s.idle_bytes_peak, peak);
		cr_assert_leq(s.idle_bytes_peak, MIB);
		peak = s.idle_bytes_peak;
	}
	tierpool_trim(pool, 0);
	cr_assert_eq(accounted(pool, &counting, 0).idle_bytes_peak, peak);
	pool_end(pool, &counting);
}

Test(stats, no_peak_is_below_what_is_leased_in_the_same_reading)
{
	tierpool *pool = pool_on(&counting, .retain = MIB);
	struct tp_budget *bytes = &pool->tiers.retain, *buffers = &pool->tiers.tier[3].many;
	struct tierpool_tier_stats tier[4];
	struct tierpool_stats s;

	cycle(pool, KIB, 3);
	/* As if a thread were off its CPU that has leased these, and has not raised the peak yet. */
	bytes->leased += 10 * KIB;
	buffers->leased += 10;
	s = stats_of(pool);
	cr_assert_gt(s.leased_bytes, 10 * KIB);
	cr_assert_geq(s.idle_bytes_peak, s.leased_bytes);
	cr_assert_gt(tierpool_stats_tiers(pool, tier, 4, sizeof *tier), 4);
	cr_assert_geq(tier[3].leased, 10);
	cr_assert_geq(tier[3].leased_peak, tier[3].leased);
	bytes->leased -= 10 * KIB;
	buffers->leased -= 10;
	pool_end(pool, &counting);
}

Test(stats, settings_and_names_are_reported)
{
	extern void *mallocx(size_t, int) __attribute__((weak));
	struct tierpool_stats s;
	tierpool *pool;

	unsetenv("TIERPOOL_BACKING");
	pool = pool_new(.min_size = 100, .max_size = 5000, .retain = 12345);
	s = at_rest(pool);
	cr_assert_eq(s.size, sizeof s);
	cr_assert_eq(s.retain, 12345);
	cr_assert_eq(s.max_size, 5000);
	cr_assert_geq(s.default_size, KIB);
	cr_assert_lt(s.default_size, 2 * KIB);
	cr_assert_str_eq(s.backing, mallocx ? "jemalloc" : "libc");
	cr_assert(!strcmp(s.percpu, "locked") || !strcmp(s.percpu, "rseq"));
	cr_assert_str_eq(s.percpu, tp_cpu_mode());
	cr_assert_eq(s.calibrations, 0);
	tierpool_destroy(pool);
	pool = pool_on(&counting, .max_size = MIB);
	cr_assert_str_eq(stats_of(pool).backing, "custom");
	pool_end(pool, &counting);
}

/* ---- while calls run ---- */

#define THREADS 4
#define WATCHERS 2
#define LOOKS (SANITIZED ? 10000u : 30000u)
#define RETAIN (256 * KIB)

struct crew {
	tierpool *pool;
	bool stop;
	uint64_t gets, puts, grows; /* gets and puts: begun, so that no reading may have more */
};

static void *borrow_on(void *argument)
{
	struct crew *crew = argument;
	uint64_t random = (uintptr_t)&random | 1, grows = 0;

	while (!tp_load_relaxed(&crew->stop)) {
		tierpool_buf *b[4];

		for (unsigned i = 0; i < 4; i++) {
			tp_add_relaxed(&crew->gets, 1u);
			b[i] = tierpool_get_sized(
				crew->pool, (size_t)64 << next_random(&random) % 12);
			for (; next_random(&random) % 2 && b[i]->cap < 32 * KIB; grows++)
				tierpool_buf_reserve(b[i], b[i]->cap + 1);
		}
		for (unsigned i = 0; i < 4; i++) {
			tp_add_relaxed(&crew->puts, 1u);
			tierpool_put(b[i]);
		}
		if (next_random(&random) % 256 == 0)
			tierpool_tick(crew->pool);
		if (next_random(&random) % 64 == 0)
			sched_yield();
	}
	tp_add_relaxed(&crew->grows, grows);
	return NULL;
}

/* What contradicts an earlier reading, or itself, or NULL. */
static const char *went_back(const struct tierpool_stats *was, const struct tierpool_stats *is)
{
#define COUNTER(name)             \
	if (is->name < was->name) \
		return #name " went back";
	COUNTER(gets)
	COUNTER(puts)
	COUNTER(hits)
	COUNTER(allocs)
	COUNTER(frees)
	COUNTER(grows)
	COUNTER(grows_pooled)
	COUNTER(drops_oversize)
	COUNTER(drops_retain)
	COUNTER(drops_idle_count)
	COUNTER(drops_decay)
	COUNTER(drops_trim)
	COUNTER(drops_destroy)
	COUNTER(idle_bytes_peak)
	COUNTER(calibrations)
	COUNTER(ticks)
	COUNTER(fences)
#undef COUNTER
	if (is->hits > is->gets)
		return "more hits than gets";
	if (is->idle_bytes > RETAIN || is->idle_bytes_peak > RETAIN)
		return "more idle bytes than retain";
	if (is->idle_bytes > is->idle_bytes_peak)
		return "idle bytes above their peak";
	if (is->retain != RETAIN)
		return "another bound than the one that was set";
	return NULL;
}

static void *watch(void *argument)
{
	struct crew *crew = argument;
	struct tierpool_stats was = {0}, is;
	const char *fault = NULL;

	for (unsigned i = 0; i < LOOKS && !fault; i++, was = is) {
		is = (struct tierpool_stats){.size = sizeof is};
		if (tierpool_stats_read(crew->pool, &is))
			fault = "no statistics";
		else if (is.gets > tp_load_relaxed(&crew->gets))
			fault = "more gets than were begun";
		else if (is.puts > tp_load_relaxed(&crew->puts))
			fault = "more puts than were begun";
		else
			fault = went_back(&was, &is);
		if (i % 64 == 0)
			sched_yield();
	}
	return (void *)fault;
}

Test(stats, while_calls_run_no_counter_goes_back_and_the_bound_holds)
{
	pthread_t thread[THREADS], watcher[WATCHERS];
	struct crew crew = {0};
	void *fault[WATCHERS];
	struct tierpool_stats s;

	crew.pool = pool_on(&counting, .max_size = 64 * KIB, .retain = RETAIN);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, borrow_on, &crew);
	for (unsigned i = 0; i < WATCHERS; i++)
		pthread_create(&watcher[i], NULL, watch, &crew);
	for (unsigned i = 0; i < WATCHERS; i++)
		pthread_join(watcher[i], &fault[i]);
	tp_store_relaxed(&crew.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < WATCHERS; i++)
		cr_assert(!fault[i], "%s", (const char *)fault[i]);
	s = accounted(crew.pool, &counting, 0);
	cr_assert_eq(s.gets, crew.gets, "exact at rest");
	cr_assert_eq(s.puts, crew.puts);
	cr_assert_eq(s.grows, crew.grows);
	pool_end(crew.pool, &counting);
}
