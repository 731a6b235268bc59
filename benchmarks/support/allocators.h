/* SPDX-License-Identifier: MIT */
/*
 * The allocators that the pool is compared with, all in one process: each is loaded for itself
 * alone, and the process goes on with its own malloc, which is libc's.
 *
 * All of them, libc's too, are called by pointer: one indirect call.
 */
#ifndef ALLOCATORS_H
#define ALLOCATORS_H

#include <stddef.h>

#define ALLOCATORS 4

struct allocator {
	const char *name, *library, *prefix; /* prefix: of its functions */
	void *(*alloc)(size_t n);
	void *(*realloc)(void *block, size_t n);
	int (*align)(void **block, size_t alignment, size_t n); /* posix_memalign */
	void (*free)(void *block);
	char absent[160]; /* why it is left out; empty: it is not */
};

extern struct allocator allocators[ALLOCATORS];

/* Loads the allocators. It may start the program again, once, with the same argv. */
void allocators_load(char **argv);

/* Prints whose malloc the process has, and why an allocator is left out. */
void allocators_print(void);

/*
 * The allocator with the least of these values, one for each. Returns: its index; -1 if all are
 * absent.
 */
int allocators_best(const double *values);

#endif
