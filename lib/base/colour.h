/* SPDX-License-Identifier: MIT */
/*
 * Cache colouring. The first-level cache finds a line by its place in the page. Two lines with the
 * same place compete for the same few entries, and a load from one may wait for a store to the
 * other. The place is called the colour here. There are 64.
 */
#ifndef TP_COLOUR_H
#define TP_COLOUR_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* The first-level cache finds a line by its address modulo this. Bytes. */
#define TP_COLOUR_PAGE ((size_t)4096)

#define TP_COLOURS (TP_COLOUR_PAGE / TP_LINE)

/* The colour of an address, as one bit of 64, so that several colours make a set. */
static inline uint64_t tp_colour(uintptr_t address)
{
	return UINT64_C(1) << (address / TP_LINE % TP_COLOURS);
}

#endif
