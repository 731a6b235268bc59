/* SPDX-License-Identifier: MIT */
/*
 * The blocks of a pool: which runs they come from, when pages and runs go back, and that nothing is
 * lost if the system refuses a mapping. What a block costs: test_blocks_cost.c.
 */
#include "memory/blocks.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"
#include "cpus.h"
#include "mappings.h"
#include "memory/bufstate.h"
#include "memory/pagemap.h"
#include "memory/pages.h"
#include "memory/sizeclass.h"

#define TIERS 6
#define LARGE (TIERS - 1)
#define LEAF_BYTES ((size_t)8 << 16) /* of the map of addresses (pagemap.c) */
#define LEAF_SPAN ((size_t)4 << 30)  /* that they are for */
#define OVERSIZE ((size_t)3 << 20)

static const size_t sizes[TIERS] = {64, 1000, 4096, 40000, 256 << 10, (1 << 20) + 64};
static struct tp_backing backing;
static struct tp_blocks blocks;
static uint64_t memory[(TIERS + 1) * sizeof(struct tp_blocks_class) / 8];
static tierpool_buf owner[2];

static void begin(void)
{
	memset(memory, 0, sizeof memory);
	tp_blocks_init(&blocks, memory, &backing, sizes, TIERS, TP_LINE);
}

static void start(void)
{
	setenv("TIERPOOL_BACKING", "libc", 1);
	cr_assert_eq(tp_backing_init(&backing, NULL), 0);
	begin();
}

TestSuite(blocks, .init = start);

static void need_runs(void)
{
	if (!backing.runs)
		skip("ASan or Valgrind watches each block, so there are no runs");
}

/* Which owner has the block that an address lies in: any one may have its data there. */
static tierpool_buf *owner_of(const void *address)
{
	for (unsigned i = 0; i < 2; i++) {
		owner[i].data = (char *)address;
		owner[i].tp_state = tp_bufstate(TP_STATE_BORROWED);
	}
	return tp_block_owner(address);
}

static char *block_alloc(unsigned tier)
{
	char *block = tp_block_alloc(&blocks, tier, sizes[tier]);

	cr_assert_not_null(block);
	tp_block_owner_set(&blocks, block, &owner[0]);
	return block;
}

static void block_free(unsigned tier, char *block)
{
	tp_block_free(&blocks, tier, block, sizes[tier]);
}

static void pass_whole(void)
{
	tp_blocks_pass_begin(&blocks);
	while (blocks.passing)
		tp_blocks_pass(&blocks, 3);
}

static bool is_mapped(const void *address)
{
	unsigned char resident;

	return !mincore((void *)((uintptr_t)address / tp_pages_size * tp_pages_size), 1, &resident);
}

/* Bytes of whole pages inside a range that are resident. */
static size_t resident_in(const char *from, size_t bytes)
{
	size_t first = tp_round_up((uintptr_t)from, tp_pages_size), pages = 0;

	for (; first + tp_pages_size <= (uintptr_t)from + bytes; first += tp_pages_size) {
		unsigned char resident = 0;

		mincore((void *)first, tp_pages_size, &resident);
		pages += resident & 1;
	}
	return pages * tp_pages_size;
}

/* ---- alloc and free ---- */

static void check_tier(unsigned tier)
{
	enum { COUNT = 300 };
	static char *block[COUNT];
	size_t n = sizes[tier], count = tp_min((size_t)COUNT, (8 << 20) / n);

	for (size_t i = 0; i < count; i++) {
		block[i] = tp_block_alloc(&blocks, tier, n);
		cr_assert_not_null(block[i]);
		cr_assert_eq((uintptr_t)block[i] % TP_LINE, 0);
		memset(block[i], (int)i % 251, n);
	}
	for (size_t i = 0; i < count; i++)
		for (size_t at = 0; at < n; at += 63)
			cr_assert_eq((unsigned char)block[i][at], i % 251, "%zu bytes", n);
	for (size_t i = 0; i < count; i++)
		block_free(tier, block[i]);
}

Test(blocks, each_tier_gives_blocks_of_its_size_which_nobody_else_has)
{
	for (unsigned tier = 0; tier < TIERS; tier++)
		check_tier(tier);
	tp_blocks_fini(&blocks);
}

