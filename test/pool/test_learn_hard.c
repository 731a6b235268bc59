/* SPDX-License-Identifier: MIT */
/*
 * Learning where it is hard: memory runs out at a learned size, a fork comes in between, the pool's
 * id cannot stand in a stub, two CPUs, thousands of places, a place that is unloaded. In calm:
 * test_learn.c.
 */
#include "pool_checks.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "child.h"
#include "pool/pool.h"

static struct counting_backing counting; /* each test is a process with one of its own */
static char text[128 * KIB];

static void start(void)
{
	counting_backing_init(&counting);
	memset(text, 't', sizeof text);
}

TestSuite(learn_hard, .init = start);

static bool borrow(tierpool *pool, tierpool_site *stub, size_t n, unsigned times)
{
	int error = 0;

	while (times-- && !error) {
		tierpool_buf *b = tierpool_get_at(pool, 0, stub);

		error = tierpool_buf_append(b, text, n);
		tierpool_put(b);
	}
	return !error;
}

static size_t default_at(tierpool *pool, tierpool_site *stub)
{
	tierpool_buf *b = tierpool_get_at(pool, 0, stub);
	size_t cap = b ? b->cap : 0;

	tierpool_put(b);
	return cap;
}

/* A pool in which a place has learned to grow from 256 bytes to 128 KiB, and nothing is idle. */
static tierpool *pool_of_mix(tierpool_site *stub)
{
	tierpool *pool;

	stay_on_this_cpu();
	pool = pool_on(&counting, .decay_ms = TIERPOOL_DECAY_NEVER);
	for (unsigned i = 0; i < 100; i++)
		borrow(pool, stub, i % 20 ? 200 : 100000, 1);
	tierpool_trim(pool, 0);
	return pool;
}

/* ---- memory ---- */

static void assert_whole(const tierpool_buf *b)
{
	cr_assert_eq(b->len, 256);
	cr_assert_eq(memcmp(b->data, text, 256), 0);
}

Test(learn_hard, a_growth_that_finds_no_memory_for_the_learned_size_takes_what_is_needed)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("starved");
	tierpool *pool = pool_of_mix(&stub);

	for (unsigned nth = 1; nth <= 2; nth++) {
		tierpool_buf *b = tierpool_get_at(pool, 0, &stub);

		cr_assert_eq(tierpool_buf_append(b, text, 256), 0);
		counting_backing_fail(&counting, nth, false);
		cr_assert_eq(tierpool_buf_reserve(b, 1), 0);
		counting_backing_fail(&counting, 0, false);
		cr_assert_eq(b->cap, nth == 1 ? 512 : 128 * KIB, "allocation %u", nth);
		assert_whole(b);
		accounted(pool, &counting, b->cap);
		tierpool_put(b);
		tierpool_trim(pool, 0);
	}
	pool_end(pool, &counting);
}

Test(learn_hard, a_growth_that_finds_no_memory_at_all_is_ENOMEM_and_trains_as_none)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("starved");
	tierpool *pool = pool_of_mix(&stub);
	tierpool_buf *b = tierpool_get_at(pool, 0, &stub);
	uint64_t growths = tp_site_of_stub(&pool->sites, &stub)->growths;

	cr_assert_eq(tierpool_buf_append(b, text, 256), 0);
	counting_backing_fail(&counting, 1, true);
	cr_assert_eq(tierpool_buf_reserve(b, 1), -ENOMEM);
	counting_backing_fail(&counting, 0, false);
	cr_assert_eq(b->cap, 256);
	assert_whole(b);
	tierpool_put(b);
	cr_assert_eq(tp_site_of_stub(&pool->sites, &stub)->growths, growths);
	pool_end(pool, &counting);
}

