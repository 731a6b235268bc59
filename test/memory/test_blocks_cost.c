/* SPDX-License-Identifier: MIT */
/*
 * What a block costs: never less than the process really spends on it, or the bound on idle bytes
 * would not be one; and not much more, which would waste the bound.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/compiler.h"
#include "cpus.h"
#include "memory/blocks.h"
#include "resident.h"

/* Bytes that are spent for each size, at least. */
#define SPENT ((size_t)12 << 20)

static struct tp_backing backing;

static void use(const char *name)
{
	setenv("TIERPOOL_BACKING", name, 1);
	cr_assert_eq(tp_backing_init(&backing, NULL), 0);
	cr_assert_str_eq(backing.name, name);
	if (!backing.runs)
		skip("a sanitizer or Valgrind watches each block, so there are no runs");
	if (!resident_is_useful())
		skip("resident bytes say nothing here");
	/* A huge page would also be spent where nothing was touched. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

/* Fills whole runs with touched blocks, each of which begins with a link to the one before. */
static void check_cost(size_t n)
{
	uint64_t memory[(2 * sizeof(struct tp_blocks_class)) / 8 + 1] = {0};
	struct tp_run_shape shape;
	struct tp_blocks blocks;
	size_t cost, count, before, spent, in_run;
	char *last = NULL;

	tp_blocks_init(&blocks, memory, &backing, &n, 1, TP_LINE);
	cost = tp_blocks_cost(&blocks, 0);
	cr_assert(tp_run_shape_make(&shape, n, TP_LINE));
	in_run = shape.count;
	count = (SPENT / cost / in_run + 1) * in_run;
	before = resident();
	for (size_t i = 0; i < count; i++) {
		char *block = tp_block_alloc(&blocks, 0, n);

		memset(block, 1, n);
		memcpy(block, &last, sizeof last);
		last = block;
	}
	spent = resident() - before;
	cr_expect_leq(spent, count * cost / 100 * 102, "%zu bytes: %zu each, cost says %zu", n,
		spent / count, cost);
	cr_expect_geq(spent + count * (cost / 4), count * cost,
		"%zu bytes: only %zu each, cost says %zu", n, spent / count, cost);
	while (last) {
		char *block = last;

		memcpy(&last, block, sizeof last);
		tp_block_free(&blocks, 0, block, n);
	}
	tp_blocks_fini(&blocks);
	cr_expect_leq(above(resident(), before), SPENT / 16, "%zu bytes were not given back", n);
}

static void check_costs(void)
{
	/* About where runs change, and lines between blocks begin. */
	static const size_t edges[] = {64, 65, 1024, 2047, 2048, 2049, 4095, 4096, 4097, 8192,
		12288, 16384, 32768, 65536, 65537, 131072, (256 << 10) - 1, 256 << 10,
		(256 << 10) + 1, 1 << 20, (1 << 20) + 1, 4 << 20};

	/* The map of addresses, and whatever is made once. */
	check_cost(1000);
	for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
		check_cost(edges[i]);
	for (size_t n = 8; n < 2 << 20; n = n + 1 + n / 4)
		check_cost(n);
}

Test(blocks_cost, libc_runs_spend_what_their_blocks_cost)
{
	use("libc");
	check_costs();
}

Test(blocks_cost, jemalloc_runs_spend_what_their_blocks_cost)
{
	if (!mallctl)
		skip("this program is not linked with jemalloc");
	use("jemalloc");
	check_costs();
}
