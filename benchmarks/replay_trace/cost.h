/* SPDX-License-Identifier: MIT */
/*
 * What each thing costs in the modelled time, in nanoseconds. The peers pay the same for the same.
 * Rounded: they are to compare contenders, not to tell what a program would take.
 */
#ifndef COST_H
#define COST_H

#include <stddef.h>

#define COST_PAIR 6.0      /* a get and its put that find what they need: pair_latency */
#define COST_EXCHANGE 80.0 /* a growth that exchanges blocks, besides copying: growth */
#define COST_RESIZE 20.0   /* of Go's append or a realloc, besides copying and the new block */
#define COST_COPY 0.1      /* a byte copied, beyond the first caches */

/*
 * A new block, and a free, also by Go's collector: cost_model. Blocks from BLOCK_LARGE bytes on are
 * mapped. COST_FAULT, for the first write to a page of a new block, is a figure of bare metal: in the
 * virtual machine where the blocks were measured it takes 1,100 to 1,800.
 */
#define COST_BLOCK 200.0
#define COST_BLOCK_LARGE 4000.0
#define COST_FREE 200.0
#define COST_FREE_LARGE 5500.0
#define COST_FAULT 250.0

#define BLOCK_LARGE ((size_t)1 << 20)
#define FAULT_LEAST ((size_t)64 << 10) /* smaller blocks lie in pages that were in use before */
#define FAULT_PAGE ((size_t)4096)

#endif
