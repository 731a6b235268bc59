/* SPDX-License-Identifier: MIT */
/*
 * Where blocks come from: jemalloc, libc, or the program's own functions; and what a block really
 * costs there. Owns nothing of a pool. Never called while a lock of the library is held.
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
	size_t (*cost)(size_t n);    /* bytes that a block of n really takes */
	void (*give_back)(bool all); /* NULL: nothing to do. See tp_backing_give_back */
};

/*
 * Settles the backing of a pool. custom NULL: jemalloc where the process has it, else libc, or as
 * TIERPOOL_BACKING says; under Valgrind, which would see nothing in jemalloc, libc. decay_ms: how
 * long jemalloc keeps pages of freed blocks; the smallest of all pools holds.
 * 0; -EINVAL, -E2BIG: as tierpool_create. Any thread.
 */
int tp_backing_init(
	struct tp_backing *backing, const struct tierpool_backing *custom, unsigned decay_ms);

/* A block of n bytes aligned to TP_LINE, or NULL. */
void *tp_backing_alloc(const struct tp_backing *backing, size_t n);
void tp_backing_free(const struct tp_backing *backing, void *block, size_t n);

/* Has freed pages return to the system: those whose decay is due, or all of them. */
void tp_backing_give_back(const struct tp_backing *backing, bool all);

/* ---- backing_libc.c, backing_jemalloc.c ---- */

extern tp_hidden const struct tp_backing tp_backing_libc, tp_backing_jemalloc;

/* Bytes of a page: the system's, once the library is loaded. */
extern tp_hidden size_t tp_backing_page;

/* Whether the process has jemalloc. */
bool tp_backing_jemalloc_present(void);

/* How long its arenas keep pages of freed blocks, where no pool has asked for less. */
void tp_backing_jemalloc_decay_set(unsigned decay_ms);

#endif
