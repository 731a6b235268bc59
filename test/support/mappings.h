/* SPDX-License-Identifier: MIT */
/*
 * Stands between the library and mmap, munmap and mremap: counts what is mapped, and fails calls if
 * told to. Only for programs that are linked with it (MAPPED in test.mk); the C library's own calls
 * are not seen.
 */
#ifndef MAPPINGS_H
#define MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>

struct failing {
	unsigned at;  /* 1: the next call fails; 0: none */
	bool forever; /* and so do all after it */
};

extern struct failing map_fails, unmap_fails, remap_fails;
extern size_t mapped;  /* bytes */
extern size_t refused; /* calls of mmap that failed, since they were told to */

#endif
