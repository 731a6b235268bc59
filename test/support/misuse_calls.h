/* SPDX-License-Identifier: MIT */
/*
 * For tests of misuse: a pool whose buffers are misused, every call on a buffer, and a handler that
 * notes each report. For tests that use Criterion.
 */
#ifndef MISUSE_CALLS_H
#define MISUSE_CALLS_H

#include <stddef.h>

#include <tierpool/pool.h>
#include <tierpool/stats.h>

#define NAME "the misused pool"

extern tierpool *misused;

/* Makes the pool. Its blocks are larger than asked for, so that a write beyond a capacity does no harm. */
void misuse_start(void);

/* A borrowed buffer of 2 KiB; one that was put, and whose block is full of the letter i. */
tierpool_buf *get(void);
tierpool_buf *idle(void);

struct tierpool_stats stats(void);

/* What report_note was told last, and how often. */
struct reported {
	unsigned calls;
	char pool[512], what[64];
	const tierpool_buf *buffer;
};
extern struct reported reported;
void report_note(const char *name, const char *what, const tierpool_buf *b);

/* There was one report, of this. */
void expect_reported(const tierpool_buf *b, const char *name, const char *what);

/* Every call on a buffer; as an int what it returned, or -EINVAL where it returns nothing. */
struct call {
	const char *name;
	int (*call)(tierpool_buf *b);
};
#define CALLS 23
extern const struct call calls[CALLS];
/*
 * The last three do not mind a length beyond the capacity; reset is how to repair it. The first one does
 * where it is not the fast way.
 */
#define CALLS_OF_LENGTH (CALLS - 3)

#endif
