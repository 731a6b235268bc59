/* SPDX-License-Identifier: MIT */
/*
 * New blocks and pages: blocks.h.
 */
#include "blocks.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tierpool.h>

#include "support/measure.h"
#include "support/program.h"
#include "support/turns.h"
#include "table.h"

/* A new block and its free: which of the two a side is. counted: by the simulation, for each. */
enum { GET, PUT, WAYS };

static const struct {
	size_t size;
	double counted;
} blocks_of[] = {
	{(size_t)1 << 10, 300},
	{(size_t)64 << 10, 5000},
	{(size_t)1 << 20, 5000},
	{(size_t)32 << 20, 5000},
};

#define BLOCKS (sizeof blocks_of / sizeof *blocks_of)
#define HELD 8 /* blocks at once; their pages are not touched */

/* The sides of a page. */
enum { FAULT, UNMAP, PAGE_SIDES };
#define PAGES 256 /* of a mapping */
#define FAULT_NS 250.0

static struct blocks {
	tierpool *pool;
	size_t page;
	int error;
	struct turns blocks, pages;
} blocks;

/* Times the gets or the puts. Returns: ns of one. */
static double blocks_time(size_t size, unsigned way)
{
	tierpool_buf *held[HELD];
	double start = now_ns(), got;

	for (unsigned i = 0; i < HELD; i++) {
		held[i] = tierpool_get_sized(blocks.pool, size);
		if (!held[i])
			blocks.error = -errno;
	}
	got = now_ns();
	for (unsigned i = 0; i < HELD; i++)
		tierpool_put(held[i]);
	return (way == GET ? got - start : now_ns() - got) / HELD;
}

static double blocks_turn(void *context, unsigned side)
{
	(void)context;
	blocks_time(blocks_of[side / WAYS].size, GET);
	return blocks_time(blocks_of[side / WAYS].size, side % WAYS);
}

/* Times the first store to each page, or that all of them go back. Returns: ns a page. */
static double blocks_page_turn(void *context, unsigned side)
{
	size_t bytes = PAGES * blocks.page;
	char *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start, touched;

	(void)context;
	if (pages == MAP_FAILED) {
		blocks.error = -errno;
		return 0;
	}
	/* Small pages, as most blocks have them. It fails where the system has no others. */
	madvise(pages, bytes, MADV_NOHUGEPAGE);
	start = now_ns();
	for (size_t at = 0; at < bytes; at += blocks.page)
		touch(pages + at, at);
	touched = now_ns();
	munmap(pages, bytes);
	return (side == FAULT ? touched - start : now_ns() - touched) / PAGES;
}

int blocks_round(void)
{
	turns_run(&blocks.blocks, blocks_turn, NULL);
	turns_run(&blocks.pages, blocks_page_turn, NULL);
	return blocks.error;
}

void blocks_print(void)
{
	for (unsigned side = 0; side < BLOCKS * WAYS; side++) {
		char text[32];

		snprintf(text, sizeof text, side % WAYS == GET ? "a new block, %s" : "    its free",
			size_text(blocks_of[side / WAYS].size));
		table_side_print(text, &blocks.blocks, side, -1, blocks_of[side / WAYS].counted);
	}
	table_side_print("a page fault", &blocks.pages, FAULT, -1, FAULT_NS);
	table_side_print("    the page given back", &blocks.pages, UNMAP, -1, 0);
}

int blocks_begin(void)
{
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	options.retain = TIERPOOL_RETAIN_NONE;
	blocks.blocks.sides = BLOCKS * WAYS;
	blocks.pages.sides = PAGE_SIDES;
	blocks.page = (size_t)sysconf(_SC_PAGESIZE);
	return tierpool_create(&blocks.pool, &options);
}

void blocks_end(void)
{
	tierpool_destroy(blocks.pool);
}
