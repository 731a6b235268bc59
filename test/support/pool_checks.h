/* SPDX-License-Identifier: MIT */
/*
 * For tests of pools through the public interface: a pool on a counting backing, and what must be
 * true of every pool in which no call is running.
 */
#ifndef POOL_CHECKS_H
#define POOL_CHECKS_H

#include <criterion/criterion.h>
#include <stdint.h>

#include <tierpool/stats.h>

#include "counting_backing.h"
#include "cpus.h"
#include "random.h"

#define HEADER sizeof(tierpool_buf)
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

#define pool_options(...) \
	((struct tierpool_options){.size = sizeof(struct tierpool_options), __VA_ARGS__})

/* A pool, with these options. */
#define pool_new(...) pool_create(&pool_options(__VA_ARGS__))

/* The same, on a counting backing. */
#define pool_on(counting, ...)                                                             \
	pool_new(.backing = (struct tierpool_backing[]){counting_backing_calls(counting)}, \
		__VA_ARGS__)

tierpool *pool_create(const struct tierpool_options *options);

struct tierpool_stats stats_of(tierpool *pool);

/* What is wrong with the statistics of a pool at rest, or NULL. */
const char *stats_fault(const struct tierpool_stats *s);

/* The statistics of a pool at rest, with no fault in them. */
struct tierpool_stats at_rest(tierpool *pool);

/*
 * At rest, and the backing has counted the same bytes, but those of headers and slabs, whose pages
 * come from the system. out: the sum of the capacities of all borrowed buffers.
 */
struct tierpool_stats accounted(
	tierpool *pool, const struct counting_backing *counting, size_t out);

/* Destroys a pool of which nothing is borrowed, and finds every block given back. */
void pool_end(tierpool *pool, const struct counting_backing *counting);

/* Borrows n buffers of a size, all at once, and puts them. */
void cycle(tierpool *pool, size_t size, unsigned n);

/* Leaves idle buffers of several tiers in stacks and depots. Returns how many. */
unsigned fill(tierpool *pool);

#endif
