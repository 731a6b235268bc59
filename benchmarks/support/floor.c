/* SPDX-License-Identifier: MIT */
/*
 * libfloor.so: the floor, with which everything else is compared; floor.h.
 *
 * Compile with -ftls-model=initial-exec: then the stack of a size is found without a call.
 */
#include "support/floor.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define TIERS 21

/* One cache line, so the depth and the slot in use are together. */
struct floor_stack {
	size_t depth;
	struct floor_buf *slot[7];
} __attribute__((aligned(64)));

_Static_assert(FLOOR_MOST == (size_t)1 << (TIERS - 1), "a stack for each size");

static __thread struct floor_stack stacks[TIERS];

static unsigned floor_tier(size_t n)
{
	return (unsigned)sizeof(unsigned long) * CHAR_BIT - (unsigned)__builtin_clzl(n - 1);
}

struct floor_buf *floor_get(size_t n)
{
	struct floor_stack *s = &stacks[floor_tier(n)];

	return s->slot[--s->depth];
}

void floor_put(struct floor_buf *b)
{
	struct floor_stack *s = &stacks[b->tier];

	s->slot[s->depth++] = b;
}

void floor_release(void)
{
	for (unsigned tier = 0; tier < TIERS; tier++) {
		while (stacks[tier].depth) {
			struct floor_buf *b = stacks[tier].slot[--stacks[tier].depth];

			free(b->data);
			free(b);
		}
	}
}

int floor_prepare(void)
{
	for (size_t n = FLOOR_LEAST; n <= FLOOR_MOST; n *= 2) {
		struct floor_buf *b = aligned_alloc(64, sizeof *b);
		void *data = aligned_alloc(64, n);

		if (!b || !data) {
			free(data);
			free(b);
			floor_release();
			return -ENOMEM;
		}
		*b = (struct floor_buf){.data = data, .tier = floor_tier(n)};
		floor_put(b);
	}
	return 0;
}
