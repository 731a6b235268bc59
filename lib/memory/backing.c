/* SPDX-License-Identifier: MIT */
#include "memory/backing.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

#include "base/atomic.h"
#include "base/compiler.h"
#include "percpu/cpu.h"

/* ---- libc: posix_memalign, and from 64 KiB on a mapping of its own, which free gives back ---- */

#define LIBC_MAPPED_FROM ((size_t)64 << 10)
#define COLOURS ((size_t)64) /* lines of 4096 bytes, by which caches index at most */

static size_t page = 4096; /* bytes of a page; the system's, once the library is loaded */

__attribute__((constructor)) static void page_start(void)
{
	long size = sysconf(_SC_PAGESIZE);

	if (size > 0)
		page = (size_t)size;
}

/* Room for a block of n at any colour. 0: overflow. */
static size_t mapped_length(size_t n)
{
	size_t most = (COLOURS - 1) * TP_LINE;

	return n > SIZE_MAX - most - page ? 0 : tp_round_up(n + most, page);
}

static void *mapped_alloc(size_t n)
{
	static unsigned next_colour;
	size_t length = mapped_length(n);
	char *base;

	if (!length)
		return NULL;
	base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	/*
	 * Blocks that all begin on a page meet in the same sets of the cache: writing 16 of them in
	 * turn took 5.7 ns a write against 0.8 on the EPYC machine of the README. 37 is odd, so
	 * that all colours come up; relaxed, since any colour will do.
	 */
	return base + tp_add_relaxed(&next_colour, 37u) % COLOURS * TP_LINE;
}

static void *libc_alloc(void *context, size_t n, size_t alignment)
{
	void *block;

	(void)context;
	if (n >= LIBC_MAPPED_FROM)
		return mapped_alloc(n);
	return posix_memalign(&block, alignment, n) ? NULL : block;
}

static void libc_free(void *context, void *block, size_t n)
{
	(void)context;
	if (n < LIBC_MAPPED_FROM)
		free(block);
	else
		munmap((void *)((uintptr_t)block & ~(page - 1)), mapped_length(n));
}

static size_t libc_cost(size_t n)
{
	if (n >= LIBC_MAPPED_FROM)
		return mapped_length(n);
	/*
	 * glibc 2.36, sbrk over 20,000 blocks: 64 bytes cost 186, 128: 250, 1,000: 1,087, 16 KiB:
	 * 16,447; the 16 of the chunk and what aligning leaves over on both sides.
	 */
	return tp_round_up(n, TP_LINE) + 128;
}

/* ---- jemalloc: weak, so that the library loads without it and never makes it the malloc ---- */

extern void *mallocx(size_t size, int flags) __attribute__((weak));
extern void sdallocx(void *block, size_t size, int flags) __attribute__((weak));
extern size_t nallocx(size_t size, int flags) __attribute__((weak));
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

#define JEMALLOC_ALIGN 6                                  /* MALLOCX_LG_ALIGN(6): 64 */
#define JEMALLOC_NO_CACHE ((int)(1u << 8))                /* MALLOCX_TCACHE_NONE */
#define JEMALLOC_ARENA(arena) ((int)((arena) + 1u) << 20) /* MALLOCX_ARENA */

/* From here on blocks lie in arenas of ours; below, jemalloc's thread caches do better. */
#define JEMALLOC_OWN_FROM ((size_t)16 << 10)
/* From this class on; sizes just below are rounded up to it. */
#define JEMALLOC_LARGE ((size_t)16 << 10)
/* One arena for so many CPUs: a miss in one arena takes 0.3 us alone, 1.2 us from two threads. */
#define JEMALLOC_ARENA_CPUS 4
#define JEMALLOC_ARENAS_MAX 64

static struct {
	pthread_once_t once;
	unsigned arena[JEMALLOC_ARENAS_MAX]; /* written once */
	unsigned count;                      /* 0: none could be made, use jemalloc's own */
	uint64_t eagerness;                  /* UINT_MAX - the smallest decay_ms so far */
} jemalloc = {.once = PTHREAD_ONCE_INIT};

static void arenas_create(void)
{
	unsigned wanted = (tp_percpu_count() + JEMALLOC_ARENA_CPUS - 1) / JEMALLOC_ARENA_CPUS;

	while (jemalloc.count < wanted && jemalloc.count < JEMALLOC_ARENAS_MAX) {
		size_t size = sizeof jemalloc.arena[0];

		if (mallctl("arenas.create", &jemalloc.arena[jemalloc.count], &size, NULL, 0))
			break;
		jemalloc.count++;
	}
}

