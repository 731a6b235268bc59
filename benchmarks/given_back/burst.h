/* SPDX-License-Identifier: MIT */
/*
 * A burst: buffers of one size, all borrowed before the first one is put.
 */
#ifndef BURST_H
#define BURST_H

#include <stdbool.h>
#include <stddef.h>

#include <tierpool.h>

struct burst {
	tierpool_buf **buffer;
	size_t count;
};

/*
 * Makes room for count buffers. The room is resident from now on, and does not come from malloc.
 */
struct burst burst_make(size_t count);

/* Borrows them. touched: and writes every byte. */
void burst_borrow(const struct burst *b, tierpool *pool, size_t size, bool touched);

/* Puts them, in the order in which they were borrowed. */
void burst_put(const struct burst *b);

/*
 * A small burst in a pool that is destroyed again. After it the code that runs is resident, and so
 * is what the process has once for all its pools; so neither is counted as part of a burst.
 */
void burst_rehearse(void);

/* A pool. */
tierpool *burst_pool(const struct tierpool_options *options);

#endif