Test(blocks, larger_ones_than_all_tiers_come_and_go)
{
	for (size_t n = (1 << 20) + 1; n < (size_t)40 << 20; n += n / 3) {
		char *block = tp_block_alloc(&blocks, TP_TIER_NONE, n);

		cr_assert_not_null(block);
		cr_assert_eq((uintptr_t)block % TP_LINE, 0);
		memset(block, 'x', n);
		tp_block_free(&blocks, TP_TIER_NONE, block, n);
	}
	cr_assert_null(tp_block_alloc(&blocks, TP_TIER_NONE, PTRDIFF_MAX / 2));
	tp_blocks_fini(&blocks);
}

Test(blocks, a_block_costs_its_size_or_more)
{
	for (unsigned tier = 0; tier < TIERS; tier++) {
		cr_assert_geq(tp_blocks_cost(&blocks, tier), sizes[tier]);
		cr_assert_leq(tp_blocks_cost(&blocks, tier), sizes[tier] + sizes[tier] / 4);
	}
}

/* ---- owners ---- */

Test(blocks, an_owner_is_found_from_each_address_of_a_block)
{
	need_runs();
	for (unsigned tier = 0; tier < TIERS; tier++) {
		char *one = block_alloc(tier), *other = block_alloc(tier);

		tp_block_owner_set(&blocks, other, &owner[1]);
		for (size_t at = 0; at < sizes[tier]; at += 1 + sizes[tier] / 1000) {
			cr_assert_eq(owner_of(one + at), &owner[0]);
			cr_assert_eq(owner_of(other + at), &owner[1]);
		}
		cr_assert_eq(owner_of(one + sizes[tier] - 1), &owner[0]);
		block_free(tier, one);
		cr_assert_null(owner_of(one));
		cr_assert_eq(owner_of(other), &owner[1]);
		block_free(tier, other);
		cr_assert_null(owner_of(other));
	}
}

Test(blocks, an_owner_is_found_by_its_data_while_it_is_borrowed)
{
	char *block = block_alloc(1);

	need_runs();
	cr_assert_eq(owner_of(block + 7), &owner[0]);
	cr_assert_null(tp_block_owner(block));
	owner[0].tp_state = tp_bufstate(TP_STATE_IDLE);
	cr_assert_null(tp_block_owner(block + 7));
	block_free(1, block);
}

Test(blocks, addresses_that_are_no_blocks_have_no_owner)
{
	void *heap = malloc(100), *large = malloc(4 << 20);
	char *block = block_alloc(1);
	int local = 0;

	cr_assert_null(owner_of(NULL));
	cr_assert_null(owner_of(&local));
	cr_assert_null(owner_of(heap));
	cr_assert_null(owner_of(large));
	cr_assert_null(owner_of(sizes));
	cr_assert_null(owner_of((void *)UINTPTR_MAX));
	cr_assert_null(owner_of((void *)((uintptr_t)1 << 60)));
	free(heap);
	free(large);
	block_free(1, block);
	tp_blocks_fini(&blocks);
	cr_assert_null(owner_of(block));
}

/* ---- giving back ---- */

Test(blocks, a_run_is_kept_while_little_is_spare_and_ended_when_more_is)
{
	char *block, *again;

	need_runs();
	block = block_alloc(1);
	block_free(1, block);
	cr_assert(is_mapped(block));
	again = block_alloc(1);
	cr_assert_eq(again, block, "it was warm");
	block = block_alloc(LARGE);
	block_free(LARGE, block);
	cr_assert_not(is_mapped(block));
	block_free(1, again);
	cr_assert_leq(blocks.spare, (size_t)1 << 20);
	tp_blocks_fini(&blocks);
	cr_assert_not(is_mapped(again));
}

Test(blocks, frees_keep_no_more_than_1_MiB_of_empty_runs)
{
	enum { COUNT = 4000 };
	static char *block[COUNT];

	need_runs();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			block[i] = block_alloc(2);
			memset(block[i], 1, sizes[2]);
		}
		for (unsigned i = 0; i < COUNT; i++)
			block_free(2, block[i]);
		cr_assert_leq(blocks.spare, (size_t)(1024 + 64) << 10);
	}
	tp_blocks_fini(&blocks);
}

