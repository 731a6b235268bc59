/* SPDX-License-Identifier: MIT */
/*
 * Blocks from jemalloc, if the process has it. Owns the arenas for large blocks, which all pools of
 * the process share. jemalloc's functions are weak references: the library loads without jemalloc,
 * and never makes it the program's malloc.
 */
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "base/atomic.h"
#include "memory/backing.h"
#include "percpu/cpu.h"

extern void *mallocx(size_t size, int flags) __attribute__((weak));
extern void sdallocx(void *block, size_t size, int flags) __attribute__((weak));
extern size_t nallocx(size_t size, int flags) __attribute__((weak));
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

#define JEMALLOC_ALIGN 6                                  /* MALLOCX_LG_ALIGN(6): 64 */
#define JEMALLOC_NO_CACHE ((int)(1u << 8))                /* MALLOCX_TCACHE_NONE */
#define JEMALLOC_ARENA(arena) ((int)((arena) + 1u) << 20) /* MALLOCX_ARENA */

/* From this size on blocks lie in arenas of ours; below, jemalloc's thread caches are faster. */
#define JEMALLOC_OWN_FROM ((size_t)16 << 10)
/* The smallest of jemalloc's large classes; sizes just below are rounded up to it. */
#define JEMALLOC_LARGE ((size_t)16 << 10)
/* CPUs that share an arena. */
#define JEMALLOC_ARENA_CPUS 4
#define JEMALLOC_ARENAS_MAX 64

static struct {
	pthread_once_t once;
	unsigned arena[JEMALLOC_ARENAS_MAX]; /* both written inside once, read after it */
	unsigned count;                      /* 0: none could be made, use jemalloc's own */
	uint64_t eagerness; /* UINT_MAX - the smallest decay_ms so far; raised by anyone */
} jemalloc = {.once = PTHREAD_ONCE_INIT};

static void jemalloc_arenas_create(void)
{
	unsigned wanted = (tp_cpu_count() + JEMALLOC_ARENA_CPUS - 1) / JEMALLOC_ARENA_CPUS;

	while (jemalloc.count < wanted && jemalloc.count < JEMALLOC_ARENAS_MAX) {
		size_t size = sizeof jemalloc.arena[0];

		if (mallctl("arenas.create", &jemalloc.arena[jemalloc.count], &size, NULL, 0))
			break;
		jemalloc.count++;
	}
}

static void jemalloc_arenas_control(const char *what, void *value, size_t size)
{
	char name[64];

	for (unsigned i = 0; i < jemalloc.count; i++) {
		snprintf(name, sizeof name, "arena.%u.%s", jemalloc.arena[i], what);
		mallctl(name, NULL, NULL, value, size);
	}
}

void tp_backing_jemalloc_decay_set(unsigned decay_ms)
{
	uint64_t eager = UINT_MAX - decay_ms;

	pthread_once(&jemalloc.once, jemalloc_arenas_create);
	if (tp_raise_relaxed(&jemalloc.eagerness, eager) == eager) {
		ssize_t milliseconds = decay_ms == UINT_MAX ? -1 : (ssize_t)decay_ms;

		jemalloc_arenas_control("dirty_decay_ms", &milliseconds, sizeof milliseconds);
	}
}

static void *jemalloc_alloc(void *context, size_t n, size_t alignment)
{
	int flags = JEMALLOC_ALIGN;

	(void)context;
	(void)alignment;
	if (n >= JEMALLOC_OWN_FROM && jemalloc.count) {
		unsigned arena = tp_cpu_id() / JEMALLOC_ARENA_CPUS % jemalloc.count;

		flags |= JEMALLOC_NO_CACHE | JEMALLOC_ARENA(jemalloc.arena[arena]);
	}
	return mallocx(n, flags);
}

static void jemalloc_free(void *context, void *block, size_t n)
{
	(void)context;
	sdallocx(block, n, JEMALLOC_ALIGN | (n >= JEMALLOC_OWN_FROM ? JEMALLOC_NO_CACHE : 0));
}

static size_t jemalloc_cost(size_t n)
{
	size_t cost = n > PTRDIFF_MAX ? 0 : nallocx(n, JEMALLOC_ALIGN);

	/*
	 * jemalloc 5.3 adds a page to each block of its large classes, from 16 KiB up, and puts the
	 * block at a random line of it. nallocx omits that page: 64 blocks of 64 KiB took 68 KiB
	 * each.
	 */
	return cost + (cost >= JEMALLOC_LARGE ? tp_backing_page : 0);
}

static void jemalloc_give_back(bool all)
{
	jemalloc_arenas_control(all ? "purge" : "decay", NULL, 0);
}

bool tp_backing_jemalloc_present(void)
{
	return mallocx && sdallocx && nallocx && mallctl;
}

const struct tp_backing tp_backing_jemalloc = {
	{sizeof(struct tierpool_backing), jemalloc_alloc, jemalloc_free, NULL}, "jemalloc",
	jemalloc_cost, jemalloc_give_back};