Test(learn_hard, the_same_above_the_largest_tier)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("starved giant");
	tierpool *pool = pool_on(&counting, .max_size = 4 * KIB);
	tierpool_buf *b;

	borrow(pool, &stub, 100000, TP_LEARN);
	b = tierpool_get_at(pool, 0, &stub);
	cr_assert_eq(tierpool_buf_append(b, text, 256), 0);
	counting_backing_fail(&counting, 1, false);
	cr_assert_eq(tierpool_buf_reserve(b, 10000), 0);
	cr_assert_eq(b->cap, 10256);
	assert_whole(b);
	tierpool_put(b);
	pool_end(pool, &counting);
}

/* A place without memory for its node: its gets go on, and are the pool's own. */
Test(learn_hard, a_place_for_which_there_is_no_memory_learns_as_soon_as_there_is)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("late");
	tierpool *pool = pool_of_mix(&(tierpool_site)TIERPOOL_SITE_INIT("first"));

	cr_assert_eq(default_at(pool, NULL), KIB); /* so a block of 1 KiB is idle */
	counting_backing_fail(&counting, 1, true);
	for (unsigned i = 0; i < 10; i++)
		cr_assert(borrow(pool, &stub, 1000, 1));
	counting_backing_fail(&counting, 0, false);
	cr_assert_eq(pool->sites.count, 1);
	cr_assert(borrow(pool, &stub, 5000, TP_LEARN));
	cr_assert_eq(pool->sites.count, 2);
	cr_assert_eq(default_at(pool, &stub), 8 * KIB);
	cr_assert_eq(default_at(pool, NULL), KIB);
	pool_end(pool, &counting);
}

/* ---- fork ---- */

Test(learn_hard, the_child_of_a_fork_amid_a_judgement_calibrates)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("forks");
	tierpool *pool = pool_on(&counting);
	uint64_t calibrations;
	pid_t pid;

	borrow(pool, &stub, 200, TP_LEARN / 2);
	borrow(pool, NULL, 200, TP_LEARN / 2);
	calibrations = stats_of(pool).calibrations;
	tp_site_of_stub(&pool->sites, &stub)->sizes.judging = 1;
	pool->sites.own.sizes.judging = 1;
	pid = fork();
	if (!pid) {
		borrow(pool, &stub, 5000, TP_LEARN / 2);
		borrow(pool, NULL, 5000, TP_LEARN / 2);
		_exit(default_at(pool, &stub) != 8 * KIB || default_at(pool, NULL) != 8 * KIB ||
			stats_of(pool).calibrations != calibrations + 2);
	}
	cr_assert_eq(child_await(pid), 0);
	/* In the parent the thread that has the lock is still there. */
	borrow(pool, &stub, 5000, TP_LEARN);
	cr_assert_eq(default_at(pool, &stub), 256);
	pool_end(pool, &counting);
}

/* ---- ids ---- */

Test(learn_hard, a_pool_whose_id_no_stub_can_have_learns_like_any_other)
{
	tierpool_site stub[3] = {
		TIERPOOL_SITE_INIT("a"), TIERPOOL_SITE_INIT("b"), TIERPOOL_SITE_INIT("c")};
	tierpool *without = pool_on(&counting), *with = pool_on(&counting);

	without->sites.options.pool_id = 0;
	without->fast_id = UINT32_MAX;
	for (unsigned i = 0; i < 100; i++)
		for (unsigned k = 0; k < 3; k++) {
			cr_assert(borrow(without, &stub[k], (size_t)1000 << k, 1));
			cr_assert(borrow(with, &stub[k], (size_t)4000 << k, 1));
			cr_assert(borrow(without, NULL, 100, 1));
		}
	for (unsigned k = 0; k < 3; k++) {
		cr_assert_eq(default_at(without, &stub[k]), KIB << k);
		cr_assert_eq(default_at(with, &stub[k]), 4 * KIB << k);
		cr_assert_eq(tp_site_word_pool(stub[k].tp_word), with->sites.options.pool_id);
	}
	cr_assert_eq(default_at(without, NULL), 128);
	cr_assert_eq(without->sites.count, 3);
	cr_assert_eq(tierpool_destroy(with), 0);
	pool_end(without, &counting);
}

/* ---- two CPUs ---- */

