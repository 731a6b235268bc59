/* SPDX-License-Identifier: MIT */
/*
 * Backings: alignment, failure and choice of each. What a block costs there: test_backing_cost.c.
 */
#include "memory/backing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool/stats.h>

#include "base/compiler.h"
#include "cpus.h"

extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

static struct tp_backing backing;

static void use_libc(void)
{
	setenv("TIERPOOL_BACKING", "libc", 1);
	cr_assert_eq(tp_backing_init(&backing, NULL, 10000), 0);
	cr_assert_str_eq(backing.name, "libc");
}

static void use_jemalloc(unsigned decay_ms)
{
	if (!mallctl)
		skip("this program is not linked with jemalloc");
	setenv("TIERPOOL_BACKING", "jemalloc", 1);
	cr_assert_eq(tp_backing_init(&backing, NULL, decay_ms), 0);
	cr_assert_str_eq(backing.name, "jemalloc");
}

/* ---- a backing of the program's own ---- */

static struct {
	char context[1];
	size_t n, alignment, off, freed_n;
	void *given, *freed;
	unsigned allocs, frees;
} own;

static void *own_alloc(void *context, size_t n, size_t alignment)
{
	char *block;

	cr_assert_eq(context, own.context);
	own.n = n;
	own.alignment = alignment;
	own.allocs++;
	/* Like many, it adds something of its own; so the block may be off its alignment. */
	if (n > SIZE_MAX / 2)
		return NULL;
	block = aligned_alloc(64, tp_round_up(n, 64) + 64);
	return own.given = block ? block + own.off : NULL;
}

static void own_free(void *context, void *block, size_t n)
{
	cr_assert_eq(context, own.context);
	own.freed = block;
	own.freed_n = n;
	own.frees++;
	free((char *)block - own.off);
}

static const struct tierpool_backing own_backing = {
	sizeof own_backing, own_alloc, own_free, own.context};

static void use_own(void)
{
	cr_assert_eq(tp_backing_init(&backing, &own_backing, 10000), 0);
	cr_assert_str_eq(backing.name, "custom");
}

/* ---- what every backing does ---- */

/* Each size, several blocks at a time, every one writable from its first byte to its last. */
static void check_alignment(void)
{
	for (size_t n = 1; n <= (size_t)4 << 20; n = n < 64 ? n + 1 : n + n / 7) {
		char *block[5];

		for (int i = 0; i < 5; i++) {
			block[i] = tp_backing_alloc(&backing, n);
			cr_assert_not_null(block[i], "%zu bytes", n);
			cr_assert_eq((uintptr_t)block[i] % 64, 0, "%zu bytes at %p", n,
				(void *)block[i]);
			block[i][0] = 'a';
			block[i][n - 1] = 'z';
		}
		for (int i = 0; i < 5; i++)
			tp_backing_free(&backing, block[i], n);
	}
}

static void check_huge(void)
{
	static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 64, SIZE_MAX - 4095, SIZE_MAX - 4096,
		SIZE_MAX - 8191, SIZE_MAX - 8192, SIZE_MAX - 8193, SIZE_MAX - 12288,
		(size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, PTRDIFF_MAX - 1, PTRDIFF_MAX - 4096};

	for (size_t i = 0; i < sizeof huge / sizeof *huge; i++)
		cr_assert_null(tp_backing_alloc(&backing, huge[i]), "%zu bytes", huge[i]);
}

Test(backing, libc_aligns_blocks_of_all_sizes_and_has_none_that_cannot_be)
{
	use_libc();
	check_alignment();
	check_huge();
}

Test(backing, jemalloc_aligns_blocks_of_all_sizes_and_has_none_that_cannot_be)
{
	use_jemalloc(10000);
	check_alignment();
	check_huge();
}

Test(backing, custom_blocks_are_asked_for_with_the_alignment_and_given_back_with_their_size)
{
	void *block;

	use_own();
	check_alignment();
	cr_assert_eq(own.allocs, own.frees);
	block = tp_backing_alloc(&backing, 100);
	cr_assert_eq(block, own.given);
	cr_assert_eq(own.n, 100);
	cr_assert_eq(own.alignment, 64);
	tp_backing_free(&backing, block, 100);
	cr_assert_eq(own.freed, block);
	cr_assert_eq(own.freed_n, 100);
	cr_assert_eq(backing.cost(100), 100);
}

Test(backing, mapped_blocks_take_every_colour_and_can_be_written_to_the_end)
{
	unsigned long long seen = 0;

	use_libc();
	for (size_t i = 0; i < 64; i++) {
		size_t n = ((size_t)64 << 10) + i * 67;
		char *block = tp_backing_alloc(&backing, n);

		seen |= 1ull << (uintptr_t)block % 4096 / 64;
		memset(block, 'x', n);
		tp_backing_free(&backing, block, n);
	}
	cr_assert_eq(seen, ~0ull, "colours %llx", seen);
}

Test(backing, jemalloc_blocks_do_not_all_begin_on_a_page)
{
	unsigned long long seen = 0;

	use_jemalloc(10000);
	for (int i = 0; i < 64; i++)
		seen |= 1ull << (uintptr_t)tp_backing_alloc(&backing, 64 << 10) % 4096 / 64;
	cr_assert_geq(__builtin_popcountll(seen), 16, "colours %llx", seen);
}

