/* SPDX-License-Identifier: MIT */
/*
 * The measured loops of hand_over: sides.h.
 */
#include "sides.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/measure.h"
#include "support/program.h"

static _Noreturn void side_fail(void)
{
	fputs("hand_over: out of memory\n", stderr);
	_Exit(FAILED);
}

MEASURED floor_produce(const struct job *job)
{
	for (size_t i = 0; i < job->items; i++) {
		char *block = job->floor + i % FLOOR_BUFFERS * FLOOR_BYTES;

		use_write(block, job->size, i);
		ring_push(job->ring, block);
	}
}

MEASURED floor_consume(const struct job *job)
{
	for (size_t i = 0; i < job->items; i++)
		use_read(ring_pop(job->ring), job->size);
}

MEASURED tierpool_produce(const struct job *job)
{
	for (size_t i = 0; i < job->items; i++) {
		tierpool_buf *b = tierpool_get_sized(job->pool, job->size);

		if (!b)
			side_fail();
		use_write(b->data, job->size, i);
		ring_push(job->ring, b);
	}
}

MEASURED tierpool_consume(const struct job *job)
{
	for (size_t i = 0; i < job->items; i++) {
		tierpool_buf *b = ring_pop(job->ring);

		use_read(b->data, job->size);
		tierpool_put(b);
	}
}

MEASURED allocator_produce(const struct job *job)
{
	void *(*block_alloc)(size_t) = job->allocator->alloc;

	for (size_t i = 0; i < job->items; i++) {
		void *block = block_alloc(job->size);

		if (!block)
			side_fail();
		use_write(block, job->size, i);
		ring_push(job->ring, block);
	}
}

MEASURED allocator_consume(const struct job *job)
{
	void (*block_free)(void *) = job->allocator->free;

	for (size_t i = 0; i < job->items; i++) {
		void *block = ring_pop(job->ring);

		use_read(block, job->size);
		block_free(block);
	}
}

void side_run(const struct job *job, unsigned side, unsigned who)
{
	static void (*const loops[][2])(const struct job *) = {
		[FLOOR] = {floor_produce, floor_consume},
		[TIERPOOL] = {tierpool_produce, tierpool_consume},
		[ALLOCATOR] = {allocator_produce, allocator_consume},
	};

	loops[side < ALLOCATOR ? side : ALLOCATOR][who](job);
}
