/* SPDX-License-Identifier: MIT */
/*
 * Reports of misuse: to the program's handler, or to stderr and then abort.
 */
#ifndef TP_MISUSE_H
#define TP_MISUSE_H

#include <stdbool.h>

#include <tierpool/pool.h>

/* Reports what was done to b, whose header need not be whole. Returns only after a handler did. */
void tp_misuse(const tierpool_buf *b, const char *what);

/*
 * Whether b is in the hands of a borrower; where it is not, that is reported: put names the call.
 * This is the whole check of every slow path; the fast ones compare control with plain.
 */
bool tp_misuse_check(const tierpool_buf *b, bool put);

#endif
