/* SPDX-License-Identifier: MIT */
/*
 * Counts the calls of malloc and its kin in the whole process. Built as allocations.so and loaded by
 * LD_PRELOAD, so that programs are what they are without it. Not with a sanitizer, which has a malloc
 * of its own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_size_t counted;

size_t allocations(void);

size_t allocations(void)
{
	return counted;
}

/* A function that counts, and calls the next one of its name. */
#define COUNT(type, name, parameters, arguments)                   \
	type name parameters;                                      \
	type name parameters                                       \
	{                                                          \
		static type(*next) parameters;                     \
		if (!next)                                         \
			*(void **)&next = dlsym(RTLD_NEXT, #name); \
		atomic_fetch_add(&counted, 1);                     \
		return next arguments;                             \
	}

COUNT(void *, malloc, (size_t n), (n))
COUNT(void *, calloc, (size_t count, size_t n), (count, n))
COUNT(void *, realloc, (void *block, size_t n), (block, n))
COUNT(void *, memalign, (size_t alignment, size_t n), (alignment, n))
COUNT(void *, aligned_alloc, (size_t alignment, size_t n), (alignment, n))
COUNT(int, posix_memalign, (void **block, size_t alignment, size_t n), (block, alignment, n))
