/* SPDX-License-Identifier: MIT */
/*
 * For architectures without sequences, and for TSan: never called, since the mode is locked there.
 */
#ifndef TP_ARCH_NONE_H
#define TP_ARCH_NONE_H

#include <stdbool.h>

#include "percpu/rseq.h"

static inline void *tp_sequence_pop(
	ptrdiff_t area, const void *base, unsigned count, unsigned at, uint64_t *after, bool *odd)
{
	(void)area, (void)base, (void)count, (void)at;
	*after = 0;
	*odd = true;
	return NULL;
}

static inline bool tp_sequence_push(
	ptrdiff_t area, const void *base, unsigned count, unsigned at, const void *item)
{
	(void)area, (void)base, (void)count, (void)at, (void)item;
	return false;
}

static inline bool tp_sequence_push_aged(
	ptrdiff_t area, const void *base, unsigned count, unsigned at, const void *item)
{
	return tp_sequence_push(area, base, count, at, item);
}

static inline bool tp_sequence_store(ptrdiff_t area, const struct tp_store *s)
{
	(void)area, (void)s;
	return false;
}

#endif