#define BORROWS (SANITIZED ? 10000u : 50000u)

static struct {
	tierpool *pool;
	tierpool_site stub;
	unsigned faults;
} shared = {.stub = TIERPOOL_SITE_INIT("shared")};

static void *grow_on(void *argument)
{
	uint64_t random = (uintptr_t)argument + 1;

	if (!pin((unsigned)(uintptr_t)argument))
		tp_add_relaxed(&shared.faults, 1u);
	for (unsigned i = 0; i < BORROWS; i++) {
		size_t n = next_random(&random) % 4 ? 200 : 3000 + next_random(&random) % 30000;
		tierpool_buf *b = tierpool_get_at(shared.pool, 0, &shared.stub);

		while (b && b->len < n)
			if (tierpool_buf_append(b, text, tp_min(n - b->len, 700u)))
				tp_add_relaxed(&shared.faults, 1u);
		tierpool_put(b);
	}
	return NULL;
}

Test(learn_hard, a_place_that_grows_on_two_cpus_loses_no_growth)
{
	pthread_t thread[2];

	if (!pin(1))
		skip("there is one CPU only");
	shared.pool = pool_on(&counting);
	for (uintptr_t i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, grow_on, (void *)i), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(shared.faults, 0);
	cr_assert_eq(tp_site_of_stub(&shared.pool->sites, &shared.stub)->growths,
		accounted(shared.pool, &counting, 0).grows);
	cr_assert_gt(stats_of(shared.pool).calibrations, 7);
	pool_end(shared.pool, &counting);
}

/* ---- many places, and those that come and go ---- */

#define PLACES (SANITIZED ? 300u : 3000u)

static size_t place_size(unsigned place, unsigned pool)
{
	return (size_t)100 << (place + 3 * pool) % 7;
}

Test(learn_hard, thousands_of_places_in_two_pools_in_turn_keep_their_own_defaults)
{
	static tierpool_site stub[3000];
	tierpool *pool[2] = {pool_on(&counting), pool_on(&counting)};

	for (unsigned i = 0; i < PLACES; i++)
		stub[i] = (tierpool_site){.tp_file = "many.c", .tp_label = "place", .tp_line = i};
	for (unsigned i = 0; i < PLACES; i++)
		for (unsigned n = 0; n < 2 * TP_LEARN; n++)
			borrow(pool[n % 2], &stub[i], place_size(i, n % 2), 1);
	for (unsigned i = 0; i < 2 * PLACES; i++) {
		size_t learned = default_at(pool[i % 2], &stub[i / 2]);
		size_t used = place_size(i / 2, i % 2);

		cr_assert(learned >= used && learned < 2 * used, "place %u: %zu for %zu", i / 2,
			learned, used);
	}
	cr_assert_eq(pool[0]->sites.count, PLACES);
	cr_assert_eq(tierpool_destroy(pool[1]), 0);
	pool_end(pool[0], &counting);
}

/* A stub in memory of its own, as that of a plugin is. */
static tierpool_site *plugin_load(void)
{
	tierpool_site *stub = calloc(1, sizeof *stub);

	cr_assert_not_null(stub);
	*stub = (tierpool_site){
		.tp_file = strdup("plugin.c"), .tp_label = strdup("encode"), .tp_line = 42};
	return stub;
}

static void plugin_unload(tierpool_site *stub)
{
	free((char *)stub->tp_file);
	free((char *)stub->tp_label);
	free(stub);
}

Test(learn_hard, a_plugin_that_is_loaded_again_goes_on_with_what_it_had_learned)
{
	tierpool *pool = pool_on(&counting);

	for (unsigned load = 0; load < 8; load++) {
		tierpool_site *stub = plugin_load();

		cr_assert_eq(default_at(pool, stub), load ? 8 * KIB : KIB, "load %u", load);
		borrow(pool, stub, 5000, TP_LEARN / 4);
		plugin_unload(stub);
	}
	cr_assert_eq(pool->sites.count, 1);
	pool_end(pool, &counting);
}
