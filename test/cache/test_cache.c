/* SPDX-License-Identifier: MIT */
/*
 * The object cache through its public interface: options, what is given and when it is destroyed,
 * on one CPU and two. In several threads, in forks, and what its callbacks may do:
 * test_cache_threads.c; without memory: test_cache_memory.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "cache_objects.h"
#include "cpus.h"
#include "percpu/cpu.h"

#define STACK 63  /* objects that lie on a CPU at the most */
#define PIECE 256 /* objects that a call destroys by itself at the most */
#define MANY 5000 /* so that most lie in the depot */

/* ---- options ---- */

#define OPTIONS(...)                      \
	((struct tierpool_cache_options){ \
		.size = sizeof(struct tierpool_cache_options), __VA_ARGS__})

static void assert_refused(const struct tierpool_cache_options *options, int error)
{
	tierpool_cache *cache = (tierpool_cache *)&cache;

	cr_assert_eq(tierpool_cache_create(&cache, options), error);
	cr_assert_null(cache);
}

Test(cache, create_refuses_a_null_out_and_options_without_their_size)
{
	struct tierpool_cache_options options = OPTIONS(.decay_ms = 1);

	cr_assert_eq(tierpool_cache_create(NULL, NULL), -EINVAL);
	cr_assert_eq(tierpool_cache_create(NULL, &options), -EINVAL);
	options.size = 0;
	assert_refused(&options, -EINVAL);
}

Test(cache, create_looks_at_no_more_of_the_options_than_their_size)
{
	struct tierpool_cache_options options =
		OPTIONS(.create = object_create, .destroy = (void (*)(void *, void *))(uintptr_t)1);
	tierpool_cache *cache;

	options.size = offsetof(struct tierpool_cache_options, destroy);
	cache = cache_with(&options);
	objects_cycle(cache, 1);
	tierpool_cache_destroy(cache);
}

Test(cache, create_takes_larger_options_with_a_tail_of_zeros_only)
{
	struct {
		struct tierpool_cache_options known;
		char tail[24];
	} larger = {OPTIONS(.create = object_create), {0}};
	tierpool_cache *cache;

	larger.known.size = sizeof larger;
	cache = cache_with(&larger.known);
	cr_assert_not_null(object_get(cache));
	tierpool_cache_destroy(cache);
	for (size_t i = 0; i < sizeof larger.tail; i++) {
		larger.tail[i] = 1;
		assert_refused(&larger.known, -E2BIG);
		larger.tail[i] = 0;
	}
}

Test(cache, options_are_copied)
{
	struct tierpool_cache_options options =
		OPTIONS(.create = object_create, .destroy = object_destroy);
	tierpool_cache *cache = cache_with(&options);

	options = (struct tierpool_cache_options){0};
	objects_cycle(cache, 1);
	cr_assert_eq(objects.created, 1);
	cache_end(cache);
	cr_assert_eq(objects.destroyed, 1);
}

Test(cache, a_cache_of_no_options_keeps_what_is_put_and_destroys_nothing)
{
	tierpool_cache *cache = cache_with(NULL);

	stay_on_this_cpu();
	cr_assert_null(tierpool_cache_get(cache));
	objects_give(cache, 100);
	for (unsigned i = 0; i < 50; i++)
		cr_assert_not_null(object_get(cache));
	tierpool_cache_tick(cache);
	cr_assert_eq(tierpool_cache_tick(cache), 50, "they are gone from it all the same");
	cr_assert_null(tierpool_cache_get(cache));
	objects_give(cache, 1);
	tierpool_cache_destroy(cache);
	cr_assert_eq(objects_in(OUT) + objects_in(IDLE), 101);
}

/* ---- NULL ---- */

Test(cache, NULL_is_an_empty_cache_that_does_nothing)
{
	errno = 0;
	cr_assert_null(tierpool_cache_get(NULL));
	cr_assert_eq(errno, EINVAL);
	cr_assert_eq(tierpool_cache_tick(NULL), 0);
	tierpool_cache_destroy(NULL);
}

Test(cache, put_of_NULL_does_nothing)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy);

	stay_on_this_cpu();
	for (unsigned i = 0; i < 100; i++)
		tierpool_cache_put(cache, NULL);
	cr_assert_eq(tierpool_cache_tick(cache) + tierpool_cache_tick(cache), 0);
	objects_give(cache, 1);
	tierpool_cache_put(cache, NULL);
	cr_assert_not_null(object_get(cache));
	cr_assert_null(tierpool_cache_get(cache));
	cache_end(cache);
}

/* ---- get and put ---- */

static void *context_seen;

static void *create_nothing(void *context)
{
	context_seen = context;
	return NULL;
}

