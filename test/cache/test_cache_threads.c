/* SPDX-License-Identifier: MIT */
/*
 * The object cache in several threads, what its callbacks may do, and what becomes of it in a fork.
 * At full load: stress_cache.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "child.h"
#include "cpus.h"
#include "percpu/cpu.h"
#include "random.h"
#include "reaper_checks.h"
#include "syscall_hook.h"

/* ---- threads ---- */

#define THREADS 4
#define HELD 8

static struct {
	tierpool_cache *cache;
	struct object *handed; /* from any thread to any other */
	bool stop;
} crew;

static void *do_everything(void *unused)
{
	uint64_t random = (uintptr_t)&random | 1;
	struct object *held[HELD] = {0};

	while (!tp_load_relaxed(&crew.stop)) {
		uint64_t dice = next_random(&random);
		struct object **o = &held[dice % HELD];

		if (*o && dice / HELD % 8 == 0)
			*o = tp_exchange_acq_rel(&crew.handed, *o);
		else if (*o) {
			object_put(crew.cache, *o);
			*o = NULL;
		} else
			*o = object_get(crew.cache);
		if (dice / 256 % 64 == 0)
			tierpool_cache_tick(crew.cache);
		if (dice / 256 % 32 == 1)
			sched_yield();
	}
	for (unsigned i = 0; i < HELD; i++)
		if (held[i])
			object_put(crew.cache, held[i]);
	return unused;
}

static void crew_start(pthread_t *thread)
{
	crew.cache = cache_of_objects();
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, do_everything, NULL), 0);
}

static void crew_end(const pthread_t *thread)
{
	tp_store_relaxed(&crew.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	if (crew.handed)
		object_put(crew.cache, crew.handed);
	cache_end(crew.cache);
	cr_assert_eq(objects.created, objects.destroyed);
}

static void *give_and_exit(void *cache)
{
	objects_give(cache, 100);
	return NULL;
}

Test(cache, what_a_thread_put_outlives_it)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy);
	pthread_t thread;

	for (unsigned i = 0; i < 10; i++) {
		pthread_create(&thread, NULL, give_and_exit, cache);
		pthread_join(thread, NULL);
	}
	cr_assert_eq(tierpool_cache_tick(cache), 0);
	cr_assert_eq(tierpool_cache_tick(cache), 1000);
	cache_end(cache);
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	(void)number;
	signals++;
}

Test(cache, a_storm_of_signals_does_no_harm)
{
	const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_signal};
	pthread_t thread[THREADS];
	struct object *o;

	sigaction(SIGALRM, &action, NULL);
	crew_start(thread);
	setitimer(ITIMER_REAL, &often, NULL);
	while (signals < 800)
		if ((o = object_get(crew.cache)))
			object_put(crew.cache, o);
	setitimer(ITIMER_REAL, &never, NULL);
	crew_end(thread);
}

/* ---- callbacks ---- */

static struct {
	tierpool_cache *cache, *other;
	tierpool *pool;
	unsigned depth, deepest, calls;
} called;

/* Calls of everything that a callback may call. */
static void call_others(void)
{
	tierpool_buf *b = tierpool_get(called.pool);
	int error = tierpool_buf_append(b, "callback", 8);

	tierpool_put(b);
	tierpool_tick(NULL);
	tierpool_cache_put(called.other, tierpool_cache_get(called.other));
	tierpool_cache_tick(called.other);
	objects.faults += !!error;
	called.calls++;
}

static void *create_by_others(void *context)
{
	call_others();
	tierpool_cache_tick(called.cache);
	return object_create(context);
}

/* Every other object that goes leaves one to its cache; as one that has parts might. */
static void destroy_by_others(void *context, void *object)
{
	struct object *part = called.calls % 2 ? object_make(OUT) : NULL;

	object_destroy(context, object);
	call_others();
	if (part)
		object_put(called.cache, part);
}

Test(cache, callbacks_may_use_pools_other_caches_and_their_own)
{
	cr_assert_eq(tierpool_create(&called.pool, NULL), 0);
	called.other = cache_new(.destroy = NULL);
	called.cache = cache_new(.create = create_by_others, .destroy = destroy_by_others);
	tierpool_cache_put(called.other, &called);
	stay_on_this_cpu();
	objects_cycle(called.cache, 300);
	for (unsigned i = 0; i < 30; i++)
		tierpool_cache_tick(called.cache);
	cr_assert_gt(objects.destroyed, 300);
	cr_assert_eq(objects_in(IDLE), 0, "parts of parts of parts, all gone by now");
	objects_cycle(called.cache, 300);
	/* Which leaves parts when nothing is there to keep them in any more. */
	cache_end(called.cache);
	tierpool_cache_destroy(called.other);
	cr_assert_eq(tierpool_destroy(called.pool), 0);
}

/* A get in a callback comes upon all that is due. */
static void destroy_and_get(void *context, void *object)
{
	struct object *o;

	called.deepest = ++called.depth > called.deepest ? called.depth : called.deepest;
	object_destroy(context, object);
	if ((o = object_get(called.cache)))
		object_put(called.cache, o);
	called.depth--;
}

Test(cache, callbacks_do_not_nest_however_many_objects_are_to_go)
{
	called.cache = cache_new(.destroy = destroy_and_get, .decay_ms = 1);
	stay_on_this_cpu();
	objects_give(called.cache, OBJECTS);
	/* By itself, so that they are not taken out of reach all at once. */
	while (objects.destroyed < OBJECTS / 2) {
		struct object *o = object_get(called.cache);

		if (o)
			object_put(called.cache, o);
	}
	cr_assert_leq(called.deepest, 1);
	tierpool_cache_destroy(called.cache);
	cr_assert_eq(objects.faults, 0);
}

