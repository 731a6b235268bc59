/* SPDX-License-Identifier: MIT */
/*
 * Backings: alignment, failure and choice of each, for tables and for the pages of runs.
 */
#include "memory/backing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <tierpool/stats.h>

#include "base/compiler.h"
#include "cpus.h"
#include "memory/pages.h"
#include "memory/poison.h"

extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

static struct tp_backing backing;

static void use_libc(void)
{
	setenv("TIERPOOL_BACKING", "libc", 1);
	cr_assert_eq(tp_backing_init(&backing, NULL), 0);
	cr_assert_str_eq(backing.name, "libc");
}

static void use_jemalloc(void)
{
	if (!mallctl)
		skip("this program is not linked with jemalloc");
	setenv("TIERPOOL_BACKING", "jemalloc", 1);
	cr_assert_eq(tp_backing_init(&backing, NULL), 0);
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
	cr_assert_eq(tp_backing_init(&backing, &own_backing), 0);
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
	use_jemalloc();
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
	cr_assert_null(backing.runs);
}

/* Whether the whole range is mapped. */
static bool is_mapped(void *pages, size_t bytes)
{
	return !madvise(pages, bytes, MADV_NORMAL);
}

Test(backing, libc_tables_of_64_kib_are_mappings_and_end_when_they_are_freed)
{
	use_libc();
	for (size_t n = 64 << 10; n < 4 << 20; n += n / 3 + 67) {
		char *table = tp_backing_alloc(&backing, n);

		cr_assert_eq((uintptr_t)table % TP_PAGES_UNIT, 0, "%zu bytes", n);
		memset(table, 'x', n);
		cr_assert(is_mapped(table, tp_round_up(n, TP_PAGES_UNIT)));
		tp_backing_free(&backing, table, n);
		cr_assert_not(is_mapped(table, TP_PAGES_UNIT), "%zu bytes", n);
	}
}

/* ---- runs ---- */

static void need_runs(void)
{
	if (!backing.runs)
		skip("a sanitizer or Valgrind watches each block, so there are no runs");
}

static void check_runs(void)
{
	need_runs();
	for (size_t bytes = TP_PAGES_UNIT; bytes <= 64 * TP_PAGES_UNIT; bytes += bytes) {
		char *run[5];

		for (int i = 0; i < 5; i++) {
			run[i] = backing.runs->alloc(bytes);
			cr_assert_not_null(run[i]);
			cr_assert_eq((uintptr_t)run[i] % TP_PAGES_UNIT, 0, "%zu bytes", bytes);
			memset(run[i], i, bytes);
		}
		for (int i = 0; i < 5; i++) {
			cr_assert_eq(run[i][0], i);
			cr_assert_eq(run[i][bytes - 1], i);
			cr_assert(backing.runs->free(run[i], bytes));
		}
	}
	cr_assert_null(backing.runs->alloc((size_t)1 << 62));
}

Test(backing, libc_runs_lie_at_multiples_of_64_kib)
{
	use_libc();
	check_runs();
}

Test(backing, jemalloc_runs_lie_at_multiples_of_64_kib)
{
	use_jemalloc();
	check_runs();
}

Test(backing, libc_runs_end_when_they_are_freed)
{
	char *run;

	use_libc();
	need_runs();
	run = backing.runs->alloc(TP_PAGES_UNIT);
	cr_assert(is_mapped(run, TP_PAGES_UNIT));
	cr_assert(backing.runs->free(run, TP_PAGES_UNIT));
	cr_assert_not(is_mapped(run, TP_PAGES_UNIT));
}

Test(backing, libc_runs_grow_to_a_target_with_their_content)
{
	char *run, *target;

	use_libc();
	need_runs();
	cr_assert_not_null(backing.runs->move);
	run = backing.runs->alloc(TP_PAGES_UNIT);
	memset(run, 'x', TP_PAGES_UNIT);
	target = backing.runs->alloc(2 * TP_PAGES_UNIT);
	cr_assert(backing.runs->move(run, TP_PAGES_UNIT, 2 * TP_PAGES_UNIT, target));
	for (size_t i = 0; i < TP_PAGES_UNIT; i++)
		cr_assert_eq(target[i], 'x');
	cr_assert_eq(target[TP_PAGES_UNIT], 0);
}

Test(backing, there_are_no_runs_where_each_block_is_watched)
{
	use_libc();
	cr_assert_eq(!backing.runs, tp_poison_watched);
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

	cr_assert_eq(tp_backing_init(&backing, &mine), 0);
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

Test(backing, jemalloc_tables_of_16_kib_lie_in_arenas_of_ours_and_smaller_ones_do_not)
{
	void *table, *usual;

	use_jemalloc();
	usual = malloc(16 << 10);
	table = tp_backing_alloc(&backing, 16 << 10);
	cr_assert_neq(arena_of(table), arena_of(usual));
	cr_assert_eq(arena_of(tp_backing_alloc(&backing, (16 << 10) - 1)), arena_of(usual));
	free(usual);
}

Test(backing, jemalloc_runs_lie_in_arenas_of_ours_that_keep_no_freed_pages)
{
	void *run, *usual;

	use_jemalloc();
	need_runs();
	usual = malloc(16 << 10);
	run = backing.runs->alloc(TP_PAGES_UNIT);
	cr_assert_neq(arena_of(run), arena_of(usual));
	cr_assert_eq(arena_decay(run), 0);
	cr_assert(backing.runs->free(run, TP_PAGES_UNIT));
	free(usual);
}

Test(backing, jemalloc_gives_the_pages_of_runs_back_as_soon_as_they_are_freed)
{
	enum { RUNS = 64, BYTES = 1 << 20 };
	static char *run[RUNS];
	size_t before, full;

	use_jemalloc();
	need_runs();
	before = resident();
	for (int i = 0; i < RUNS; i++) {
		run[i] = backing.runs->alloc(BYTES);
		memset(run[i], 'x', BYTES);
	}
	full = resident();
	cr_assert_gt(full, before + RUNS * BYTES / 2);
	for (int i = 0; i < RUNS; i++)
		backing.runs->free(run[i], BYTES);
	cr_assert_lt(resident(), before + RUNS * BYTES / 8);
}