Test(cache, get_on_an_empty_cache_creates_or_gives_NULL)
{
	tierpool_cache *cache = cache_of_objects();

	for (unsigned i = 1; i <= 100; i++) {
		cr_assert_not_null(object_get(cache));
		cr_assert_eq(objects.created, i);
	}
	cache_end(cache);
	cr_assert_eq(objects.destroyed, 0, "what is out is the program's");
	cache = cache_new(.create = create_nothing, .context = &objects);
	cr_assert_null(tierpool_cache_get(cache));
	cr_assert_eq(context_seen, &objects);
	tierpool_cache_destroy(cache);
}

Test(cache, the_last_to_be_put_is_the_first_to_be_got)
{
	tierpool_cache *cache = cache_of_objects();
	struct object *o[STACK];

	stay_on_this_cpu();
	for (unsigned i = 0; i < STACK; i++)
		o[i] = object_get(cache);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < STACK; i++)
			object_put(cache, o[i]);
		for (unsigned i = STACK; i--;)
			cr_assert_eq(object_get(cache), o[i]);
	}
	cr_assert_eq(objects.created, STACK);
	cache_end(cache);
}

Test(cache, what_does_not_fit_on_a_cpu_comes_back_all_the_same)
{
	static const unsigned counts[] = {1, STACK, STACK + 1, 200, MANY};
	tierpool_cache *cache = cache_of_objects();

	stay_on_this_cpu();
	for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
		for (unsigned round = 0; round < 3; round++) {
			objects_cycle(cache, counts[i]);
			cr_assert_eq(objects.created, counts[i], "one was lost, or kept back");
		}
	cache_end(cache);
	cr_assert_eq(objects.destroyed, MANY);
}

/* ---- two CPUs ---- */

/* Two CPUs so near each other that the first one's gets look at the second one. */
static void two_cpus(unsigned *here, unsigned *there)
{
	unsigned count = tp_cpu_count(), cpu[2];

	for (*here = 0; pin(*here); ++*here) {
		cpu[0] = tp_cpu_current(count);
		for (*there = 0; pin(*there); ++*there) {
			cpu[1] = tp_cpu_current(count);
			if (*here != *there && (cpu[1] + count - cpu[0]) % count <= 4)
				return;
		}
	}
	skip("needs two CPUs near each other");
}

/* As often as the library may have reasons not to disturb the other CPU just now. */
static struct object *get_patiently(tierpool_cache *cache)
{
	struct object *o = NULL;

	for (unsigned tries = 0; !o && tries < 10000; tries++) {
		o = object_get(cache);
		if (!o)
			usleep(1000);
	}
	return o;
}

Test(cache, get_on_another_cpu_finds_what_lies_in_the_depot_and_on_an_idle_cpu)
{
	static const unsigned counts[] = {1, STACK, MANY};
	tierpool_cache *cache = cache_new(.destroy = object_destroy);
	unsigned here, there, all = 0;

	two_cpus(&here, &there);
	for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		pin(there);
		objects_give(cache, counts[i]);
		pin(here);
		for (unsigned n = 0; n < counts[i]; n++)
			cr_assert_not_null(get_patiently(cache), "%u of %u", n, counts[i]);
		cr_assert_null(tierpool_cache_get(cache));
		all += counts[i];
	}
	cr_assert_eq(objects_in(OUT), all);
	cache_end(cache);
}

Test(cache, two_ticks_destroy_what_lies_on_every_cpu_and_so_does_destroy)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy);

	for (unsigned ticks = 2;; ticks = 0) {
		if (!pin(1))
			skip("needs two CPUs");
		objects_give(cache, 40);
		pin(0);
		objects_give(cache, 140);
		if (!ticks)
			break;
		cr_assert_eq(tierpool_cache_tick(cache), 0);
		cr_assert_eq(tierpool_cache_tick(cache), 180);
		cr_assert_eq(objects.destroyed, 180);
	}
	cache_end(cache);
	cr_assert_eq(objects.destroyed, 360);
}

/* ---- decay ---- */

Test(cache, what_is_untouched_for_two_ticks_is_destroyed_and_counted)
{
	static const unsigned counts[] = {1, 10, STACK, STACK + 1, 200, MANY};
	size_t all = 0;

	stay_on_this_cpu();
	for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		tierpool_cache *cache = cache_new(.destroy = object_destroy);

		objects_give(cache, counts[i]);
		cr_assert_eq(tierpool_cache_tick(cache), 0);
		cr_assert_eq(objects.destroyed, all);
		cr_assert_eq(tierpool_cache_tick(cache), counts[i]);
		cr_assert_eq(objects.destroyed, all += counts[i]);
		cr_assert_eq(tierpool_cache_tick(cache), 0);
		cr_assert_null(tierpool_cache_get(cache));
		cache_end(cache);
	}
}

