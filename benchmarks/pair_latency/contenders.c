/* SPDX-License-Identifier: MIT */
/*
 * The measured loops, and the contenders: contenders.h.
 *
 * The loops are alike but for the calls, so they are one template, and do not ask whether a get
 * succeeded. What is written is volatile or hidden from the compiler, and the callees are in other
 * libraries, so the compiler can leave nothing out.
 */
#include "contenders.h"

#include "support/allocators.h"
#include "support/floor.h"
#include "support/measure.h"

/* Inlined into each measured loop, where its last arguments are constants. */
#define TEMPLATE static inline __attribute__((__always_inline__))

enum way { BY_FLOOR, BY_POOL, BY_ALLOCATOR, BY_NOBODY };

/* A buffer that is borrowed: what is put back, and where its bytes are. */
struct held {
	void *handle, *data;
};

TEMPLATE struct held held_get(const struct contender *c, size_t n, char *own, enum way way)
{
	struct held h = {own, own};

	if (way == BY_FLOOR) {
		struct floor_buf *b = floor_get(n);

		h = (struct held){b, b->data};
	} else if (way == BY_POOL) {
		tierpool_buf *b = tierpool_get_sized(c->pool, n);

		h = (struct held){b, b->data};
	} else if (way == BY_ALLOCATOR) {
		h.handle = h.data = c->alloc(n);
	}
	return h;
}

TEMPLATE void held_put(const struct contender *c, struct held h, enum way way)
{
	if (way == BY_FLOOR)
		floor_put(h.handle);
	else if (way == BY_POOL)
		tierpool_put(h.handle);
	else if (way == BY_ALLOCATOR)
		c->free(h.handle);
}

TEMPLATE void pairs(const struct contender *of, size_t n, uint64_t count, enum way way, int work)
{
	/* A copy, which no call can change. */
	const struct contender c = {.pool = of->pool, .alloc = of->alloc, .free = of->free};
	_Alignas(64) char own[NESTED * USED];

	for (uint64_t i = 0; i < count; i++) {
		struct held h = held_get(&c, n, own, way);

		if (work == STORE)
			touch(h.data, i);
		else
			use_write(h.data, n, i);
		held_put(&c, h, way);
	}
}

TEMPLATE void pairs_nested(const struct contender *of, size_t n, uint64_t count, enum way way)
{
	const struct contender c = {.pool = of->pool, .alloc = of->alloc, .free = of->free};
	_Alignas(64) char own[NESTED * USED];

	for (uint64_t i = 0; i < count; i += NESTED) {
		struct held held[NESTED];

		for (unsigned k = 0; k < NESTED; k++) {
			held[k] = held_get(&c, n, own + k * USED, way);
			use_write(held[k].data, n, i);
		}
		for (unsigned k = NESTED; k--;)
			held_put(&c, held[k], way);
	}
}

#define PAIRS(name, way)                                                                         \
	MEASURED name##_store(const struct contender *c, size_t n, uint64_t count)               \
	{                                                                                        \
		pairs(c, n, count, way, STORE);                                                  \
	}                                                                                        \
	MEASURED name##_use(const struct contender *c, size_t n, uint64_t count)                 \
	{                                                                                        \
		pairs(c, n, count, way, USE);                                                    \
	}                                                                                        \
	MEASURED name##_nest(const struct contender *c, size_t n, uint64_t count)                \
	{                                                                                        \
		/* The floor has one buffer of a size: one pair after the other. */              \
		way == BY_FLOOR ? pairs(c, n, count, way, USE) : pairs_nested(c, n, count, way); \
	}                                                                                        \
	static void (*const name[WORKS])(const struct contender *, size_t, uint64_t) = {         \
		name##_store, name##_use, name##_nest}

PAIRS(pairs_floor, BY_FLOOR);
PAIRS(pairs_tierpool, BY_POOL);
PAIRS(pairs_allocator, BY_ALLOCATOR);
PAIRS(pairs_work, BY_NOBODY);

struct contender contenders[CONTENDERS];

void contenders_load(char **argv, unsigned work)
{
	allocators_load(argv);
	contenders[FLOOR] =
		(struct contender){.name = "floor", .absent = "", .pairs = pairs_floor[work]};
	contenders[TIERPOOL] =
		(struct contender){.name = "tierpool", .absent = "", .pairs = pairs_tierpool[work]};
	for (int i = 0; i < ALLOCATORS; i++) {
		struct contender *c = &contenders[GLIBC + i];

		c->name = allocators[i].name;
		c->absent = allocators[i].absent;
		c->pairs = pairs_allocator[work];
		c->alloc = allocators[i].alloc;
		c->free = allocators[i].free;
	}
	contenders[WORK] = (struct contender){.name = "work",
		.absent = work == STORE ? "the store is part of a pair" : "",
		.pairs = pairs_work[work]};
}
