/* SPDX-License-Identifier: MIT */
/*
 * Memory from the C library and the system: runs are mappings, tables come from posix_memalign, and
 * from MAPPED_FROM bytes on are mappings too, so that a free gives them back to the system. Leak
 * checkers do not look into mappings: under TIERPOOL_DEBUG=unpooled there are none.
 */
#include <stdlib.h>

#include "base/debug.h"
#include "memory/backing.h"
#include "memory/pages.h"

#define MAPPED_FROM TP_PAGES_UNIT

static bool libc_is_mapped(size_t n)
{
	return n >= MAPPED_FROM && !tp_debug.unpooled;
}

static void *libc_alloc(void *context, size_t n, size_t alignment)
{
	void *block;

	(void)context;
	if (libc_is_mapped(n))
		return tp_pages_map(tp_round_up(n, TP_PAGES_UNIT));
	return posix_memalign(&block, alignment, n) ? NULL : block;
}

static void libc_free(void *context, void *block, size_t n)
{
	(void)context;
	if (libc_is_mapped(n))
		tp_pages_end(block, tp_round_up(n, TP_PAGES_UNIT));
	else
		free(block);
}

static bool libc_run_free(void *pages, size_t bytes)
{
	bool done = tp_pages_unmap(pages, bytes);

	if (!done)
		tp_pages_purge(pages, bytes);
	return done;
}

static const struct tp_backing_runs libc_runs = {
	tp_pages_map, libc_run_free, tp_pages_extend, tp_pages_move};

const struct tp_backing tp_backing_libc = {
	{sizeof(struct tierpool_backing), libc_alloc, libc_free, NULL}, "libc", &libc_runs};
