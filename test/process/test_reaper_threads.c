/* SPDX-License-Identifier: MIT */
/*
 * The reaper against other threads: what ends while it is ticked, starts and stops from everywhere,
 * callbacks among them, and forks.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/atomic.h"
#include "cache_objects.h"
#include "child.h"
#include "counting_backing.h"
#include "cpus.h"
#include "pool_checks.h"
#include "reaper_checks.h"
#include "syscall_hook.h"

TestSuite(reaper, .timeout = 120);

#define SOON 2 /* milliseconds */

static void start(void)
{
	cr_assert_eq(tierpool_reaper_start(), 0);
}

/* ---- what ends while it is ticked ---- */

/* Where the reaper waits, in a callback of a cache or in a backing, until it is let go. */
static struct {
	bool armed;
	sem_t arrived, go;
} gate;

static void gate_pass(void)
{
	bool armed = true;

	/* The first one only. */
	if (!tp_cas_strong_acq_rel(&gate.armed, &armed, false))
		return;
	sem_post(&gate.arrived);
	while (sem_wait(&gate.go))
		;
}

/* After what the gate is for was kept: a put that comes late frees of it too, and would wait here. */
static void gate_shut(void)
{
	sem_init(&gate.arrived, 0, 0);
	sem_init(&gate.go, 0, 0);
	tp_store_relaxed(&gate.armed, true);
}

static void gate_wait(void)
{
	while (sem_wait(&gate.arrived))
		;
}

static void destroy_at_gate(void *context, void *object)
{
	gate_pass();
	object_destroy(context, object);
}

/* Something that a call ends while the reaper works on it. */
struct end {
	void (*call)(void *what);
	void *what;
	uint32_t returned;
};

static void *end_run(void *context)
{
	struct end *end = context;

	end->call(end->what);
	tp_store_release(&end->returned, 1u);
	return NULL;
}

/* With the gate shut, and something that the reaper will bring there. */
static void end_waits_for_the_reaper(void (*call)(void *what), void *what)
{
	struct end end = {call, what, 0};
	pthread_t thread;

	start();
	gate_wait();
	pthread_create(&thread, NULL, end_run, &end);
	usleep(20000);
	cr_assert_eq(tp_load_acquire(&end.returned), 0, "it is gone under the reaper's feet");
	sem_post(&gate.go);
	pthread_join(thread, NULL);
}

static void cache_destroy(void *cache)
{
	tierpool_cache_destroy(cache);
}

Test(reaper, a_cache_s_destroy_waits_for_the_reaper_in_its_callback)
{
	tierpool_cache *cache = cache_new(.destroy = destroy_at_gate, .decay_ms = SOON);

	objects_give(cache, 100);
	gate_shut();
	end_waits_for_the_reaper(cache_destroy, cache);
	cr_assert_eq(objects.destroyed, 100);
	cr_assert_eq(objects_in(IDLE), 0);
	cr_assert_eq(objects.faults, 0);
	tierpool_reaper_stop();
}

static struct counting_backing counting;

static void free_at_gate(void *context, void *block, size_t n)
{
	if (n == 20 * KIB)
		gate_pass();
	counting_backing_free(context, block, n);
}

static void pool_destroy(void *pool)
{
	tierpool_destroy(pool);
}

Test(reaper, a_pool_s_destroy_waits_for_the_reaper_in_its_backing)
{
	struct tierpool_backing calls;
	tierpool *pool;

	counting_backing_init(&counting);
	calls = counting_backing_calls(&counting);
	calls.free = free_at_gate;
	pool = pool_new(.backing = &calls, .tiers = (size_t[]){20 * KIB}, .tier_count = 1,
		.decay_ms = SOON);
	cycle(pool, 20 * KIB, 30);
	gate_shut();
	end_waits_for_the_reaper(pool_destroy, pool);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
	cr_assert_eq(counting_backing_live(&counting), 0);
	tierpool_reaper_stop();
}

Test(reaper, pools_and_caches_come_and_go_while_it_ticks)
{
	start();
	for (unsigned i = 0; i < 100; i++) {
		tierpool_cache *cache = cache_of_objects(.decay_ms = 1);
		tierpool *pool = pool_new(.decay_ms = 1);

		objects_cycle(cache, 20);
		fill(pool);
		usleep(i % 8 * 500);
		cr_assert_eq(tierpool_destroy(pool), 0);
		tierpool_cache_destroy(cache);
		cr_assert_eq(objects_in(IDLE), 0);
		cr_assert_eq(objects.created, objects.destroyed);
	}
	cr_assert_eq(objects.faults, 0);
	tierpool_reaper_stop();
}

