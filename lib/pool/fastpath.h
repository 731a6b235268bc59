/* SPDX-License-Identifier: MIT */
/*
 * What the fast paths of get and put share: whether there is one, and the state of a buffer that is
 * lent.
 */
#ifndef TP_FASTPATH_H
#define TP_FASTPATH_H

#include "memory/bufstate.h"
#include "memory/poison.h"
#include "percpu/stack.h"

/* There is a fast path in rseq mode, where nobody watches idle blocks. Settled by tp_pool_start. */
extern tp_hidden struct tp_fast tp_pool_fast;

#endif
