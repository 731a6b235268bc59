/* SPDX-License-Identifier: MIT */
/*
 * Atomic operations on plain objects, each named by its memory order. No other file uses the
 * compiler's builtins, so each ordering can be found by its name.
 */
#ifndef TP_ATOMIC_H
#define TP_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define tp_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define tp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define tp_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define tp_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define tp_exchange_relaxed(p, v) __atomic_exchange_n((p), (v), __ATOMIC_RELAXED)
#define tp_exchange_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define tp_exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

/* Return the value before. */
#define tp_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define tp_add_release(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELEASE)
#define tp_add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define tp_sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define tp_sub_acq_rel(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)

/*
 * Adds without a locked instruction: of two threads that add at once one may be lost. For numbers
 * that are estimates anyway.
 */
#define tp_add_lossy(p, v) tp_store_relaxed((p), tp_load_relaxed(p) + (v))

/* Compare and swap; on failure *expected is the value found. May fail spuriously: use in a loop. */
#define tp_cas_relaxed(p, expected, v) \
	__atomic_compare_exchange_n((p), (expected), (v), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

/* Sets *p to v if it is still *expected; else *expected becomes what another thread stored. */
#define tp_cas_strong_acq_rel(p, expected, v) \
	__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/* Raises *p to at least v and returns the new value. Relaxed: a maximum orders nothing. */
static inline uint64_t tp_raise_relaxed(uint64_t *p, uint64_t v)
{
	uint64_t seen = tp_load_relaxed(p);

	while (seen < v && !tp_cas_relaxed(p, &seen, v))
		;
	return seen < v ? v : seen;
}

#endif
