/* SPDX-License-Identifier: MIT */
/*
 * What each thing costs in the modelled time, in nanoseconds. The peers pay the same for the same.
 * Rounded: they are to compare contenders, not to tell what a program would take.
 */
#ifndef COST_H
#define COST_H

#include <stddef.h>

#define COST_PAIR 6.0         /* a get and its put that find what they need: pair_latency */
#define COST_EXCHANGE 80.0    /* a growth that exchanges blocks, besides copying: growth */
#define COST_RESIZE 20.0      /* of Go's append or a realloc, besides copying and the new block */
#define COST_COPY 0.1         /* a byte copied, beyond the first caches */
#define COST_BLOCK 250.0      /* a new block: slow_calls */
#define COST_BLOCK_LARGE 5000 /* one of more than BLOCK_LARGE bytes, which is mapped: slow_calls */
#define COST_FREE 100.0       /* a block freed, or collected: slow_calls */
#define COST_FAULT 250.0      /* the first write to a page of a block that was new: growth */

#define BLOCK_LARGE ((size_t)16 << 20)
#define FAULT_LEAST ((size_t)64 << 10) /* smaller blocks lie in pages that were in use before */
#define FAULT_PAGE ((size_t)4096)

#endif
