/* SPDX-License-Identifier: MIT */
/*
 * The trace that TIERPOOL_TRACE=file asks for: each get, growth and put of the process, in one order.
 * Owns the file. Its format, and the program that reads it, are in benchmarks/README.md.
 *
 * While it is on, no pool has a fast path: so the calls here stand on slow ways only.
 */
#ifndef TP_TRACE_H
#define TP_TRACE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "pool/pool.h"
#include "process/atfork.h"

/* Written by tp_trace_start, and cleared when the file cannot be written. */
extern tp_hidden bool tp_trace_on;

/* Opens the file, if there is to be one. Called once, before the first pool is made. */
void tp_trace_start(void);

/* After a pool was made, before others know it. */
void tp_trace_pool(const tierpool *pool, const struct tierpool_options *options);

/*
 * Get and growth are written after the call, a put before it. So a buffer's put precedes its next get
 * in the file.
 */
void tp_trace_get(const tierpool *pool, const tierpool_buf *b, struct tp_site *site, size_t n);
void tp_trace_grow(const tierpool_buf *b, size_t need, size_t kept);
void tp_trace_put(const tierpool_buf *b);

/* The child of a fork traces no more: the file is its parent's. */
void tp_trace_fork(enum tp_fork phase);

#endif
