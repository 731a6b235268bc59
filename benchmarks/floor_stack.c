/* SPDX-License-Identifier: MIT */
/*
 * libfloor.so: what pair_latency compares everything with. floor_stack.h says what it is.
 *
 * Compile with -ftls-model=initial-exec: the stack of a size is then found without a call.
 */
#include "floor_stack.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define TIERS 21

/* One cache line, with the slot that is used beside the depth. */
struct stack {
	size_t depth;
	struct floor_buf *slot[7];
} __attribute__((aligned(64)));

_Static_assert(FLOOR_MOST == (size_t)1 << (TIERS - 1), "a stack for each size");

static __thread struct stack stacks[TIERS];

static unsigned tier_of(size_t n)
{
	return (unsigned)sizeof(unsigned long) * CHAR_BIT - (unsigned)__builtin_clzl(n - 1);
}

struct floor_buf *floor_get(size_t n)
{
	struct stack *s = &stacks[tier_of(n)];

	return s->slot[--s->depth];
}

void floor_put(struct floor_buf *b)
{
	struct stack *s = &stacks[b->tier];

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
		*b = (struct floor_buf){.data = data, .tier = tier_of(n)};
		floor_put(b);
	}
	return 0;
}
