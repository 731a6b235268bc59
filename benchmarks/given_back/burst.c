/* SPDX-License-Identifier: MIT */
/*
 * Bursts and their pools: burst.h.
 */
#include "burst.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "process.h"

#define REHEARSED 64 /* buffers: more than a CPU keeps for itself at first */
#define REHEARSED_SIZE ((size_t)1024)

struct burst burst_make(size_t count)
{
	struct burst b = {.count = count};
	size_t bytes = count * sizeof(void *);

	b.buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b.buffer == MAP_FAILED)
		process_fail("room for a burst", errno);
	memset(b.buffer, 1, bytes);
	return b;
}

void burst_borrow(const struct burst *b, tierpool *pool, size_t size, bool touched)
{
	for (size_t i = 0; i < b->count; i++) {
		tierpool_buf *buffer = tierpool_get_sized(pool, size);

		if (!buffer)
			process_fail("a buffer", errno);
		if (touched)
			memset(buffer->data, 1, buffer->cap);
		b->buffer[i] = buffer;
	}
}

void burst_put(const struct burst *b)
{
	for (size_t i = 0; i < b->count; i++)
		tierpool_put(b->buffer[i]);
}

tierpool *burst_pool(const struct tierpool_options *options)
{
	tierpool *pool;
	int error = tierpool_create(&pool, options);

	if (error)
		process_fail("tierpool_create", -error);
	return pool;
}

void burst_rehearse(void)
{
	tierpool *pool = burst_pool(NULL);
	struct burst b = burst_make(REHEARSED);

	burst_borrow(&b, pool, REHEARSED_SIZE, true);
	burst_put(&b);
	process_stats(pool);
	process_resident();
	tierpool_trim(pool, 0);
	tierpool_destroy(pool);
}
