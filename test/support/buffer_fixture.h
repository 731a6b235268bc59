/* SPDX-License-Identifier: MIT */
/*
 * For tests of what a borrower does with a buffer: one buffer of 1 KiB, from a pool whose backing
 * has no block above a limit.
 */
#ifndef BUFFER_FIXTURE_H
#define BUFFER_FIXTURE_H

#include <criterion/criterion.h>

#include <tierpool/pool.h>
#include <tierpool/stats.h>

#include "limited_backing.h"

#define TEXT_SIZE ((size_t)1 << 20)

extern struct limited_backing limited;
extern tierpool *pool;
extern tierpool_buf *b;
extern char text[TEXT_SIZE]; /* its first 256 bytes are all different */

/* Makes the pool, with such a bound on idle bytes (0: the default), and borrows the buffer. */
void buffer_start_with(size_t retain);

void buffer_start(void);

/* The buffer holds these n bytes, and its fields agree with each other. */
void expect_content(const void *wanted, size_t n);

#endif
