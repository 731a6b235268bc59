/* SPDX-License-Identifier: MIT */
/*
 * For architectures without sequences, and for TSan. The mode is locked there, so these functions
 * are never called.
 */
#ifndef TP_RSEQ_NONE_H
#define TP_RSEQ_NONE_H

#include <stdbool.h>

#include "percpu/rseq.h"

static inline void *tp_rseq_pop(
	ptrdiff_t area, const void *base, unsigned count, size_t stack_offset, bool *slow)
{
	(void)area, (void)base, (void)count, (void)stack_offset;
	*slow = true;
	return NULL;
}

static inline bool tp_rseq_push(ptrdiff_t area, const void *base, unsigned count,
	const uint32_t *stack_offset, const void *item)
{
	(void)area, (void)base, (void)count, (void)stack_offset, (void)item;
	return false;
}

static inline bool tp_rseq_push_aged(ptrdiff_t area, const void *base, unsigned count,
	const uint32_t *stack_offset, const void *item)
{
	return tp_rseq_push(area, base, count, stack_offset, item);
}

static inline bool tp_rseq_store(ptrdiff_t area, const struct tp_rseq_store *s)
{
	(void)area, (void)s;
	return false;
}

#endif
