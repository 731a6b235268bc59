/* SPDX-License-Identifier: MIT */
/*
 * The numbers of an object cache: each is compared with what the test did, and what the objects saw.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "child.h"
#include "cpus.h"
#include "percpu/cpu.h"
#include "process/registry.h"

#define STACK 63 /* objects that lie on a CPU at the most */
#define MANY 1000

static struct tierpool_cache_stats stats_of(tierpool_cache *cache)
{
	struct tierpool_cache_stats s = {.size = sizeof s};

	cr_assert_eq(tierpool_cache_stats_read(cache, &s), 0);
	return s;
}

/* While no call runs. What the numbers say of each other, and what the objects do. */
static struct tierpool_cache_stats at_rest(tierpool_cache *cache)
{
	struct tierpool_cache_stats s = stats_of(cache);

	cr_assert_eq(s.gets, s.hits_cpu + s.hits_depot + s.hits_other_cpu + s.creates);
	cr_assert_eq(s.puts + s.creates, s.gets + s.destroys + s.idle,
		"puts %zu creates %zu gets %zu destroys %zu idle %zu", (size_t)s.puts,
		(size_t)s.creates, (size_t)s.gets, (size_t)s.destroys, s.idle);
	cr_assert_eq(s.idle, objects_in(IDLE));
	cr_assert_str_eq(s.percpu, tp_cpu_mode());
	return s;
}

/* ---- the call ---- */

Test(cache_stats, read_refuses_what_it_cannot_fill)
{
	tierpool_cache *cache = cache_new(.name = "refuses");
	struct {
		struct tierpool_cache_stats known;
		char tail[8];
	} out = {.known = {.gets = 77}};
	static const size_t refused[] = {0, sizeof(size_t) - 1, sizeof out.known + 1, SIZE_MAX};

	out.known.size = sizeof out.known;
	cr_assert_eq(tierpool_cache_stats_read(NULL, &out.known), -EINVAL);
	cr_assert_eq(tierpool_cache_stats_read(cache, NULL), -EINVAL);
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		out.known.size = refused[i];
		cr_assert_eq(tierpool_cache_stats_read(cache, &out.known), -EINVAL);
	}
	tierpool_cache_destroy(cache);
	out.known.size = sizeof out.known;
	cr_assert_eq(tierpool_cache_stats_read(cache, &out.known), -ENOENT);
	cr_assert_eq(out.known.gets, 77, "nothing was written");
}

Test(cache_stats, read_writes_no_more_than_the_size_it_is_given)
{
	tierpool_cache *cache = cache_of_objects();
	struct tierpool_cache_stats whole, part;

	objects_cycle(cache, 100);
	whole = stats_of(cache);
	for (size_t size = sizeof size; size <= sizeof part; size++) {
		memset(&part, 0xaa, sizeof part);
		part.size = size;
		cr_assert_eq(tierpool_cache_stats_read(cache, &part), 0);
		cr_assert_eq(part.size, size);
		cr_assert_eq(memcmp((char *)&part + sizeof size, (char *)&whole + sizeof size,
				     size - sizeof size),
			0);
		for (size_t i = size; i < sizeof part; i++)
			cr_assert_eq(((unsigned char *)&part)[i], 0xaa);
	}
	cache_end(cache);
}

/* ---- the name ---- */

static const char *name_of(tierpool_cache *cache)
{
	return ((struct tp_registered *)cache)->name;
}

