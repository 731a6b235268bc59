/* SPDX-License-Identifier: MIT */
/*
 * Where blocks come from: jemalloc, libc, or the program's own functions; and what a block really
 * costs there. Owns nothing of a pool. Never called while a lock of the library is held, but locks
 * that are only tried.
 */
#ifndef TP_BACKING_H
#define TP_BACKING_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/pool.h>

#include "base/compiler.h"

struct tp_backing {
	struct tierpool_backing call;
	const char *name;            /* "jemalloc", "libc" or "custom" */
	size_t (*cost)(size_t n);    /* bytes that a block of n bytes really takes */
	void (*give_back)(bool all); /* as tp_backing_give_back; NULL: nothing to do */
};

/*
 * Chooses the backing of a pool. Any thread.
 *
 * custom:   NULL: as TIERPOOL_BACKING says; by default jemalloc if the process has it, else libc.
 *           Under Valgrind, which sees nothing in jemalloc, libc
 * decay_ms: how long jemalloc keeps the pages of freed blocks. The smallest of all pools counts
 * Returns:  0; -EINVAL, -E2BIG: as tierpool_create.
 */
int tp_backing_init(
	struct tp_backing *backing, const struct tierpool_backing *custom, unsigned decay_ms);

/* A block of n bytes, aligned to TP_LINE; NULL: out of memory. It is freed with the same n. */
void *tp_backing_alloc(const struct tp_backing *backing, size_t n);
void tp_backing_free(const struct tp_backing *backing, void *block, size_t n);

/* Returns freed pages to the system: all of them, or those whose decay is due. */
void tp_backing_give_back(const struct tp_backing *backing, bool all);

/* ---- backing_libc.c, backing_jemalloc.c ---- */

extern tp_hidden const struct tp_backing tp_backing_libc, tp_backing_jemalloc;

/* Bytes of a page of the system. Written when the library is loaded, read by anyone. */
extern tp_hidden size_t tp_backing_page;

/* Whether the process has jemalloc. */
bool tp_backing_jemalloc_present(void);

/* Sets how long jemalloc keeps the pages of freed blocks, unless a pool has asked for less. */
void tp_backing_jemalloc_decay_set(unsigned decay_ms);

#endif
