/* SPDX-License-Identifier: MIT */
/*
 * A backing for tests of one thread, which has no block above a limit and looks at what comes back.
 */
#ifndef LIMITED_BACKING_H
#define LIMITED_BACKING_H

#include <stddef.h>

#include <tierpool/pool.h>

struct limited_backing {
	size_t limit;     /* bytes; a larger block is out of memory */
	unsigned frees;   /* blocks that came back */
	unsigned unwiped; /* of them, those with an 's' in them */
};

/* Blocks come full of zeros; they are filled with '#' when they come back. */
struct tierpool_backing limited_backing_calls(struct limited_backing *limited);

#endif
