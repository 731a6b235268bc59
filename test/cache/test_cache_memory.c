/* SPDX-License-Identifier: MIT */
/*
 * The object cache when memory runs out: a program that makes it put, get and tick, again and
 * again, each time with another allocation failing, once or from then on. And, where there is no
 * memory for a stack, what becomes of objects in hand while the reaper looks, and of the depot's
 * lock in a fork.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "cache_objects.h"
#include "child.h"
#include "cpus.h"
#include "mappings.h"
#include "reaper_checks.h"

/* ---- libc's memory, or none ---- */

static struct {
	bool armed, for_ever;
	size_t calls, nth, failed; /* nth 0: none fails */
} memory;

#if !SANITIZED
/* Of one thread, as the tests here are. */
static bool fails(void)
{
	bool now;

	if (!memory.armed)
		return false;
	memory.calls++;
	now = memory.nth &&
	      (memory.for_ever ? memory.calls >= memory.nth : memory.calls == memory.nth);
	memory.failed += now;
	return now;
}

/* Whatever malloc would be there without these: libc's, or jemalloc's. */
#define NEXT(name)                     \
	static __typeof__(name) *next; \
	if (!next)                     \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

void *malloc(size_t n)
{
	NEXT(malloc);
	return fails() ? NULL : next(n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
	NEXT(aligned_alloc);
	return fails() ? NULL : next(alignment, n);
}

int posix_memalign(void **block, size_t alignment, size_t n)
{
	NEXT(posix_memalign);
	return fails() ? ENOMEM : next(block, alignment, n);
}

/* Of a thread: called once, before and after the next unlock of any lock. */
static __thread void (*before_unlock)(void), (*after_unlock)(void);

static void call_once(void (**hook)(void))
{
	void (*call)(void) = *hook;

	*hook = NULL;
	if (call)
		call();
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	NEXT(pthread_mutex_unlock);
	int error;

	call_once(&before_unlock);
	error = next(mutex);
	call_once(&after_unlock);
	return error;
}
#else
static __thread void (*before_unlock)(void), (*after_unlock)(void);
#endif

static void start(void)
{
	if (SANITIZED)
		skip("the sanitizer has malloc for itself");
	if (under_valgrind())
		skip("Valgrind has malloc for itself");
	stay_on_this_cpu();
}

TestSuite(cache_memory, .init = start, .timeout = 60);

/* ---- any one, and all from any one on ---- */

#define CREATES 2 /* allocations of a cache before it is there */
#define ALL 200
#define AGAIN 70

static size_t given;

static void give(tierpool_cache *cache, unsigned n)
{
	for (unsigned i = 0; i < n; i++, given++)
		object_put(cache, object_make(OUT));
}

/* Every way into the tables and out of them. False: there was not even a cache. */
static bool program(void)
{
	struct tierpool_cache_options options = {
		.size = sizeof options, .create = object_create, .destroy = object_destroy};
	tierpool_cache *cache = (tierpool_cache *)&cache;
	int error = tierpool_cache_create(&cache, &options);
	size_t before = memory.failed + refused;

	if (error) {
		cr_assert_eq(error, -ENOMEM);
		cr_assert_null(cache);
		return false;
	}
	give(cache, ALL);
	for (unsigned tick = 0; tick < 3; tick++) {
		objects_cycle(cache, AGAIN);
		tierpool_cache_tick(cache);
		give(cache, AGAIN);
	}
	tierpool_cache_tick(cache);
	tierpool_cache_tick(cache);
	if (memory.failed + refused == before)
		cr_assert_eq(objects_in(IDLE), 0);
	tierpool_cache_tick(cache); /* which frees the depot's array */
	give(cache, ALL);
	tierpool_cache_destroy(cache);
	return true;
}

/* mappings: those of slabs fail, which are no allocations. */
static void run_with_each_failing(bool mappings, bool for_ever)
{
	bool failed;

	for (size_t nth = 1;; nth++) {
		memset(&objects, 0, sizeof objects);
		given = 0;
		refused = 0;
		memory = (__typeof__(memory)){
			.nth = mappings ? 0 : nth, .for_ever = for_ever, .armed = true};
		map_fails = (struct failing){mappings ? (unsigned)nth : 0, for_ever};
		cr_assert_eq(program(), mappings || nth > CREATES);
		memory.armed = false;
		map_fails.at = 0;
		failed = memory.failed + refused;
		cr_assert_eq(objects.faults, 0, "allocation %zu failing", nth);
		cr_assert_eq(
			objects.destroyed, objects.created + given, "allocation %zu failing", nth);
		cr_assert_eq(objects_in(IDLE) + objects_in(OUT), 0);
		if (!failed)
			break;
		cr_assert_lt(nth, 1000);
	}
	cr_assert_geq(memory.calls, 5, "the program has to allocate here and there");
}

Test(cache_memory, any_one_allocation_may_fail)
{
	run_with_each_failing(false, false);
	run_with_each_failing(true, false);
}

Test(cache_memory, all_allocations_may_fail_from_any_one_on)
{
	run_with_each_failing(false, true);
	run_with_each_failing(true, true);
}

/* ---- a CPU that has no stack ---- */

static tierpool_cache *cache_without_stacks(void)
{
	tierpool_cache *cache = cache_of_objects();

	map_fails = (struct failing){1, true};
	return cache;
}

static void memory_comes_back(void)
{
	cr_assert_gt(memory.failed + refused, 0);
	memory.armed = false;
	map_fails.at = 0;
}

Test(cache_memory, where_there_is_no_stack_objects_are_kept_all_the_same)
{
	tierpool_cache *cache = cache_without_stacks();

	objects_give(cache, 500);
	for (unsigned round = 0; round < 3; round++)
		objects_cycle(cache, 500);
	memory_comes_back();
	cr_assert_eq(objects.created, 0);
	for (unsigned round = 0; round < 3; round++)
		objects_cycle(cache, 500);
	cr_assert_eq(objects.created, 0);
	cache_end(cache);
	cr_assert_eq(objects.destroyed, 500);
}

Test(cache_memory, what_finds_no_stack_goes_back_as_old_as_it_was)
{
	for (unsigned old = 0; old < 2; old++) {
		tierpool_cache *cache = cache_without_stacks();
		struct object *o;

		objects_give(cache, 3);
		if (old)
			cr_assert_eq(tierpool_cache_tick(cache), 0);
		cr_assert_not_null(o = object_get(cache));
		if (!old)
			cr_assert_eq(tierpool_cache_tick(cache), 0);
		cr_assert_eq(tierpool_cache_tick(cache), 2);
		object_put(cache, o);
		memory_comes_back();
		cache_end(cache);
	}
}

Test(cache_memory, an_object_for_which_there_is_no_place_at_all_is_destroyed)
{
	tierpool_cache *cache = cache_without_stacks();

	memory = (__typeof__(memory)){.nth = 1, .for_ever = true, .armed = true};
	for (unsigned i = 1; i <= 10; i++) {
		objects_give(cache, 1);
		cr_assert_eq(objects.destroyed, i);
	}
	cr_assert_eq(tierpool_cache_tick(cache), 0);
	memory_comes_back();
	objects_give(cache, 10);
	cr_assert_eq(objects.destroyed, 10);
	cache_end(cache);
}

Test(cache_memory, a_tick_counts_what_it_destroys_if_the_depot_has_no_memory)
{
	tierpool_cache *cache = cache_of_objects();
	size_t destroyed[2];

	objects_give(cache, 10);
	memory = (__typeof__(memory)){.nth = 1, .for_ever = true, .armed = true};
	for (unsigned i = 0; i < 2; i++)
		destroyed[i] = tierpool_cache_tick(cache);
	memory_comes_back();
	cr_assert(!destroyed[0] && destroyed[1] == 10 && objects.destroyed == 10);
	cache_end(cache);
}

static void reaper_looks(void)
{
	map_fails.at = 0;
	cr_assert_eq(tierpool_reaper_start(), 0);
	cr_assert(falls_asleep());
	map_fails.at = 1;
}

Test(cache_memory, the_reaper_is_woken_for_what_was_in_hand_when_it_looked)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 50);

	map_fails = (struct failing){1, true};
	objects_give(cache, 3);
	/* The lock of the depot that it comes out of; the others go back there. */
	after_unlock = reaper_looks;
	cr_assert_not_null(object_get(cache));
	memory_comes_back();
	cr_assert(comes_true(!objects_in(IDLE)));
	tierpool_reaper_stop();
	cache_end(cache);
}

static pthread_barrier_t inside;

static void stay_inside(void)
{
	pthread_barrier_wait(&inside);
	usleep(20000); /* for the fork to come in between, if it does not wait */
}

static void *put_slowly(void *cache)
{
	before_unlock = stay_inside;
	objects_give(cache, 1);
	return NULL;
}

Test(cache_memory, a_fork_waits_for_a_thread_that_holds_the_lock_of_the_depot)
{
	tierpool_cache *cache = cache_without_stacks();
	pthread_t thread;
	pid_t child;
	int status;

	objects_give(cache, 1);
	pthread_barrier_init(&inside, NULL, 2);
	pthread_create(&thread, NULL, put_slowly, cache);
	pthread_barrier_wait(&inside);
	child = fork();
	if (!child) {
		alarm(10); /* where the fork left the lock taken, this waits for ever */
		objects_cycle(cache, 2);
		tierpool_cache_destroy(cache);
		_exit(objects.destroyed != 2);
	}
	pthread_join(thread, NULL);
	status = child_await(child);
	cr_assert_eq(status, 0, "exit %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
	memory_comes_back();
	cache_end(cache);
}
