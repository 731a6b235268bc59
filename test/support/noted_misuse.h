/* SPDX-License-Identifier: MIT */
/*
 * For tests of what TIERPOOL_DEBUG finds: a handler of misuse that notes each report.
 */
#ifndef NOTED_MISUSE_H
#define NOTED_MISUSE_H

#include <tierpool/pool.h>

/* The last report, and how many there were. */
struct noted_misuse {
	unsigned count;
	char pool[64], what[64];
	const tierpool_buf *buffer;
};

extern struct noted_misuse noted;

/* Sets TIERPOOL_DEBUG to a value, before the first pool is made, and installs the handler. */
void noted_begin(const char *value);

/* There was one report since the last call: of this buffer (NULL: of any), and saying this. */
void expect_noted(const tierpool_buf *b, const char *pool, const char *what);

/* There was none. */
void expect_none_noted(void);

#endif
