/* SPDX-License-Identifier: MIT */
/*
 * The capacities of Go's slices.
 */
#ifndef GO_SLICE_H
#define GO_SLICE_H

#include <stddef.h>

/* Returns: the capacity of a slice that is made for n bytes, or would be allocated for them. */
size_t go_slice_size(size_t n);

/* Returns: the capacity that append gives a slice of this one that has to hold need bytes. */
size_t go_slice_grown(size_t cap, size_t need);

#endif