#define PARTS 1000000 /* so that none may be put inside of another one's callback */

/* A list of parts, each of which leaves the next one to its cache. */
static void destroy_part(void *context, void *part)
{
	uintptr_t next = (uintptr_t)part - 1;

	(void)context;
	called.calls++;
	tierpool_cache_put(called.cache, (void *)next);
}

Test(cache, destroy_takes_along_what_callbacks_put_back_and_does_not_nest)
{
	called.cache = cache_new(.destroy = destroy_part);
	tierpool_cache_put(called.cache, (void *)(uintptr_t)PARTS);
	tierpool_cache_destroy(called.cache);
	cr_assert_eq(called.calls, PARTS);
}

static unsigned fences;

static void count_fence(long number, const long argument[6])
{
	(void)argument;
	fences += number == SYS_membarrier;
}

Test(cache, destroy_stops_no_cpu)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy);

	for (unsigned i = 0; pin(i); i++)
		objects_give(cache, 100);
	tp_store_release(&syscall_before, count_fence);
	cache_end(cache);
	cr_assert_eq(fences, 0);
}

/* ---- the reaper ---- */

static unsigned wakes;

static void count_wake(long number, const long argument[6])
{
	/* FUTEX_WAKE, for threads of this process. */
	wakes += number == SYS_futex && argument[1] == 129;
}

Test(cache, gets_from_an_empty_cache_do_not_wake_the_reaper, .timeout = 60)
{
	tierpool_cache *cache = cache_new(.decay_ms = 1);

	cr_assert_eq(tierpool_reaper_start(), 0);
	cr_assert(falls_asleep());
	tp_store_release(&syscall_before, count_wake);
	for (unsigned i = 0; i < 20; i++) {
		cr_assert_null(tierpool_cache_get(cache));
		usleep(10000); /* a tick is due */
	}
	cr_assert_eq(wakes, 0);
	tierpool_cache_put(cache, &wakes);
	cr_assert_eq(wakes, 1);
	tierpool_reaper_stop();
	tierpool_cache_destroy(cache);
}

/* ---- fork ---- */

#define FORKS 100

static int child_use(tierpool_cache *cache)
{
	struct object *o[200];
	size_t idle;

	alarm(10);
	for (unsigned i = 0; i < 200; i++)
		if (!(o[i] = object_get(cache)))
			return 1;
	for (unsigned i = 0; i < 200; i++)
		object_put(cache, o[i]);
	idle = tierpool_cache_tick(cache);
	idle += tierpool_cache_tick(cache);
	idle += tierpool_cache_tick(cache);
	/* What the other threads held, or were about to put, is lost. */
	if (idle < 200 || tierpool_cache_tick(cache))
		return 2;
	if (!(o[0] = object_get(cache)))
		return 3;
	object_put(cache, o[0]);
	tierpool_cache_destroy(cache);
	return objects.faults || o[0]->place != GONE ? 4 : 0;
}

Test(cache, a_child_forked_during_calls_uses_every_cache)
{
	pthread_t thread[THREADS];
	int status[FORKS];

	/* As for pools (test_fork.c). */
	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	crew_start(thread);
	for (unsigned i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (!child)
			_exit(child_use(crew.cache));
		status[i] = child_await(child);
	}
	for (unsigned i = 0; i < FORKS; i++)
		cr_assert_eq(status[i], 0, "child %u: exit %d, signal %d", i,
			WEXITSTATUS(status[i]), WTERMSIG(status[i]));
	crew_end(thread);
}

static pthread_barrier_t inside;
static __thread bool is_slow; /* in its next fence */

/* A fence is made while the CPU that it is for is being stopped. */
static void slow_fence(long number, const long argument[6])
{
	(void)argument;
	if (number == SYS_membarrier && is_slow) {
		is_slow = false;
		pthread_barrier_wait(&inside);
		usleep(20000); /* for the fork to come in between, if it does not wait */
	}
}

static void *tick_slowly(void *cache)
{
	pin(0);
	tp_store_release(&syscall_before, slow_fence);
	is_slow = true;
	tierpool_cache_tick(cache);
	return NULL;
}

Test(cache, a_fork_waits_for_a_thread_that_stops_a_cpu)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy);
	pthread_t thread;
	pid_t child;
	int status;

	if (!tp_cpu_rseq)
		skip("only rseq mode makes system calls when it stops a CPU");
	if (!pin(1))
		skip("needs two CPUs");
	if (tp_cpu_fence(TP_CPU_ALL))
		skip("fences are refused");
	objects_give(cache, 10);
	pthread_barrier_init(&inside, NULL, 2);
	pthread_create(&thread, NULL, tick_slowly, cache);
	pthread_barrier_wait(&inside);
	child = fork();
	if (!child) {
		alarm(10); /* where the fork left the CPU stopped, this waits for ever */
		tierpool_cache_tick(cache);
		tierpool_cache_tick(cache);
		tierpool_cache_destroy(cache);
		_exit(objects.destroyed != 10);
	}
	pthread_join(thread, NULL);
	status = child_await(child);
	cr_assert_eq(status, 0, "exit %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
	cache_end(cache);
}
