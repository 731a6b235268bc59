/* SPDX-License-Identifier: MIT */
/*
 * Where memory comes from: jemalloc, libc, or the program's own functions. Owns nothing of a pool.
 * The program's functions are never called while a lock of the library is held, but locks that are
 * only tried.
 *
 *                 blocks of a pool (blocks.h)               its tables
 *     libc        runs, in mappings of the library's own    malloc; mappings if they are large
 *     jemalloc    runs, in arenas of the library's own      jemalloc; these arenas if they are large
 *     custom      one by one from the program's functions   the same
 *
 * Headers of buffers, and slabs, are mappings of the library's own in each case. Under
 * TIERPOOL_DEBUG=unpooled all is libc but what is custom, and blocks, tables and headers are malloc's,
 * each by itself.
 */
#ifndef TP_BACKING_H
#define TP_BACKING_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/pool.h>

#include "base/compiler.h"
#include "memory/pages.h"

/* The pages of runs: multiples of TP_PAGES_UNIT, which also begin at one. */
struct tp_backing_runs {
	/* NULL: out of memory. */
	void *(*alloc)(size_t bytes);
	/* False: refused; the mapping is still the caller's, and its content is gone. */
	bool (*free)(void *pages, size_t bytes);
	/* As tp_pages_extend and tp_pages_move. move NULL: not possible. */
	enum tp_extended (*extend)(void *pages, size_t before, size_t after);
	bool (*move)(void *pages, size_t before, size_t after, void *target);
};

struct tp_backing {
	struct tierpool_backing call;
	const char *name;                   /* "jemalloc", "libc" or "custom" */
	const struct tp_backing_runs *runs; /* NULL: blocks come from call */
};

/*
 * Chooses the backing of a pool. Any thread.
 *
 * custom:   NULL: as TIERPOOL_BACKING says; by default jemalloc if the process has it, else libc.
 *           Under Valgrind and ASan, which see nothing in jemalloc, libc
 * Returns:  0; -EINVAL, -E2BIG: as tierpool_create.
 */
int tp_backing_init(struct tp_backing *backing, const struct tierpool_backing *custom);

/* n bytes, aligned to TP_LINE or more; NULL: out of memory. They are freed with the same n. */
void *tp_backing_alloc(const struct tp_backing *backing, size_t n);
void *tp_backing_alloc_aligned(const struct tp_backing *backing, size_t n, size_t alignment);
void tp_backing_free(const struct tp_backing *backing, void *block, size_t n);

/* ---- backing_libc.c, backing_jemalloc.c ---- */

extern tp_hidden const struct tp_backing tp_backing_libc, tp_backing_jemalloc;

/* Whether the process has jemalloc. */
bool tp_backing_jemalloc_present(void);

/* Makes the arenas. Called before the first pool on jemalloc. */
void tp_backing_jemalloc_start(void);

#endif
