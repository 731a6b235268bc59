/* SPDX-License-Identifier: MIT */
/*
 * A program's own handlers of fork, which use pools and caches: those that were registered before
 * the library's, as a plugin's host has them, and those that come after.
 */
#include "pool_checks.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tierpool/cache.h>

#include "base/lock.h"
#include "cache_objects.h"
#include "child.h"
#include "pool/pool.h"

#define THREADS 3
#define FORKS 200

static tierpool *pool;
static tierpool_cache *cache;
static unsigned faults, handled;
static bool stop;

TestSuite(fork_handlers, .timeout = 120);

/* ---- what threads and handlers do ---- */

static void fault(bool is)
{
	if (is)
		tp_add_relaxed(&faults, 1u);
}

/* Fast and slow gets, puts and growths, in all tiers and above. */
static void borrow(uint64_t *random)
{
	tierpool_buf *b[12];

	for (unsigned i = 0; i < 12; i++) {
		size_t size = (size_t)32 << next_random(random) % 15;

		b[i] = tierpool_get_sized(pool, size);
		fault(!b[i] || tierpool_buf_reserve(b[i], next_random(random) % (4 * size)) ||
			tierpool_buf_append(b[i], "fork", 4));
	}
	for (unsigned i = 0; i < 12; i++)
		tierpool_put(b[i]);
}

static void use_cache(void)
{
	struct object *o[3];

	for (unsigned i = 0; i < 3; i++)
		o[i] = object_get(cache);
	for (unsigned i = 0; i < 3; i++)
		object_put(cache, o[i]);
}

static void use_all(uint64_t *random)
{
	struct tierpool_stats s = {.size = sizeof s};

	borrow(random);
	use_cache();
	if (next_random(random) % 8 == 0)
		fault(tierpool_stats_read(pool, &s));
	if (next_random(random) % 32 == 0)
		tierpool_tick(NULL);
	if (next_random(random) % 64 == 0)
		tierpool_trim(pool, next_random(random) % MIB);
	if (next_random(random) % 64 == 0)
		tierpool_retain_set(pool, MIB + next_random(random) % MIB);
}

static void *use_until_stop(void *argument)
{
	uint64_t random = (uintptr_t)&random | 1;

	while (!tp_load_relaxed(&stop))
		use_all(&random);
	return argument;
}

/* ---- handlers ---- */

static pid_t
	traced; /* pairs are many in the child of this process, more than a trace keeps in memory */

static void handle(void)
{
	static uint64_t random = 1;

	for (unsigned i = 0; traced && traced != getpid() && i < 20000; i++)
		tierpool_put(tierpool_get(pool));
	if (!cache)
		return;
	handled++;
	use_all(&random);
	/* A handler that ends in the child before ours has begun there. */
	tierpool_put(tierpool_get(pool));
}

static bool is_registered;

/* Before the library's, and so amid its own. */
__attribute__((constructor(101))) static void register_early(void)
{
	is_registered = !pthread_atfork(handle, handle, handle);
}

static void start(void)
{
	cr_assert(is_registered);
	pool = pool_new(.name = "forked", .retain = 2 * MIB, .decay_ms = 20);
	cache = cache_of_objects(.name = "forked");
}

static int child_uses_all(void)
{
	uint64_t random = 5;
	struct tierpool_stats s = {.size = sizeof s};

	alarm(20); /* a lock that the fork left taken never becomes free */
	for (unsigned i = 0; i < 20; i++)
		use_all(&random);
	if (tierpool_stats_read(pool, &s) || s.gets - s.puts != s.borrowed ||
		s.allocs - s.frees != s.borrowed + s.idle)
		return 1;
	tierpool_destroy(pool);
	tierpool_cache_destroy(cache);
	return faults ? 2 : 0;
}

