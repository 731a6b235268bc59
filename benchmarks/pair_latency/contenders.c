/* SPDX-License-Identifier: MIT */
/*
 * The measured loops, and the contenders: contenders.h.
 *
 * A loop does a get, one store to the first bytes, and the put. The loops are alike but for the
 * calls, and do not ask whether a get succeeded. The store is volatile and the callees are in other
 * libraries, so the compiler can leave nothing out.
 */
#include "contenders.h"

#include "support/allocators.h"
#include "support/floor.h"
#include "support/measure.h"

MEASURED pairs_floor(const struct contender *c, size_t n, uint64_t count)
{
	(void)c;
	for (uint64_t i = 0; i < count; i++) {
		struct floor_buf *b = floor_get(n);

		touch(b->data, i);
		floor_put(b);
	}
}

MEASURED pairs_tierpool(const struct contender *c, size_t n, uint64_t count)
{
	tierpool *pool = c->pool;

	for (uint64_t i = 0; i < count; i++) {
		tierpool_buf *b = tierpool_get_sized(pool, n);

		touch(b->data, i);
		tierpool_put(b);
	}
}

MEASURED pairs_allocator(const struct contender *c, size_t n, uint64_t count)
{
	void *(*block_alloc)(size_t) = c->alloc;
	void (*block_free)(void *) = c->free;

	for (uint64_t i = 0; i < count; i++) {
		void *block = block_alloc(n);

		touch(block, i);
		block_free(block);
	}
}

struct contender contenders[CONTENDERS] = {
	[FLOOR] = {.name = "floor", .absent = "", .pairs = pairs_floor},
	[TIERPOOL] = {.name = "tierpool", .absent = "", .pairs = pairs_tierpool},
};

void contenders_load(char **argv)
{
	allocators_load(argv);
	for (int i = 0; i < ALLOCATORS; i++)
		contenders[GLIBC + i] = (struct contender){.name = allocators[i].name,
			.absent = allocators[i].absent,
			.pairs = pairs_allocator,
			.alloc = allocators[i].alloc,
			.free = allocators[i].free};
}
