/* SPDX-License-Identifier: MIT */
/*
 * What TIERPOOL_DEBUG asks for. Reads the variable; what each word does is done elsewhere. While any of
 * them is set, no pool has a fast path.
 */
#ifndef TP_DEBUG_H
#define TP_DEBUG_H

#include <stdbool.h>

#include "base/compiler.h"

struct tp_debug {
	bool check;  /* headers are not lent again soon: memory/bufhead.h, pool/guard.h */
	bool poison; /* idle blocks are filled and verified: pool/guard.h */
	bool leaks;  /* what is out at the end is reported, each buffer */
	bool unpooled; /* each put frees: memory/bufhead.h, backing.h; pool/put.c. Not with the first two */
};

/* Written by tp_debug_init, read by anyone. */
extern tp_hidden struct tp_debug tp_debug;

/* Reads the variable, once. Called before the first pool or cache is made. */
void tp_debug_init(void);

static inline bool tp_debug_any(void)
{
	return tp_debug.check || tp_debug.poison || tp_debug.leaks || tp_debug.unpooled;
}

#endif
