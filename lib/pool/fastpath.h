/* SPDX-License-Identifier: MIT */
/*
 * What the fast paths of get and put share: whether there is one, and the headers that both need.
 */
#ifndef TP_FASTPATH_H
#define TP_FASTPATH_H

#include "memory/bufstate.h"
#include "percpu/stack.h"

/*
 * There is a fast path in rseq mode, if no idle buffers are guarded and nothing is recorded. Written by
 * tp_pool_start.
 */
extern tp_hidden struct tp_fast tp_pool_fast;

#endif
