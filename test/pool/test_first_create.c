/* SPDX-License-Identifier: MIT */
/*
 * What the first create of a process finds out once. What the system refused it for a moment, it does
 * not refuse for ever: a later create, or the same one, tries again. Each case is a process of its own.
 */
#include "pool_checks.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>

#include <tierpool/cache.h>

#include "child.h"
#include "mappings.h"
#include "memory/backing.h"
#include "percpu/cpu.h"
#include "program.h"
#include "syscall_hook.h"

/* Runs a process. Returns: its exit status, which is not 1. */
static int status_of(void (*program)(unsigned), unsigned argument)
{
	static char said[4096];
	struct child child;
	int status;

	if (child_begin(&child)) {
		program(argument);
		_exit(0);
	}
	status = child_end(&child, said, sizeof said);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 1, "argument %u, status %#x: %s",
		argument, (unsigned)status, said);
	return WEXITSTATUS(status);
}

static void need_all_to_work(void)
{
	tierpool_cache *cache;
	tierpool *pool;
	int object;

	NEED(tierpool_default() && !tierpool_create(&pool, NULL));
	for (unsigned i = 0; i < 100; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, KIB << i % 8);

		NEED(b);
		tierpool_put(b);
	}
	NEED(stats_of(pool).hits > 80 && tierpool_destroy(pool) == 0);
	NEED(!tierpool_cache_create(&cache, NULL));
	tierpool_cache_put(cache, &object);
	NEED(tierpool_cache_get(cache) == &object);
	tierpool_cache_destroy(cache);
}

/* ---- mappings ---- */

/* Exit status 2: no call was refused. */
static void first_create_without_the_nth_mapping(unsigned nth)
{
	tierpool *pool;

	map_fails = (struct failing){.at = nth};
	NEED((tierpool_create(&pool, NULL) == -ENOMEM) == !!refused);
	map_fails.at = 0;
	need_all_to_work();
	_exit(refused ? 0 : 2);
}

static void first_creates_without_mappings(unsigned caches)
{
	tierpool_cache *cache;
	tierpool *pool;

	map_fails = (struct failing){.at = 1, .forever = true};
	for (unsigned i = 0; i < 3; i++) {
		if (caches)
			NEED(tierpool_cache_create(&cache, NULL) == -ENOMEM && !cache);
		else
			NEED(tierpool_create(&pool, NULL) == -ENOMEM && !pool);
	}
	map_fails.at = 0;
	need_all_to_work();
}

Test(first_create, that_fails_for_want_of_a_mapping_lets_later_ones_succeed)
{
	unsigned nth = 1;

	while (status_of(first_create_without_the_nth_mapping, nth) == 0)
		nth++;
	cr_assert_gt(nth, 1, "a create maps something");
	status_of(first_creates_without_mappings, false);
	status_of(first_creates_without_mappings, true);
}

/* ---- membarrier ---- */

static unsigned failures; /* of membarrier that are still to come */
static int failure;

static void fail_membarrier(long number, const long argument[6])
{
	(void)argument;
	if (number == SYS_membarrier && failures) {
		failures--;
		syscall_error = failure;
	}
}

/* Exit status 0: rseq mode; 2: locked. */
static void mode_after(unsigned count)
{
	failures = count;
	tp_store_release(&syscall_before, fail_membarrier);
	need_all_to_work();
	_exit(strcmp(tp_cpu_mode(), "rseq") ? 2 : 0);
}

Test(first_create, takes_a_passing_failure_of_membarrier_for_none)
{
	static const int passing[] = {ENOMEM, EAGAIN, EINTR};

	failure = ENOMEM;
	if (status_of(mode_after, 0))
		skip("only rseq mode asks for membarrier");
	for (unsigned i = 0; i < 3; i++) {
		failure = passing[i];
		for (unsigned count = 1; count <= 3; count++)
			cr_assert_eq(
				status_of(mode_after, count), 0, "%u times %d", count, failure);
		cr_assert_eq(status_of(mode_after, UINT_MAX), 2, "for ever %d", failure);
	}
	failure = EPERM;
	cr_assert_eq(status_of(mode_after, 1), 2);
}

/* ---- arenas ---- */

static unsigned arenas_refused; /* that are still to come */

/* In place of jemalloc's. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
{
	static int (*next)(const char *, void *, size_t *, void *, size_t);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "mallctl");
	if (arenas_refused && !strcmp(name, "arenas.create")) {
		arenas_refused--;
		return EAGAIN;
	}
	return next(name, old, old_size, new, new_size);
}

static unsigned arenas(void)
{
	size_t size = sizeof(unsigned);
	unsigned count = 0;

	NEED(!mallctl("arenas.narenas", &count, &size, NULL, 0));
	return count;
}

static void first_create_without_an_arena(unsigned count)
{
	unsigned before = arenas();
	tierpool *pool;

	arenas_refused = count;
	NEED(!tierpool_create(&pool, NULL) && !arenas_refused);
	need_all_to_work();
	NEED(arenas() > before);
}

Test(first_create, that_gets_no_arena_lets_later_ones_have_theirs)
{
	if (!tp_backing_jemalloc_present())
		skip("this program is not linked with jemalloc");
	setenv("TIERPOOL_BACKING", "jemalloc", 1);
	status_of(first_create_without_an_arena, 1);
}