Test(cache_stats, a_name_is_copied_and_may_be_left_out)
{
	struct tierpool_cache_options options = TIERPOOL_CACHE_OPTIONS_INIT;
	char name[300];
	tierpool_cache *cache;

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = 0;
	options.name = name;
	cache = cache_with(&options);
	memset(name, 'x', sizeof name - 1);
	cr_assert_eq(strlen(name_of(cache)), sizeof name - 1);
	cr_assert_eq(strspn(name_of(cache), "n"), sizeof name - 1);
	tierpool_cache_destroy(cache);
	options.name = NULL;
	cache = cache_with(&options);
	cr_assert_str_eq(name_of(cache), "cache");
	tierpool_cache_destroy(cache);
	cache = cache_with(NULL);
	cr_assert_str_eq(name_of(cache), "cache");
	tierpool_cache_destroy(cache);
	/* A program that was compiled before there were names. */
	options.size = offsetof(struct tierpool_cache_options, name);
	options.name = (const char *)(uintptr_t)1;
	cache = cache_with(&options);
	cr_assert_str_eq(name_of(cache), "cache");
	tierpool_cache_destroy(cache);
}

/* ---- what they say ---- */

Test(cache_stats, every_step_of_a_script_is_counted_as_it_is)
{
	tierpool_cache *cache = cache_of_objects();
	struct tierpool_cache_stats s = at_rest(cache);
	struct object *o[2 * STACK];

	stay_on_this_cpu();
	cr_assert(!s.gets && !s.puts && !s.creates && !s.destroys && !s.idle && !s.ticks);
	for (unsigned i = 0; i < 2 * STACK; i++)
		o[i] = object_get(cache);
	s = at_rest(cache);
	cr_assert(s.gets == 2 * STACK && s.creates == 2 * STACK && !s.puts);
	for (unsigned i = 0; i < 2 * STACK; i++)
		object_put(cache, o[i]);
	s = at_rest(cache);
	cr_assert(s.puts == 2 * STACK && s.idle == 2 * STACK && s.gets == 2 * STACK);
	for (unsigned i = 0; i < 2 * STACK; i++)
		o[i] = object_get(cache);
	s = at_rest(cache);
	cr_assert(s.gets == 4 * STACK && s.creates == 2 * STACK);
	cr_assert_gt(s.hits_cpu, STACK / 2);
	cr_assert_gt(s.hits_depot, 0, "some lay in the depot");
	cr_assert_eq(s.hits_other_cpu, 0);
	for (unsigned i = 0; i < 2 * STACK; i++)
		object_put(cache, o[i]);
	cr_assert_eq(tierpool_cache_tick(cache) + tierpool_cache_tick(cache), 2 * STACK);
	s = at_rest(cache);
	cr_assert(s.destroys == 2 * STACK && s.idle == 0 && s.ticks == 2 && s.puts == 4 * STACK);
	cache_end(cache);
}

Test(cache_stats, what_create_does_not_make_is_no_get_and_what_nobody_destroys_is_gone)
{
	tierpool_cache *cache = cache_with(NULL);
	struct tierpool_cache_stats s;

	cr_assert_null(tierpool_cache_get(cache));
	objects_give(cache, 10);
	tierpool_cache_tick(cache);
	tierpool_cache_tick(cache);
	s = stats_of(cache);
	cr_assert(s.gets == 0 && s.creates == 0 && s.puts == 10 && s.destroys == 10 && s.idle == 0);
	tierpool_cache_destroy(cache);
}

Test(cache_stats, overhead_grows_with_the_tables_and_not_with_the_objects)
{
	tierpool_cache *cache = cache_of_objects();
	size_t before = stats_of(cache).overhead_bytes, filled;

	cr_assert_gt(before, sizeof(struct tp_registered));
	objects_cycle(cache, MANY);
	filled = stats_of(cache).overhead_bytes;
	cr_assert_gt(filled, before);
	cr_assert_lt(filled, before + (1 << 20));
	objects_cycle(cache, MANY);
	cr_assert_eq(stats_of(cache).overhead_bytes, filled);
	cache_end(cache);
}

/* ---- threads ---- */

#define THREADS 4
#define PAIRS 200000
#define OUT_AT_ONCE 5

static struct {
	tierpool_cache *cache;
	uint64_t created, destroyed, running;
} crowd;

static char token[THREADS * OUT_AT_ONCE + 1];

static void *token_create(void *context)
{
	(void)context;
	return &token[tp_add_relaxed(&crowd.created, 1u) % sizeof token];
}