static void fill_and_pass(void)
{
	enum { COUNT = 64 };
	static char *block[TIERS][COUNT];
	size_t spent = 0;

	for (unsigned tier = 0; tier < TIERS; tier++)
		for (unsigned i = 0; i < COUNT / (1 + tier); i++) {
			block[tier][i] = block_alloc(tier);
			memset(block[tier][i], (int)i, sizes[tier]);
		}
	for (unsigned tier = 0; tier < TIERS; tier++)
		for (unsigned i = 0; i < COUNT / (1 + tier); i++)
			if (i % 8)
				block_free(tier, block[tier][i]);
	pass_whole();
	for (unsigned i = 1; i < 8; i++)
		spent += resident_in(block[TIERS - 2][i], sizes[TIERS - 2]);
	cr_assert_eq(spent, 0, "%zu bytes of free blocks", spent);
	for (unsigned tier = 0; tier < TIERS; tier++)
		for (unsigned i = 0; i < COUNT / (1 + tier); i += 8) {
			for (size_t at = 0; at < sizes[tier]; at += 64)
				cr_assert_eq(block[tier][i][at], (char)i);
			block_free(tier, block[tier][i]);
		}
	pass_whole();
	cr_assert_eq(blocks.spare, 0);
}

Test(blocks, a_pass_gives_back_all_that_is_free)
{
	size_t before;

	need_runs();
	fill_and_pass(); /* the map's own memory stays */
	before = mapped;
	fill_and_pass();
	cr_assert_eq(mapped, before);
	tp_blocks_fini(&blocks);
	cr_assert_eq(mapped, before, "something was left for the end");
}

Test(blocks, a_pass_does_so_many_runs_at_a_time)
{
	enum { COUNT = 20 };
	char *block[COUNT];
	size_t before;

	need_runs();
	block_free(LARGE, block_alloc(LARGE));
	for (unsigned i = 0; i < COUNT; i++)
		block[i] = block_alloc(3); /* 14 in a run */
	for (unsigned i = 0; i < COUNT; i++)
		block_free(3, block[i]);
	before = mapped;
	tp_blocks_pass(&blocks, 1);
	cr_assert_eq(mapped, before, "none has begun");
	tp_blocks_pass_begin(&blocks);
	tp_blocks_pass(&blocks, 1);
	cr_assert(blocks.passing);
	cr_assert_lt(mapped, before);
	block[0] = block_alloc(3);
	block_free(3, block[0]);
	while (blocks.passing)
		tp_blocks_pass(&blocks, 1);
	tp_blocks_fini(&blocks);
}

/* ---- refused by the system ---- */

Test(blocks, a_run_that_cannot_be_ended_is_given_back_serves_again_and_ends_later)
{
	need_runs();
	for (unsigned tier = 0; tier < TIERS; tier++) {
		size_t before, n = sizes[tier];
		char *block, *again;

		block_free(tier, block_alloc(tier));
		pass_whole();
		before = mapped;
		block = block_alloc(tier);
		memset(block, 'x', n);
		unmap_fails = (struct failing){1, true};
		block_free(tier, block);
		pass_whole();
		unmap_fails = (struct failing){0};
		cr_assert(is_mapped(block), "%zu bytes", n);
		cr_assert_null(owner_of(block));
		cr_assert_eq(blocks.spare, 0);
		if (n >= 2 * TP_PAGES_UNIT)
			cr_assert_leq(resident_in(block, n), tp_pages_size);
		again = block_alloc(tier);
		cr_assert_lt((uintptr_t)again - (uintptr_t)block + n, 2 * n + TP_PAGES_UNIT,
			"another run");
		memset(again, 'y', n);
		cr_assert_eq(owner_of(again + n - 1), &owner[0]);
		unmap_fails = (struct failing){1, true};
		block_free(tier, again);
		pass_whole();
		unmap_fails = (struct failing){0};
		cr_assert_gt(mapped, before);
		pass_whole();
		cr_assert_eq(mapped, before, "%zu bytes were not ended", n);
		cr_assert_not(is_mapped(block));
	}
	tp_blocks_fini(&blocks);
}

static void check_map_failure(unsigned tier, unsigned nth, bool forever)
{
	size_t n = tier == TP_TIER_NONE ? OVERSIZE : sizes[tier], before = mapped;
	bool failed;
	char *block;

	map_fails = (struct failing){nth, forever};
	block = tp_block_alloc(&blocks, tier, n);
	failed = !map_fails.at || forever;
	map_fails = (struct failing){0};
	if (!block) {
		cr_assert(failed);
		cr_assert_eq(mapped, before, "call %u: a mapping was lost", nth);
		block = tp_block_alloc(&blocks, tier, n);
	}
	cr_assert_not_null(block);
	memset(block, 'x', n);
	tp_block_free(&blocks, tier, block, n);
	pass_whole();
}