/* ---- starts and stops ---- */

static unsigned failures;

static uint32_t cycling; /* until it is 0 */

static void *start_and_stop(void *unused)
{
	while (tp_load_relaxed(&cycling)) {
		if (tierpool_reaper_start())
			tp_add_relaxed(&failures, 1u);
		sched_yield();
		tierpool_reaper_stop();
	}
	return unused;
}

#define CYCLERS 4

static void cyclers_start(pthread_t thread[CYCLERS])
{
	cycling = 1;
	for (unsigned i = 0; i < CYCLERS; i++)
		pthread_create(&thread[i], NULL, start_and_stop, NULL);
}

static void cyclers_end(const pthread_t thread[CYCLERS])
{
	tp_store_relaxed(&cycling, 0u);
	for (unsigned i = 0; i < CYCLERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(failures, 0);
	cr_assert(comes_true(!reapers(NULL)));
}

/* A stop waits for its thread, for ever if another took the wake that was meant for that one. */
Test(reaper, ticks_while_many_threads_start_and_stop_it_and_all_of_these_end)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);
	pthread_t thread[CYCLERS];

	cyclers_start(thread);
	for (unsigned i = 1; i <= 10; i++) {
		objects_give(cache, 100);
		cr_assert(comes_true(objects_destroyed() == 100 * i));
	}
	cyclers_end(thread);
	cache_end(cache);
}

static bool turned; /* in this round */

/* Balanced; one start too few, after which the thread ends when this has returned; one too many. */
static void destroy_and_turn(void *context, void *object)
{
	object_destroy(context, object);
	if (tp_exchange_acq_rel(&turned, true))
		return;
	failures += !!tierpool_reaper_start();
	tierpool_reaper_stop();
	tierpool_reaper_stop();
	failures += !!tierpool_reaper_start();
	tierpool_reaper_stop();
	failures += !!tierpool_reaper_start();
}

Test(reaper, may_be_started_and_stopped_by_a_callback_of_its_own)
{
	tierpool_cache *cache = cache_new(.destroy = destroy_and_turn, .decay_ms = SOON);

	for (unsigned i = 0; i < 8; i++) {
		memset(&objects, 0, sizeof objects);
		turned = false;
		/* First: a put that comes late calls back too, and a stop before any start is none. */
		start();
		objects_give(cache, 10);
		cr_assert(comes_true(objects_destroyed() == 10));
		/* The one that was stopped ends; the one that was started last goes on. */
		cr_assert(comes_true(reapers(NULL) == 1), "there are %u", reapers(NULL));
		objects_give(cache, 10);
		cr_assert(comes_true(objects_destroyed() == 20));
		tierpool_reaper_stop();
		cr_assert(comes_true(!reapers(NULL)));
	}
	cr_assert_eq(failures, 0);
	cache_end(cache);
}

static __thread bool is_waking; /* this thread's next wake of the reaper is held at the gate */

/* The operation of a call is the same with FUTEX_PRIVATE_FLAG and without. */
static void gate_wake(long number, const long argument[6])
{
	if (number == SYS_futex && (argument[1] & 127) == 1 && is_waking) {
		is_waking = false;
		gate_pass();
		errno = EPERM; /* as in a sandbox that refuses it */
	}
}

/* The first put into a cache is one that wakes. */
static void *put_first(void *cache)
{
	tp_store_release(&syscall_before, gate_wake);
	is_waking = true;
	errno = 4711; /* no error of the C library */
	objects_give(cache, 1);
	failures += errno != 4711 || is_waking;
	return NULL;
}

Test(reaper, a_put_that_is_about_to_wake_it_holds_up_nobody)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = UINT_MAX);
	tierpool_cache *other = cache_new(.destroy = object_destroy, .decay_ms = SOON);
	pthread_t putter;

	gate_shut();
	start();
	cr_assert(falls_asleep());
	pthread_create(&putter, NULL, put_first, cache);
	gate_wait();
	/* No lock is held there: others wake the reaper, stop it, and start it again. */
	objects_give(other, 10);
	cr_assert(comes_true(objects_destroyed() == 10));
	tierpool_reaper_stop();
	cr_assert(comes_true(!reapers(NULL)));
	start();
	sem_post(&gate.go);
	pthread_join(putter, NULL);
	cr_assert_eq(failures, 0);
	tierpool_reaper_stop();
	cache_end(cache);
	cache_end(other);
}

