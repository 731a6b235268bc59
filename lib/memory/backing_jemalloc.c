/* SPDX-License-Identifier: MIT */
/*
 * Memory from jemalloc, if the process has it. Owns arenas for the runs of all pools of the process,
 * and for large tables. They give pages back as soon as a run is freed: when a pool frees one, it has
 * waited long enough.
 * jemalloc's functions are weak references: the library loads without jemalloc, and never makes it
 * the program's malloc.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/atomic.h"
#include "base/spinlock.h"
#include "memory/backing.h"
#include "memory/pages.h"
#include "percpu/cpu.h"

extern void *mallocx(size_t size, int flags) __attribute__((weak));
extern size_t xallocx(void *block, size_t size, size_t extra, int flags) __attribute__((weak));
extern void dallocx(void *block, int flags) __attribute__((weak));
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

#define JEMALLOC_ALIGN(alignment) __builtin_ctzl(alignment) /* MALLOCX_LG_ALIGN */
#define JEMALLOC_NO_CACHE ((int)(1u << 8))                  /* MALLOCX_TCACHE_NONE */
#define JEMALLOC_ARENA(arena) ((int)((arena) + 1u) << 20)   /* MALLOCX_ARENA */

/* Of runs, and of tables, which from this size on lie in our arenas too. */
#define JEMALLOC_RUN (JEMALLOC_ALIGN(TP_PAGES_UNIT) | JEMALLOC_NO_CACHE)
#define JEMALLOC_TABLE_FROM ((size_t)16 << 10)

/* CPUs that share an arena. */
#define JEMALLOC_ARENA_CPUS 4
#define JEMALLOC_ARENAS_MAX 64

static struct {
	uint32_t creating; /* a lock, of the calls that write the rest; others read it */
	unsigned count;    /* 0: none could be made yet, use jemalloc's own */
	unsigned arena[JEMALLOC_ARENAS_MAX];
} jemalloc;

static void jemalloc_arena_control(unsigned arena, const char *what)
{
	char name[64];
	ssize_t milliseconds = 0;

	snprintf(name, sizeof name, "arena.%u.%s", arena, what);
	mallctl(name, NULL, NULL, &milliseconds, sizeof milliseconds);
}

void tp_backing_jemalloc_start(void)
{
	unsigned cpus = (tp_cpu_count() + JEMALLOC_ARENA_CPUS - 1) / JEMALLOC_ARENA_CPUS;
	unsigned wanted = (unsigned)tp_min(cpus, JEMALLOC_ARENAS_MAX);

	/* If another call is at it, that one's will do; and so will fewer, in the child of a fork amid. */
	if (tp_load_relaxed(&jemalloc.count) == wanted || !tp_spinlock_try(&jemalloc.creating))
		return;
	while (jemalloc.count < wanted) {
		unsigned arena;
		size_t size = sizeof arena;

		if (mallctl("arenas.create", &arena, &size, NULL, 0))
			break;
		jemalloc_arena_control(arena, "dirty_decay_ms");
		jemalloc_arena_control(arena, "muzzy_decay_ms");
		jemalloc.arena[jemalloc.count] = arena;
		/* Release: who sees the count sees the arenas. Partner: jemalloc_arena. */
		tp_store_release(&jemalloc.count, jemalloc.count + 1);
	}
	tp_spinlock_unlock(&jemalloc.creating);
}

static int jemalloc_arena(void)
{
	unsigned count = tp_load_acquire(&jemalloc.count);

	return count ? JEMALLOC_ARENA(jemalloc.arena[tp_cpu_id() / JEMALLOC_ARENA_CPUS % count])
		     : 0;
}

/*
 * Frees what lies in an arena of ours. While another thread gives pages of the arena back, dallocx
 * leaves these to the next call: so they are given back here.
 */
static void jemalloc_arena_free(void *block, size_t n)
{
	uintptr_t begin = tp_round_up((uintptr_t)block, tp_pages_size);
	uintptr_t end = ((uintptr_t)block + n) / tp_pages_size * tp_pages_size;

	if (begin < end)
		tp_pages_purge((void *)begin, end - begin);
	dallocx(block, JEMALLOC_NO_CACHE);
}

static void *jemalloc_alloc(void *context, size_t n, size_t alignment)
{
	(void)context;
	if (n < JEMALLOC_TABLE_FROM)
		return mallocx(n, JEMALLOC_ALIGN(alignment));
	return mallocx(n, JEMALLOC_ALIGN(alignment) | JEMALLOC_NO_CACHE | jemalloc_arena());
}

static void jemalloc_free(void *context, void *block, size_t n)
{
	(void)context;
	/* Not sdallocx, which would have to be told the alignment. */
	if (n < JEMALLOC_TABLE_FROM)
		dallocx(block, 0);
	else
		jemalloc_arena_free(block, n);
}

static void *jemalloc_run_alloc(size_t bytes)
{
	return mallocx(bytes, JEMALLOC_RUN | jemalloc_arena());
}

static bool jemalloc_run_free(void *pages, size_t bytes)
{
	jemalloc_arena_free(pages, bytes);
	return true;
}

static enum tp_extended jemalloc_run_extend(void *pages, size_t before, size_t after)
{
	(void)before;
	/* rallocx would copy, and so do callers if this fails. */
	return xallocx(pages, after, 0, JEMALLOC_RUN) >= after ? TP_EXTENDED : TP_EXTENDED_REFUSED;
}

bool tp_backing_jemalloc_present(void)
{
	return mallocx && xallocx && dallocx && mallctl;
}

static const struct tp_backing_runs jemalloc_runs = {
	jemalloc_run_alloc, jemalloc_run_free, jemalloc_run_extend, NULL};

const struct tp_backing tp_backing_jemalloc = {
	{sizeof(struct tierpool_backing), jemalloc_alloc, jemalloc_free, NULL}, "jemalloc",
	&jemalloc_runs};