Test(blocks, a_mapping_that_is_refused_is_told_and_nothing_is_lost)
{
	size_t before;

	need_runs();
	/* From the first call on, before the map of addresses has memory. */
	for (unsigned nth = 1; nth < 6; nth++)
		for (unsigned forever = 0; forever < 2; forever++)
			check_map_failure(0, nth, forever);
	before = mapped;
	for (unsigned nth = 1; nth < 6; nth++)
		for (unsigned tier = 0; tier <= TIERS; tier++)
			for (unsigned forever = 0; forever < 2; forever++)
				check_map_failure(tier < TIERS ? tier : TP_TIER_NONE, nth, forever);
	/* A run may be the first in its 4 GiB: the map of addresses keeps what it has for them. */
	cr_assert(mapped == before || mapped == before + LEAF_BYTES);
	tp_blocks_fini(&blocks);
}

Test(blocks, a_run_that_could_not_be_ended_has_its_block_where_it_was)
{
	char *first = NULL, *again;

	need_runs();
	for (unsigned round = 0; round < 100; round++) {
		again = block_alloc(LARGE);
		unmap_fails = (struct failing){1, true};
		memset(again, 'x', sizes[LARGE]);
		cr_assert(!first || again == first, "round %u", round);
		first = again;
		block_free(LARGE, again);
		pass_whole();
	}
	unmap_fails.at = 0;
	tp_blocks_fini(&blocks);
}

/* ---- grow ---- */

static bool is_filled(const char *block, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)block[i] != i % 253)
			return false;
	return true;
}

static char *filled(unsigned tier)
{
	char *block = block_alloc(tier);

	for (size_t i = 0; i < sizes[tier]; i++)
		block[i] = (char)(i % 253);
	return block;
}

/* The end of the run that a large block has alone. */
static char *end_of_run(const char *block)
{
	struct tp_run *run = tp_pagemap_get(block);

	return (char *)run + run->shape.bytes;
}

static void block_the_space_behind(const char *block)
{
	char *end = end_of_run(block);

	/* If something is there already, that is as good. */
	(void)mmap(end, tp_pages_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		-1, 0);
}

static char *filled_without_space_behind(void)
{
	char *block;

	block = filled(LARGE);
	block_the_space_behind(block);
	/* The map of addresses has its memory, also if what is mapped next lies in another 4 GiB. */
	cr_assert(tp_pagemap_reserve(block - LEAF_SPAN, LEAF_SPAN));
	/* On aarch64 the block lies in the last 4 GiB that there are. */
	(void)tp_pagemap_reserve(block, LEAF_SPAN);
	return block;
}

static void check_grown(char *block, size_t n)
{
	cr_assert_not_null(block);
	cr_assert(is_filled(block, sizes[LARGE]));
	memset(block + sizes[LARGE], 'x', n - sizes[LARGE]);
	cr_assert(is_filled(block, sizes[LARGE]));
	cr_assert_eq(owner_of(block), &owner[0]);
	cr_assert_eq(owner_of(block + n - 1), &owner[0]);
}

Test(blocks, one_grows_in_place_if_there_is_room_behind_it)
{
	enum { COUNT = 16 };
	size_t n = sizes[LARGE] * 3 / 2;
	char *block[COUNT], *grown;
	unsigned low = 0, high = 0;

	need_runs();
	for (unsigned i = 0; i < COUNT; i++)
		block[i] = filled(LARGE);
	/* Two side by side, of which the upper one ends. */
	for (unsigned i = 0; i < COUNT * COUNT; i++)
		if (end_of_run(block[i / COUNT]) == (char *)tp_pagemap_get(block[i % COUNT])) {
			low = i / COUNT;
			high = i % COUNT;
		}
	if (low == high)
		skip("the system maps none beside another");
	block_free(LARGE, block[high]);
	cr_assert_not(is_mapped(block[high]));
	grown = tp_block_grow(&blocks, block[low], n);
	cr_assert_eq(grown, block[low]);
	check_grown(grown, n);
	tp_block_free(&blocks, TP_TIER_NONE, grown, n);
	cr_assert_not(is_mapped(grown));
	cr_assert_not(is_mapped(grown + n - 1));
	cr_assert_null(owner_of(grown));
	cr_assert_null(owner_of(grown + n - 1));
}