Test(cache, what_is_in_use_between_ticks_is_not_destroyed)
{
	static const unsigned counts[] = {1, 20, STACK, 200, 1000};
	tierpool_cache *cache = cache_of_objects();

	stay_on_this_cpu();
	for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
		for (unsigned tick = 0; tick < 20; tick++) {
			objects_cycle(cache, counts[i]);
			cr_assert_eq(tierpool_cache_tick(cache), 0);
		}
	cr_assert_eq(objects.created, 1000);
	cache_end(cache);
}

Test(cache, an_object_s_time_counts_from_its_put)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy);
	struct object *older = object_make(OUT), *newer = object_make(OUT);

	stay_on_this_cpu();
	object_put(cache, older);
	cr_assert_eq(tierpool_cache_tick(cache), 0);
	object_put(cache, newer);
	cr_assert_eq(tierpool_cache_tick(cache), 1);
	cr_assert_eq(older->place, GONE);
	cr_assert_eq(object_get(cache), newer);
	cr_assert_eq(tierpool_cache_tick(cache), 0);
	object_put(cache, newer);
	cr_assert_eq(tierpool_cache_tick(cache), 0);
	cr_assert_eq(tierpool_cache_tick(cache), 1);
	cache_end(cache);
}

Test(cache, what_makes_place_on_a_full_cpu_does_not_become_younger)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy);

	stay_on_this_cpu();
	objects_give(cache, STACK);
	cr_assert_eq(tierpool_cache_tick(cache), 0);
	objects_give(cache, 1);
	cr_assert_eq(tierpool_cache_tick(cache), STACK);
	cr_assert_eq(tierpool_cache_tick(cache), 1);
	cache_end(cache);
}

Test(cache, what_comes_along_with_an_object_in_use_does_not_become_younger)
{
	enum { ALL = STACK + 2, USED = 34 };
	tierpool_cache *cache = cache_of_objects();

	/* Half of them in the depot, of which one is used, and the others lie beneath what is. */
	stay_on_this_cpu();
	objects_cycle(cache, ALL);
	for (unsigned tick = 0; tick < 4; tick++) {
		tierpool_cache_tick(cache);
		objects_cycle(cache, USED);
	}
	cr_assert_eq(objects.destroyed, ALL - USED);
	cr_assert_eq(objects.created, ALL);
	cache_end(cache);
}

/* ---- by itself ---- */

/* Uses one object of a cache for a while. The most that a call destroyed. */
static size_t use(tierpool_cache *cache)
{
	size_t most = 0;

	for (unsigned i = 0; i < 200; i++) {
		size_t before = objects.destroyed, after;
		struct object *o = object_get(cache);

		after = objects.destroyed;
		most = most > after - before ? most : after - before;
		object_put(cache, o);
		before = objects.destroyed;
		most = most > before - after ? most : before - after;
	}
	usleep(1000);
	return most;
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

Test(cache, while_it_is_used_it_decays_by_itself_a_piece_in_a_call)
{
	tierpool_cache *cache = cache_of_objects(.decay_ms = 1);
	time_t deadline = seconds() + 60;
	size_t most = 0;

	stay_on_this_cpu();
	objects_cycle(cache, MANY);
	cr_assert_leq(objects.destroyed, objects.created);
	while (objects.destroyed + 1 < objects.created && seconds() < deadline) {
		size_t in_a_call = use(cache);

		most = most > in_a_call ? most : in_a_call;
	}
	cr_assert_eq(objects.created - objects.destroyed, 1, "all but the one that is used");
	cr_assert_leq(most, PIECE);
	cache_end(cache);
}

static size_t others_destroyed;

static void other_destroy(void *context, void *object)
{
	(void)context;
	(void)object;
	others_destroyed++;
}

Test(cache, decay_ms_UINT_MAX_means_never_by_itself)
{
	/* The quick one shows when several periods of the other would have passed. */
	tierpool_cache *quick = cache_new(.destroy = other_destroy, .decay_ms = 1);
	tierpool_cache *never = cache_of_objects(.decay_ms = UINT_MAX);
	time_t deadline = seconds() + 60;
	static char other[2];

	stay_on_this_cpu();
	objects_cycle(never, 200);
	for (unsigned round = 0; round < 10; round++) {
		others_destroyed = 0;
		tierpool_cache_put(quick, &other[0]);
		tierpool_cache_put(quick, &other[1]);
		while (!others_destroyed && seconds() < deadline) {
			for (unsigned i = 0; i < 200; i++)
				tierpool_cache_put(quick, tierpool_cache_get(quick));
			use(never);
		}
		cr_assert(others_destroyed);
		while (tierpool_cache_get(quick))
			;
	}
	cr_assert_eq(objects.destroyed, 0);
	cr_assert_eq(objects.created, 200);
	tierpool_cache_tick(never);
	cr_assert_eq(tierpool_cache_tick(never), 200);
	tierpool_cache_destroy(quick);
	cache_end(never);
}