static void arenas_control(const char *what, void *value, size_t size)
{
	char name[64];

	for (unsigned i = 0; i < jemalloc.count; i++) {
		snprintf(name, sizeof name, "arena.%u.%s", jemalloc.arena[i], what);
		mallctl(name, NULL, NULL, value, size);
	}
}

static void jemalloc_decay_set(unsigned decay_ms)
{
	uint64_t eager = UINT_MAX - decay_ms;

	pthread_once(&jemalloc.once, arenas_create);
	if (tp_raise_relaxed(&jemalloc.eagerness, eager) == eager) {
		ssize_t milliseconds = decay_ms == UINT_MAX ? -1 : (ssize_t)decay_ms;

		arenas_control("dirty_decay_ms", &milliseconds, sizeof milliseconds);
	}
}

static void *jemalloc_alloc(void *context, size_t n, size_t alignment)
{
	int flags = JEMALLOC_ALIGN;

	(void)context;
	(void)alignment;
	if (n >= JEMALLOC_OWN_FROM && jemalloc.count) {
		unsigned arena = tp_percpu_id() / JEMALLOC_ARENA_CPUS % jemalloc.count;

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
	 * jemalloc 5.3 puts blocks of its large classes, 16 KiB and more, at a random line of one
	 * page more, which nallocx omits: 64 blocks of 64 KiB took 68 KiB each.
	 */
	return cost + (cost >= JEMALLOC_LARGE ? page : 0);
}

static void jemalloc_give_back(bool all)
{
	arenas_control(all ? "purge" : "decay", NULL, 0);
}

/* ---- custom ---- */

static size_t custom_cost(size_t n)
{
	return n;
}

static const struct tp_backing libc_backing = {
	{sizeof(struct tierpool_backing), libc_alloc, libc_free, NULL}, "libc", libc_cost, NULL};

static const struct tp_backing jemalloc_backing = {
	{sizeof(struct tierpool_backing), jemalloc_alloc, jemalloc_free, NULL}, "jemalloc",
	jemalloc_cost, jemalloc_give_back};

static const struct tp_backing *default_backing;

static void default_choose(void)
{
	const char *wish = secure_getenv("TIERPOOL_BACKING");
	bool have = mallocx && sdallocx && nallocx && mallctl;
	bool use = have && !RUNNING_ON_VALGRIND;

	if (wish && !*wish)
		wish = NULL;
	if (wish && !strcmp(wish, "libc"))
		use = false;
	else if (wish && strcmp(wish, "jemalloc"))
		fprintf(stderr, "tierpool: TIERPOOL_BACKING=%s: not jemalloc or libc; ignored\n",
			wish);
	else if (wish && !have)
		fprintf(stderr,
			"tierpool: TIERPOOL_BACKING=jemalloc: this process has none; libc\n");
	default_backing = use ? &jemalloc_backing : &libc_backing;
}

int tp_backing_init(
	struct tp_backing *backing, const struct tierpool_backing *custom, unsigned decay_ms)
{
	static pthread_once_t chosen = PTHREAD_ONCE_INIT;

	if (custom) {
		*backing = (struct tp_backing){{0}, "custom", custom_cost, NULL};
		int error = tp_copy_sized(&backing->call, sizeof backing->call, custom);

		return error ? error : backing->call.alloc && backing->call.free ? 0 : -EINVAL;
	}
	pthread_once(&chosen, default_choose);
	*backing = *default_backing;
	if (default_backing == &jemalloc_backing)
		jemalloc_decay_set(decay_ms);
	return 0;
}

void *tp_backing_alloc(const struct tp_backing *backing, size_t n)
{
	/* No object is larger, and the sums of whoever serves it do not overflow. */
	void *block =
		n > PTRDIFF_MAX ? NULL : backing->call.alloc(backing->call.context, n, TP_LINE);

	if ((uintptr_t)block % TP_LINE) {
		/* A program's allocator that does not align: no block is better than a wrong one.
		 */
		tp_backing_free(backing, block, n);
		return NULL;
	}
	return block;
}

void tp_backing_free(const struct tp_backing *backing, void *block, size_t n)
{
	backing->call.free(backing->call.context, block, n);
}

void tp_backing_give_back(const struct tp_backing *backing, bool all)
{
	if (backing->give_back)
		backing->give_back(all);
}

int tp_copy_sized(void *to, size_t known, const void *from)
{
	size_t size;

	memcpy(&size, from, sizeof size);
	if (size < sizeof size)
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (((const unsigned char *)from)[i])
			return -E2BIG;
	memcpy(to, from, tp_min(size, known));
	return 0;
}
