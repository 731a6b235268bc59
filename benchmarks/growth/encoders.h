/* SPDX-License-Identifier: MIT */
/*
 * An encoder that writes size bytes in pieces, count times: into a buffer of the pool, and into a
 * block that it reallocs. Both append inline, and leave the line for growth alone.
 *
 * first: the bytes that they begin with
 */
#ifndef ENCODERS_H
#define ENCODERS_H

#include <stddef.h>

#include <tierpool.h>

#include "support/allocators.h"

#define PIECE ((size_t)64)

/* first 0: what the pool has learned at this site. */
void encode_by_pool(tierpool *pool, size_t first, tierpool_site *site, size_t size, unsigned count);
void encode_by_realloc(const struct allocator *a, size_t first, size_t size, unsigned count);

#endif