/* ---- cancellation ---- */

static tierpool *cancelled_pool;
static uint32_t returned;

static void *put_and_end(void *b)
{
	pthread_cancel(pthread_self());
	tierpool_put(b);
	tp_store_release(&returned, 1u);
	return NULL;
}

static void *start_and_end(void *unused)
{
	pthread_cancel(pthread_self());
	if (!tierpool_reaper_start())
		tp_store_release(&returned, 1u);
	return unused;
}

static void *stop_and_end(void *unused)
{
	pthread_cancel(pthread_self());
	tierpool_reaper_stop();
	tp_store_release(&returned, 1u);
	return unused;
}

static void run_cancelled(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	returned = 0;
	pthread_create(&thread, NULL, run, argument);
	pthread_join(thread, NULL);
	cr_assert_eq(returned, 1, "the thread ended inside of a call");
}

Test(reaper, no_call_is_a_place_where_a_thread_is_cancelled)
{
	cancelled_pool = pool_new(.decay_ms = SOON);
	run_cancelled(start_and_end, NULL);
	cr_assert_eq(reapers(NULL), 1);
	cr_assert(falls_asleep());
	run_cancelled(put_and_end, tierpool_get(cancelled_pool));
	cr_assert(comes_true(stats_of(cancelled_pool).drops_decay == 1));
	run_cancelled(stop_and_end, NULL);
	cr_assert(comes_true(!reapers(NULL)));
	cr_assert_eq(tierpool_destroy(cancelled_pool), 0);
}

/* ---- fork ---- */

static bool all_gone_from(unsigned first)
{
	for (unsigned i = first; i < objects.made; i++)
		if (objects.object[i].place != GONE)
			return false;
	return true;
}

/* In a child: a reaper of its own, which does what one does. None of its own objects is lost. */
static int child_reap(tierpool_cache *cache)
{
	size_t before = objects.destroyed;
	unsigned first = objects.made;

	alarm(20);
	if (reapers(NULL))
		return 1;
	tierpool_reaper_stop();
	if (tierpool_reaper_start() || reapers(NULL) != 1)
		return 2;
	objects_give(cache, 100);
	if (!comes_true(objects_destroyed() >= before + 100))
		return 3;
	tierpool_reaper_stop();
	if (!comes_true(!reapers(NULL)))
		return 4;
	tierpool_cache_destroy(cache);
	return !all_gone_from(first) || objects.faults ? 5 : 0;
}

Test(reaper, does_not_run_in_a_child_which_may_start_its_own)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = SOON);

	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	for (unsigned i = 0; i < 6; i++) {
		size_t before = objects.destroyed;
		pid_t child;

		for (unsigned starts = 0; starts < i % 3; starts++)
			start();
		child = fork();
		if (!child)
			_exit(child_reap(cache));
		cr_assert_eq(child_await(child), 0);
		if (!(i % 3))
			continue;
		/* The parent's own is where it was. */
		objects_give(cache, 100);
		cr_assert(comes_true(objects_destroyed() == before + 100));
		for (unsigned starts = 0; starts < i % 3; starts++)
			tierpool_reaper_stop();
	}
	cache_end(cache);
}

Test(reaper, a_child_forked_during_its_callback_can_use_and_destroy_the_cache)
{
	tierpool_cache *cache = cache_new(.destroy = destroy_at_gate, .decay_ms = SOON);
	pid_t child;

	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	objects_give(cache, 10);
	gate_shut();
	start();
	gate_wait();
	child = fork();
	/*
	 * What the reaper has in hand is lost to the child. That may be all ten or some, as puts on a slow
	 * machine are more than a tick apart.
	 */
	if (!child)
		_exit(child_reap(cache));
	sem_post(&gate.go);
	cr_assert_eq(child_await(child), 0);
	cr_assert(comes_true(objects_destroyed() == 10));
	tierpool_reaper_stop();
	cache_end(cache);
}

Test(reaper, a_child_forked_during_starts_and_stops_may_start_its_own)
{
	tierpool_cache *cache = cache_new(.destroy = object_destroy, .decay_ms = 1);
	pthread_t thread[CYCLERS];

	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	cyclers_start(thread);
	for (unsigned i = 0; i < 15; i++) {
		pid_t child = fork();

		if (!child)
			_exit(child_reap(cache));
		cr_assert_eq(child_await(child), 0);
	}
	cyclers_end(thread);
	cache_end(cache);
}