static void token_destroy(void *context, void *object)
{
	(void)context;
	(void)object;
	tp_add_relaxed(&crowd.destroyed, 1u);
}

/* Migrates between CPUs, as far as there are two. */
static void *crowd_run(void *unused)
{
	void *out[OUT_AT_ONCE];

	(void)unused;
	for (unsigned i = 0; i < PAIRS / OUT_AT_ONCE; i++) {
		if (i % 512 == 0)
			pin(i / 512 % 2);
		for (unsigned n = 0; n < OUT_AT_ONCE; n++)
			cr_assert_not_null(out[n] = tierpool_cache_get(crowd.cache));
		for (unsigned n = 0; n < OUT_AT_ONCE; n++)
			tierpool_cache_put(crowd.cache, out[n]);
		if (i % 1024 == 0)
			tierpool_cache_tick(crowd.cache);
	}
	tp_sub_acq_rel(&crowd.running, 1u);
	return NULL;
}

static void assert_not_below(
	const struct tierpool_cache_stats *a, const struct tierpool_cache_stats *b)
{
	cr_assert_geq(a->gets, b->gets);
	cr_assert_geq(a->puts, b->puts);
	cr_assert_geq(a->hits_cpu, b->hits_cpu);
	cr_assert_geq(a->hits_depot, b->hits_depot);
	cr_assert_geq(a->hits_other_cpu, b->hits_other_cpu);
	cr_assert_geq(a->creates, b->creates);
	cr_assert_geq(a->destroys, b->destroys);
	cr_assert_geq(a->ticks, b->ticks);
}

Test(cache_stats, in_threads_that_migrate_they_never_go_back_and_are_exact_at_rest, .timeout = 120)
{
	struct tierpool_cache_stats s, before = {0};
	pthread_t thread[THREADS];

	crowd.cache = cache_new(.create = token_create, .destroy = token_destroy, .decay_ms = 1);
	crowd.running = THREADS;
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, crowd_run, NULL), 0);
	while (tp_load_acquire(&crowd.running)) {
		s = stats_of(crowd.cache);
		assert_not_below(&s, &before);
		before = s;
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	s = stats_of(crowd.cache);
	cr_assert_eq(s.gets, (uint64_t)THREADS * PAIRS);
	cr_assert_eq(s.puts, s.gets);
	cr_assert_eq(s.creates, crowd.created);
	cr_assert_eq(s.destroys, crowd.destroyed);
	cr_assert_eq(s.puts + s.creates, s.gets + s.destroys + s.idle);
	tierpool_cache_destroy(crowd.cache);
	cr_assert_eq(crowd.created, crowd.destroyed);
}

/* ---- fork ---- */

/* Forks again and again while others use the cache; each child finds the numbers true. */
Test(cache_stats, in_the_child_of_a_fork_they_are_exact_and_not_below_the_parents, .timeout = 120)
{
	pthread_t thread[2];

	crowd.cache = cache_new(.create = token_create, .destroy = token_destroy, .decay_ms = 1);
	crowd.running = 2;
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, crowd_run, NULL), 0);
	for (unsigned forks = 0; forks < 20 || (forks < 200 && tp_load_acquire(&crowd.running));
		forks++) {
		struct tierpool_cache_stats before = stats_of(crowd.cache);
		pid_t child = fork();
		int status;

		cr_assert_geq(child, 0);
		if (!child) {
			struct tierpool_cache_stats s = {.size = sizeof s};
			void *object = tierpool_cache_get(crowd.cache);
			bool whole = object && !tierpool_cache_stats_read(crowd.cache, &s) &&
				     s.gets > before.gets && s.puts >= before.puts &&
				     s.gets == s.hits_cpu + s.hits_depot + s.hits_other_cpu +
						       s.creates &&
				     s.puts + s.creates == s.gets + s.destroys + s.idle;

			_exit(!whole);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert_eq(
			status, 0, "exit %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	tierpool_cache_destroy(crowd.cache);
}
