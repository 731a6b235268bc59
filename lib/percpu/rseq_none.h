/* SPDX-License-Identifier: MIT */
/*
 * For architectures without sequences, and for TSan. The mode is locked there, so these functions
 * are never called.
 */
#ifndef TP_RSEQ_NONE_H
#define TP_RSEQ_NONE_H

#include <stdbool.h>

#include "percpu/rseq.h"

static inline void *tp_rseq_pop(ptrdiff_t area, const void *base, unsigned count,
	unsigned stack_index, uint64_t *after, bool *slow)
{
	(void)area, (void)base, (void)count, (void)stack_index;
	*after = 0;
	*slow = true;
	return NULL;
}

static inline bool tp_rseq_push(
	ptrdiff_t area, const void *base, unsigned count, unsigned stack_index, const void *item)
{
	(void)area, (void)base, (void)count, (void)stack_index, (void)item;
	return false;
}

static inline bool tp_rseq_push_aged(
	ptrdiff_t area, const void *base, unsigned count, unsigned stack_index, const void *item)
{
	return tp_rseq_push(area, base, count, stack_index, item);
}

static inline bool tp_rseq_store(ptrdiff_t area, const struct tp_rseq_store *s)
{
	(void)area, (void)s;
	return false;
}

#endif
