/* SPDX-License-Identifier: MIT */
/*
 * Misuse of a buffer: how a slow path finds it, and how it is reported. A report goes to the
 * program's handler; if there is none, to stderr, and the process ends by abort.
 */
#ifndef TP_MISUSE_H
#define TP_MISUSE_H

#include <stdbool.h>
#include <stdint.h>

#include <tierpool/pool.h>

/* Reports a misuse of b, whose header may be overwritten. Returns only if the handler does. */
void tp_misuse(const tierpool_buf *b, const char *what);

/*
 * The whole check of every slow path; the fast ones compare one number. b must be borrowed and, if
 * the call is not a put, its length at most its capacity. Returns: false after a report.
 */
bool tp_misuse_check(const tierpool_buf *b, bool put);

/* Misuses that were reported so far. */
uint64_t tp_misuse_count(void);

#endif
