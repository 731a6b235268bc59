/* SPDX-License-Identifier: MIT */
/*
 * Stands between the library and malloc, calloc, realloc and strdup: fails calls if told to. Only for
 * programs that are linked with it (ALLOCATED in test.mk); the C library's own calls are not seen.
 */
#ifndef ALLOCATIONS_H
#define ALLOCATIONS_H

#include "mappings.h"

extern struct failing allocation_fails;

#endif
