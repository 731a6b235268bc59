/* SPDX-License-Identifier: MIT */
/*
 * A backing for tests, which counts by itself what is allocated from it: a test that asked the
 * statistics whether the statistics are right would prove nothing. Each block has 64 bytes of its
 * own before it, outside of the n bytes asked for. They hold its size; so a free with another size,
 * a second free, or a free of a block that never came from here ends the process.
 *
 * Any thread may call everything here, but counting_backing_init and _calls come first.
 */
#ifndef COUNTING_BACKING_H
#define COUNTING_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tierpool/pool.h>

#include "base/atomic.h"

/* Relaxed throughout: counts guard nothing; a test that needs one exact has joined its threads. */
struct counting_backing {
	size_t live, blocks;   /* out now: bytes as asked for, and how many blocks these are */
	uint64_t peak;         /* the most that live has been */
	size_t allocs;         /* that succeeded, ever */
	size_t failed;         /* that were made to fail, or for which libc had no memory */
	int64_t until_failure; /* allocations up to and with the one that fails */
	bool fails_for_ever;   /* and every later one too */
	bool yields;           /* before each call, so that another thread comes in between */
	unsigned sleep_us;     /* before each call; microseconds */
};

void counting_backing_init(struct counting_backing *counting);

/*
 * From here on the nth allocation fails, 1 being the next one; for_ever: and every later one too.
 * nth 0: no allocation fails any more.
 */
void counting_backing_fail(struct counting_backing *counting, size_t nth, bool for_ever);

/* The two calls of the backing; context is a struct counting_backing. */
void *counting_backing_alloc(void *context, size_t n, size_t alignment);
void counting_backing_free(void *context, void *memory, size_t n);

/* For tierpool_options.backing. counting must outlive every buffer that comes from it. */
struct tierpool_backing counting_backing_calls(struct counting_backing *counting);

/*
 * Of live, the bytes of a pool's own tables; headers and slabs are not from its backing. Depots'
 * arrays shrink now and then: a sum of bytes is compared with the larger of two readings around it.
 */
size_t counting_backing_tables(const tierpool *pool);

/* Bytes out now, as asked for. */
size_t counting_backing_live(const struct counting_backing *counting);

/* Blocks out now. */
size_t counting_backing_blocks(const struct counting_backing *counting);

/* Allocations that succeeded, ever. */
size_t counting_backing_allocs(const struct counting_backing *counting);

#endif
