/* SPDX-License-Identifier: MIT */
/*
 * Who takes part in pair_latency, and the loop that each is measured in.
 *
 * The floor and the pool are linked, each from a shared library of its own, so a call of either
 * goes through the PLT: one direct call, one indirect jump. The allocators are called by pointer.
 */
#ifndef CONTENDERS_H
#define CONTENDERS_H

#include <stddef.h>
#include <stdint.h>

#include <tierpool.h>

/*
 * In the order of the report; the allocators as in support/allocators.h. Last the work alone, on
 * buffers that nobody gets or puts: what the others take beyond that is theirs.
 */
enum { FLOOR, TIERPOOL, GLIBC, JEMALLOC, MIMALLOC, TCMALLOC, WORK, CONTENDERS };

/*
 * What is done between a get and its put. STORE: the first bytes are written, which counts as part
 * of the pair. USE: 256 bytes are written. NEST: the same in NESTED buffers that are borrowed at
 * once, and put in the reverse order.
 */
enum { STORE, USE, NEST, WORKS };

#define NESTED 16

struct contender {
	const char *name;
	const char *absent; /* why it is left out; empty: it is not */
	void (*pairs)(const struct contender *c, size_t n, uint64_t count);
	tierpool *pool; /* TIERPOOL's */

	/* The allocators'. */
	void *(*alloc)(size_t n);
	void (*free)(void *block);
};

extern struct contender contenders[CONTENDERS];

/* Loads the allocators, for this work. It may start the program again, once, with the same argv. */
void contenders_load(char **argv, unsigned work);

#endif