Test(backing, a_block_that_is_not_aligned_is_refused_and_returned)
{
	tierpool *pool = (tierpool *)&own;
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	use_own();
	for (own.off = 1; own.off < 64; own.off++) {
		cr_assert_null(tp_backing_alloc(&backing, 1000), "at an offset of %zu", own.off);
		cr_assert_eq(own.freed, own.given);
		cr_assert_eq(own.freed_n, 1000);
	}
	own.off = 8;
	options.backing = &own_backing;
	cr_assert_eq(tierpool_create(&pool, &options), -ENOMEM);
	cr_assert_null(pool);
	cr_assert_eq(own.allocs, own.frees);
}

Test(backing, custom_ones_are_copied)
{
	struct tierpool_backing mine = own_backing;

	cr_assert_eq(tp_backing_init(&backing, &mine, 0), 0);
	memset(&mine, 0xff, sizeof mine);
	tp_backing_free(&backing, tp_backing_alloc(&backing, 100), 100);
	cr_assert_eq(own.frees, 1);
}

/* ---- the choice ---- */

static const char *chosen(const char *wish)
{
	tierpool *pool;
	struct tierpool_stats stats = {.size = sizeof stats};

	if (wish)
		setenv("TIERPOOL_BACKING", wish, 1);
	else
		unsetenv("TIERPOOL_BACKING");
	cr_assert_eq(tierpool_create(&pool, NULL), 0);
	cr_assert_eq(tierpool_stats_read(pool, &stats), 0);
	tierpool_destroy(pool);
	return stats.backing;
}

Test(backing, jemalloc_is_chosen_where_the_process_has_it)
{
	cr_assert_str_eq(chosen(NULL), mallctl ? "jemalloc" : "libc");
}

Test(backing, the_environment_chooses_libc_and_is_read_once)
{
	cr_assert_str_eq(chosen("libc"), "libc");
	cr_assert_str_eq(chosen("jemalloc"), "libc");
}

Test(backing, the_environment_chooses_no_jemalloc_that_is_not_there)
{
	cr_assert_str_eq(chosen("jemalloc"), mallctl ? "jemalloc" : "libc");
}

Test(backing, the_environment_chooses_nothing_that_is_unknown)
{
	cr_assert_str_eq(chosen("mimalloc"), mallctl ? "jemalloc" : "libc");
}

/* ---- our arenas in jemalloc ---- */

static unsigned arena_of(void *block)
{
	unsigned arena = 0;
	size_t size = sizeof arena;

	cr_assert_eq(mallctl("arenas.lookup", &arena, &size, &block, sizeof block), 0);
	return arena;
}

static ssize_t arena_decay(void *block)
{
	char name[64];
	ssize_t milliseconds = 0;
	size_t size = sizeof milliseconds;

	snprintf(name, sizeof name, "arena.%u.dirty_decay_ms", arena_of(block));
	cr_assert_eq(mallctl(name, &milliseconds, &size, NULL, 0), 0);
	return milliseconds;
}

static size_t resident(void)
{
	uint64_t epoch = 1;
	size_t bytes = 0, size = sizeof bytes;

	mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
	cr_assert_eq(mallctl("stats.resident", &bytes, &size, NULL, 0), 0);
	return bytes;
}

Test(backing, jemalloc_blocks_of_16_kib_lie_in_arenas_of_ours_and_smaller_ones_do_not)
{
	void *block, *usual;

	use_jemalloc(10000);
	usual = malloc(16 << 10);
	block = tp_backing_alloc(&backing, 16 << 10);
	cr_assert_neq(arena_of(block), arena_of(usual));
	cr_assert_eq(arena_of(tp_backing_alloc(&backing, (16 << 10) - 1)), arena_of(usual));
	free(usual);
}

Test(backing, jemalloc_keeps_freed_pages_as_long_as_the_shortest_decay_of_a_pool)
{
	static const struct {
		unsigned decay_ms;
		ssize_t holds;
	} pools[] = {{UINT_MAX, -1}, {20000, 20000}, {30000, 20000}, {100, 100}, {10000, 100}};
	void *block;

	for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) {
		use_jemalloc(pools[i].decay_ms);
		block = tp_backing_alloc(&backing, 64 << 10);
		cr_assert_eq(
			arena_decay(block), pools[i].holds, "pool %zu: %zd", i, arena_decay(block));
	}
}

Test(backing, jemalloc_gives_all_freed_pages_back_when_asked)
{
	enum { BLOCKS = 64, BYTES = 1 << 20 };
	static char *block[BLOCKS];
	size_t before, full;

	use_jemalloc(UINT_MAX);
	before = resident();
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = tp_backing_alloc(&backing, BYTES);
		memset(block[i], 'x', BYTES);
	}
	for (int i = 0; i < BLOCKS; i++)
		tp_backing_free(&backing, block[i], BYTES);
	full = resident();
	cr_assert_gt(full, before + BLOCKS * BYTES / 2,
		"the pages were not kept, so there is nothing to show");
	tp_backing_give_back(&backing, true);
	cr_assert_lt(resident(), before + BLOCKS * BYTES / 8);
}