Test(blocks, one_grows_by_a_move_if_there_is_none)
{
	char *block, *grown;
	size_t before;

	need_runs();
	block = filled_without_space_behind();
	before = mapped;
	grown = tp_block_grow(&blocks, block, OVERSIZE);
	cr_assert_neq(grown, block);
	check_grown(grown, OVERSIZE);
	cr_assert_not(is_mapped(block), "the old place is still there");
	cr_assert_null(owner_of(block));
	cr_assert_gt(mapped, before);
	tp_block_free(&blocks, TP_TIER_NONE, grown, OVERSIZE);
	pass_whole();
	cr_assert_lt(mapped, before);
	cr_assert_not(is_mapped(grown));
	cr_assert_eq(blocks.spare, 0);
}

static void check_refused(const char *block, size_t before, char *grown)
{
	map_fails = remap_fails = (struct failing){0};
	cr_assert_null(grown);
	cr_assert_eq(mapped, before);
	cr_assert(is_filled(block, sizes[LARGE]));
	cr_assert_eq(owner_of(block + sizes[LARGE] - 1), &owner[0]);
}

Test(blocks, a_growth_that_is_refused_leaves_all_as_it_was)
{
	struct tp_run_shape shape;
	char *block;
	size_t before;

	need_runs();
	block = filled_without_space_behind();
	before = mapped;
	remap_fails = (struct failing){1, true};
	/* Where it was to move to is left alone, as that may be another's now (pages.h). */
	cr_assert(tp_run_shape_make(&shape, OVERSIZE, TP_LINE));
	check_refused(block, before + shape.bytes, tp_block_grow(&blocks, block, OVERSIZE));
	before = mapped;
	map_fails = (struct failing){1, true};
	check_refused(block, before, tp_block_grow(&blocks, block, OVERSIZE));
	check_refused(block, before, tp_block_grow(&blocks, block, PTRDIFF_MAX / 2));
	check_grown(tp_block_grow(&blocks, block, OVERSIZE), OVERSIZE);
}

Test(blocks, one_that_shares_its_run_does_not_grow)
{
	need_runs();
	for (unsigned tier = 0; tier < LARGE; tier++) {
		char *block = filled(tier);

		cr_assert_null(tp_block_grow(&blocks, block, OVERSIZE));
		cr_assert(is_filled(block, sizes[tier]));
		block_free(tier, block);
	}
}

Test(blocks, one_that_has_grown_and_was_kept_serves_what_it_is_large_enough_for)
{
	char *block;

	need_runs();
	for (unsigned round = 0; round < 50; round++) {
		size_t n = OVERSIZE + round * 40000;

		block = tp_block_grow(&blocks, filled(LARGE), n);
		check_grown(block, n);
		unmap_fails = (struct failing){round % 2, true};
		tp_block_free(&blocks, TP_TIER_NONE, block, n);
		unmap_fails = (struct failing){0};
		block = tp_block_alloc(&blocks, TP_TIER_NONE, n);
		cr_assert_not_null(block);
		memset(block, 'x', n);
		tp_block_free(&blocks, TP_TIER_NONE, block, n);
	}
	tp_blocks_fini(&blocks);
}

/* ---- what spare says ---- */

/* Every other block is free and purged: what stays of them are pages at their edges. */
Test(blocks, spare_counts_the_pages_that_free_blocks_between_used_ones_still_spend)
{
	enum { COUNT = 400, TIER = 3 };
	static char *block[COUNT];
	size_t pages;

	need_runs();
	for (unsigned i = 0; i < COUNT; i++)
		block[i] = block_alloc(TIER);
	for (unsigned i = 0; i < COUNT; i += 2)
		block_free(TIER, block[i]);
	pass_whole();
	pages = COUNT / 2 * tp_pages_size;
	cr_assert(blocks.spare >= pages / 10 * 8 && blocks.spare <= pages, "%zu", blocks.spare);
	for (unsigned i = 0; i < COUNT; i += 2)
		block[i] = block_alloc(TIER);
	/* Some of these were never used before, in the run that was not full. */
	cr_assert_leq(blocks.spare, pages / 10);
	for (unsigned i = 0; i < COUNT; i++)
		block_free(TIER, block[i]);
	pass_whole();
	cr_assert_eq(blocks.spare, 0);
	tp_blocks_fini(&blocks);
}
