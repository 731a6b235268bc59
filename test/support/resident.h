/* SPDX-License-Identifier: MIT */
/*
 * For tests of what goes back to the system: how much of the process is resident.
 */
#ifndef RESIDENT_H
#define RESIDENT_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool/pool.h>

/* There where a program is linked with jemalloc. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

/*
 * Whether resident() depends on the pool alone. If not, the reason is printed once, and the rest of
 * the test goes on.
 */
bool resident_is_useful(void);

/* Bytes of the process that are resident; 0: unknown. */
size_t resident(void);

/* By how much bytes is above start; 0 when it is below. */
size_t above(size_t bytes, size_t start);

/* As tierpool_get_sized, with all pages of the buffer touched. NULL when the get failed. */
tierpool_buf *get_touched(tierpool *pool, size_t size);

#endif