/* Forks again and again while threads are inside of calls. */
static void fork_amid(void *(*calls)(void *), int (*in_child)(void))
{
	pthread_t thread[THREADS];

	if (SANITIZED)
		skip("the sanitizer's malloc leaves its lock taken in a fork's child");
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, calls, NULL);
	for (unsigned i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (!child)
			_exit(in_child());
		cr_assert_eq(child_await(child), 0, "fork %u", i);
	}
	tp_store_relaxed(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

Test(fork_handlers, get_and_put_before_and_after_the_library_s_own, .init = start)
{
	/* After the library's. */
	cr_assert_eq(pthread_atfork(handle, handle, handle), 0);
	fork_amid(use_until_stop, child_uses_all);
	cr_assert_eq(faults, 0);
	cr_assert_eq(handled, 4 * FORKS);
	at_rest(pool);
	cr_assert_eq(tierpool_destroy(pool), 0);
	cache_end(cache);
}

/* ---- a handler that forks ---- */

static pid_t inner;

static void fork_once(void)
{
	if (inner || !pool)
		return;
	inner = 1;
	inner = fork();
	if (!inner)
		_exit(child_uses_all());
}

Test(fork_handlers, may_fork_amid_a_fork, .init = start)
{
	pid_t outer;

	/* In a child, whose handlers are the test's; it prepares before the library. */
	pthread_atfork(fork_once, NULL, NULL);
	outer = fork();
	if (!outer)
		_exit(child_uses_all());
	cr_assert_eq(child_await(inner), 0);
	cr_assert_eq(child_await(outer), 0);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* As early handlers find it: all is held. */
Test(fork_handlers, may_fork_while_the_library_holds_all, .init = start)
{
	pid_t child;

	tp_registry_fork(TP_FORK_PREPARE);
	tp_lock_fork_begin();
	child = fork();
	if (!child)
		_exit(child_uses_all());
	cr_assert_eq(child_await(child), 0);
	tp_lock_fork_give(false);
	tp_registry_fork(TP_FORK_PARENT);
	tierpool_tick(NULL);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* ---- a program's lock ---- */

/* Of a logger: its threads borrow while they hold it, and a fork takes it. */
static pthread_mutex_t logger = PTHREAD_MUTEX_INITIALIZER;

static void logger_prepare(void)
{
	pthread_mutex_lock(&logger);
}

static void logger_go_on(void)
{
	pthread_mutex_unlock(&logger);
}

static void *log_until_stop(void *argument)
{
	uint64_t random = (uintptr_t)&random | 1;

	while (!tp_load_relaxed(&stop)) {
		pthread_mutex_lock(&logger);
		borrow(&random);
		pthread_mutex_unlock(&logger);
	}
	return argument;
}

/* Registered before the first pool: when the library is loaded its handlers are there already. */
Test(fork_handlers, may_wait_for_threads_that_call_the_library)
{
	cr_assert_eq(pthread_atfork(logger_prepare, logger_go_on, logger_go_on), 0);
	start();
	fork_amid(log_until_stop, child_uses_all);
	at_rest(pool);
}

/* ---- a trace ---- */

Test(fork_handlers, write_nothing_to_the_trace_of_the_parent)
{
	char path[] = "/tmp/tierpool-trace-XXXXXX";
	int file = mkstemp(path);
	struct stat status;
	pid_t child;

	cr_assert_geq(file, 0);
	setenv("TIERPOOL_TRACE", path, 1);
	pool = pool_new(.name = "traced");
	traced = getpid();
	child = fork();
	if (!child)
		_exit(0);
	cr_assert_eq(child_await(child), 0);
	cr_assert_eq(fstat(file, &status), 0);
	cr_assert_eq(status.st_size, 0, "the child has written");
	close(file);
	unlink(path);
	cr_assert_eq(tierpool_destroy(pool), 0);
}

/* ---- what other threads held ---- */

static struct counting_backing counting;

static int child_frees_all(void)
{
	size_t borrowed;

	alarm(20);
	borrowed = tierpool_destroy(pool);
	/* Blocks in the hands of the parent's threads are lost; what is left is less than a table. */
	return !borrowed && counting_backing_live(&counting) > 2 * KIB;
}

static void *slow_puts(void *argument)
{
	struct tierpool_stats s = {.size = sizeof s};

	while (!tp_load_relaxed(&stop)) {
		tierpool_put(tierpool_get_sized(pool, 100));
		fault(tierpool_stats_read(pool, &s));
		tierpool_tick(pool);
	}
	return argument;
}

Test(fork_handlers, a_child_s_destroy_frees_the_pool_whatever_other_threads_called)
{
	counting_backing_init(&counting);
	pool = pool_on(&counting, .retain = TIERPOOL_RETAIN_NONE);
	fork_amid(slow_puts, child_frees_all);
	pool_end(pool, &counting);
}
