/* SPDX-License-Identifier: MIT */
#include "memory/pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* since Linux 5.18 */
#endif

size_t tp_pages_size = 4096;

/* First: a constructor of the program may make a pool. */
__attribute__((constructor(101))) static void pages_start(void)
{
	long size = sysconf(_SC_PAGESIZE);

	if (size > 0)
		tp_pages_size = (size_t)size;
}

/*
 * LeakSanitizer follows pointers out of what malloc gave, but not out of mappings: what is only known
 * to these would be reported as lost, such as the blocks of idle buffers under ASan.
 */
extern void __lsan_register_root_region(const void *begin, size_t bytes) __attribute__((weak));
extern void __lsan_unregister_root_region(const void *begin, size_t bytes) __attribute__((weak));

static void *pages_root_add(void *pages, size_t bytes)
{
	if (pages && __lsan_register_root_region)
		__lsan_register_root_region(pages, bytes);
	return pages;
}

static void pages_root_remove(const void *pages, size_t bytes)
{
	if (__lsan_unregister_root_region)
		__lsan_unregister_root_region(pages, bytes);
}

/* ---- mappings that the system refused to end ---- */

/* At the beginning of each. */
struct pages_left {
	struct pages_left *next;
	size_t bytes;
};

/* By anyone, who takes all of them at once, or adds some. */
static struct pages_left *pages_left;

static void pages_left_add(struct pages_left *left)
{
	left->next = tp_load_relaxed(&pages_left);
	/* Release: who takes it sees next and bytes. Partner: the exchange below. */
	while (!tp_cas_strong_acq_rel(&pages_left, &left->next, left))
		;
}

/* Tries again to end them. False: the system still refuses. */
static bool pages_left_end(void)
{
	struct pages_left *left, *next;
	bool all = true;

	/* Relaxed: what another thread adds now, the next call tries. */
	if (!tp_load_relaxed(&pages_left))
		return true;
	for (left = tp_exchange_acquire(&pages_left, NULL); left; left = next) {
		next = left->next;
		if (all && !munmap(left, left->bytes))
			continue;
		pages_left_add(left);
		all = false;
	}
	return all;
}

/* Keeps a mapping that the system has refused to end, for later. Returns: NULL, for callers. */
static void *pages_leave(void *pages, size_t bytes)
{
	struct pages_left *left = pages;

	tp_pages_purge(pages, bytes);
	left->bytes = bytes;
	pages_left_add(left);
	return NULL;
}

bool tp_pages_unmap(void *pages, size_t bytes)
{
	pages_root_remove(pages, bytes);
	if (!munmap(pages, bytes))
		return true;
	pages_root_add(pages, bytes);
	return false;
}

void tp_pages_end(void *pages, size_t bytes)
{
	pages_left_end();
	pages_root_remove(pages, bytes);
	if (munmap(pages, bytes))
		pages_leave(pages, bytes);
}

/* ---- */

static char *pages_map_anywhere(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

/* The same, at a multiple of TP_PAGES_UNIT: maps more, and ends what is too much on both sides. */
static char *pages_map_trimmed(size_t bytes)
{
	size_t more = TP_PAGES_UNIT - tp_pages_size, before;
	char *pages = pages_map_anywhere(bytes + more);

	if (!pages)
		return NULL;
	before = -(uintptr_t)pages % TP_PAGES_UNIT;
	if (before && munmap(pages, before))
		return pages_leave(pages, bytes + more);
	pages += before;
	if (more > before && munmap(pages + bytes, more - before))
		return pages_leave(pages, bytes + more - before);
	return pages;
}

void *tp_pages_map(size_t bytes)
{
	/* If mappings cannot be ended, that of an attempt that fails could not be ended either. */
	char *pages = pages_left_end() ? pages_map_anywhere(bytes) : NULL;

	/*
	 * The system maps downwards, right below what was mapped last. So if only multiples of the
	 * unit are mapped, the first call has to trim and the others do not.
	 */
	if (pages && (uintptr_t)pages % TP_PAGES_UNIT) {
		if (!munmap(pages, bytes))
			pages = pages_map_trimmed(bytes);
		else
			pages = pages_leave(pages, bytes);
	}
	return pages_root_add(pages, bytes);
}

void tp_pages_purge(void *pages, size_t bytes)
{
	if (madvise(pages, bytes, MADV_DONTNEED) && errno == EINVAL)
		madvise(pages, bytes, MADV_DONTNEED_LOCKED);
}

enum tp_extended tp_pages_extend(void *pages, size_t before, size_t after)
{
	if (mremap(pages, before, after, 0) != MAP_FAILED)
		return TP_EXTENDED;
	/* EFAULT: the program has locked or advised a part of it, so it is several to the system. */
	return errno == ENOMEM ? TP_EXTENDED_NO_ROOM : TP_EXTENDED_REFUSED;
}

bool tp_pages_move(void *pages, size_t before, size_t after, void *target)
{
	return mremap(pages, before, after, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target;
}
