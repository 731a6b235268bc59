/* SPDX-License-Identifier: MIT */
/*
 * Where blocks come from: jemalloc, libc, or the program's own functions; and what a block really
 * costs there. Owns nothing of a pool; jemalloc's arenas, which all pools of a process share, are
 * here. Never called while a lock of the library is held. Layer 2.
 */
#ifndef TP_BACKING_H
#define TP_BACKING_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/pool.h>

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

/*
 * Copies a public struct that begins with its size: 0; -EINVAL for a size of 0 or less than a
 * size_t; -E2BIG when bytes beyond known are not zero. What from does not have is left as it is.
 */
int tp_copy_sized(void *to, size_t known, const void *from);

#endif
