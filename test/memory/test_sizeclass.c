/* SPDX-License-Identifier: MIT */
/*
 * Sizes and tiers: which tables the options make, and that every size finds the smallest tier that
 * holds it, as a linear search does.
 */
#include "memory/sizeclass.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>

static size_t made[TP_TIERS_MAX];

static unsigned linear_of(const struct tp_sizeclass *table, size_t n)
{
	for (unsigned tier = 0; tier < table->count; tier++)
		if (table->size[tier] >= n)
			return tier;
	return TP_TIER_NONE;
}

static void check_size(const struct tp_sizeclass *table, size_t n)
{
	unsigned tier = tp_sizeclass_of(table, n), wanted = linear_of(table, n);

	cr_assert_eq(tier, wanted, "size %zu: tier %u, not %u, of %u tiers from %zu to %zu", n,
		tier, wanted, table->count, table->size[0], table->size[table->count - 1]);
}

/* At each tier, and at each power of two, where the index by width changes: -1, 0 and +1. */
static void check_boundaries(const struct tp_sizeclass *table)
{
	cr_assert(table->count >= 1 && table->count <= TP_TIERS_MAX);
	for (unsigned tier = 0; tier < table->count; tier++) {
		size_t size = table->size[tier];

		cr_assert_gt(size, tier ? table->size[tier - 1] : 0, "tiers do not ascend");
		cr_assert_eq(tp_sizeclass_of(table, size), tier);
		check_size(table, size - 1);
		if (size < SIZE_MAX)
			check_size(table, size + 1);
	}
	for (unsigned bit = 0; bit < 8 * sizeof(size_t); bit++)
		for (size_t n = ((size_t)1 << bit) - 1, i = 0; i < 3; i++)
			check_size(table, n + i);
	check_size(table, SIZE_MAX);
	cr_assert_eq(tp_sizeclass_of(table, 0), 0);
	check_size(table, SIZE_MAX - 1);
}

#define SIZES(...) \
	(const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t)

static const struct {
	size_t min, max;
	unsigned steps;
	const size_t *sizes;
	size_t count;
} tables[] = {
	{64, 1024, 1, SIZES(64, 128, 256, 512, 1024)},
	{64, 256, 2, SIZES(64, 96, 128, 192, 256)},
	{64, 256, 4, SIZES(64, 80, 96, 112, 128, 160, 192, 224, 256)},
	{100, 1000, 1, SIZES(100, 200, 400, 800, 1000)},
	{100, 500, 2, SIZES(100, 150, 200, 300, 400, 500)},
	{1, 8, 1, SIZES(1, 2, 4, 8)},
	{1, 8, 2, SIZES(1, 2, 3, 4, 6, 8)},
	{1, 9, 4, SIZES(1, 2, 3, 4, 5, 6, 7, 8, 9)},
	{3, 12, 4, SIZES(3, 4, 5, 6, 7, 9, 10, 12)},
	{64, 64, 1, SIZES(64)},
	{64, 65, 4, SIZES(64, 65)},
	{1, 1, 4, SIZES(1)},
	{SIZE_MAX, SIZE_MAX, 4, SIZES(SIZE_MAX)},
	{SIZE_MAX / 2 + 1, SIZE_MAX, 2, SIZES(SIZE_MAX / 2 + 1, SIZE_MAX / 4 * 3 + 3, SIZE_MAX)},
	{SIZE_MAX / 4, SIZE_MAX, 1,
		SIZES(SIZE_MAX / 4, SIZE_MAX / 4 * 2, SIZE_MAX / 4 * 4, SIZE_MAX)},
};

Test(sizeclass, steps_divide_each_doubling_and_the_last_tier_is_the_maximum)
{
	struct tp_sizeclass table = {.size = made};

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		cr_assert_eq(
			tp_sizeclass_steps(&table, tables[i].min, tables[i].max, tables[i].steps),
			0);
		cr_assert_eq(table.count, tables[i].count, "table %zu: %u tiers", i, table.count);
		for (unsigned tier = 0; tier < table.count; tier++)
			cr_assert_eq(table.size[tier], tables[i].sizes[tier],
				"table %zu, tier %u: %zu", i, tier, table.size[tier]);
		check_boundaries(&table);
	}
}

Test(sizeclass, every_small_size_finds_the_tier_that_a_linear_search_finds)
{
	struct tp_sizeclass table = {.size = made};

	for (size_t min = 1; min <= 40; min++)
		for (size_t max = min; max <= 300; max += 1 + max % 7)
			for (unsigned steps = 1; steps <= 4; steps *= 2) {
				cr_assert_eq(tp_sizeclass_steps(&table, min, max, steps), 0);
				cr_assert_eq(table.size[0], min);
				cr_assert_eq(table.size[table.count - 1], max);
				for (unsigned tier = 1; tier < table.count; tier++)
					cr_assert_gt(table.size[tier], table.size[tier - 1]);
				for (size_t n = 0; n <= max + 2; n++)
					check_size(&table, n);
				for (size_t doubled = min; doubled <= max; doubled *= 2)
					cr_assert_eq(table.size[tp_sizeclass_of(&table, doubled)],
						doubled, "no tier of %zu, min * 2^k", doubled);
			}
}

Test(sizeclass, tiers_up_to_the_largest_size_do_not_overflow)
{
	static const size_t min[] = {1, 2, 3, 63, 64, 65, 1000, 4096};
	struct tp_sizeclass table = {.size = made};

	for (size_t i = 0; i < sizeof min / sizeof *min; i++)
		for (unsigned steps = 1; steps <= 4; steps *= 2)
			for (size_t less = 0; less < 3; less++) {
				size_t max = SIZE_MAX - less;

				cr_assert_eq(tp_sizeclass_steps(&table, min[i], max, steps), 0);
				cr_assert_eq(table.size[table.count - 1], max);
				check_boundaries(&table);
			}
}

Test(sizeclass, steps_refuse_what_is_no_sequence_of_tiers)
{
	struct tp_sizeclass table = {.size = made};

	cr_assert_eq(tp_sizeclass_steps(&table, 0, 64, 1), -EINVAL);
	cr_assert_eq(tp_sizeclass_steps(&table, 65, 64, 1), -EINVAL);
	cr_assert_eq(tp_sizeclass_steps(&table, SIZE_MAX, 64, 1), -EINVAL);
	for (unsigned steps = 0; steps < 40; steps++)
		cr_assert_eq(tp_sizeclass_steps(&table, 64, 1024, steps),
			steps == 1 || steps == 2 || steps == 4 ? 0 : -EINVAL, "steps %u", steps);
	cr_assert_eq(tp_sizeclass_steps(&table, 64, 1024, 1u << 31), -EINVAL);
}

Test(sizeclass, a_list_is_taken_as_it_stands)
{
	static const size_t kept[] = {2048, 4096, 32768};
	struct tp_sizeclass table = {.size = made};

	cr_assert_eq(tp_sizeclass_list(&table, kept, 3), 0);
	cr_assert_eq(table.count, 3);
	for (unsigned tier = 0; tier < 3; tier++)
		cr_assert_eq(table.size[tier], kept[tier]);
	check_boundaries(&table);
}

Test(sizeclass, lists_of_any_shape_agree_with_a_linear_search)
{
	struct tp_sizeclass table = {.size = made};
	size_t sizes[TP_TIERS_MAX];
	uint64_t random = 1;

	for (unsigned round = 0; round < 200; round++) {
		unsigned count = 0, shift = round % 56;
		size_t size = 0;

		while (count < TP_TIERS_MAX && count < round + 1) {
			random = random * UINT64_C(6364136223846793005) + 1;
			/* Dense runs within one width, and leaps over several. */
			size_t step = 1 + (random >> 33) % (random >> 62 ? 3 : (size_t)1 << shift);

			if (size > SIZE_MAX - step)
				break;
			sizes[count++] = size += step;
		}
		cr_assert_eq(tp_sizeclass_list(&table, sizes, count), 0);
		check_boundaries(&table);
	}
}

Test(sizeclass, a_list_has_254_tiers_at_the_most)
{
	struct tp_sizeclass table = {.size = made};
	size_t sizes[TP_TIERS_MAX + 1];

	for (size_t i = 0; i <= TP_TIERS_MAX; i++)
		sizes[i] = 64 * (i + 1);
	cr_assert_eq(TP_TIERS_MAX, 254);
	cr_assert_eq(tp_sizeclass_list(&table, sizes, 254), 0);
	cr_assert_eq(table.count, 254);
	check_boundaries(&table);
	cr_assert_eq(tp_sizeclass_list(&table, sizes, 255), -EINVAL);
	cr_assert_eq(tp_sizeclass_list(&table, sizes, SIZE_MAX), -EINVAL);
}

Test(sizeclass, a_list_refuses_what_does_not_ascend)
{
	struct tp_sizeclass table = {.size = made};

	cr_assert_eq(tp_sizeclass_list(&table, NULL, 0), -EINVAL);
	cr_assert_eq(tp_sizeclass_list(&table, SIZES(0)), -EINVAL);
	cr_assert_eq(tp_sizeclass_list(&table, SIZES(0, 64)), -EINVAL);
	cr_assert_eq(tp_sizeclass_list(&table, SIZES(64, 64)), -EINVAL);
	cr_assert_eq(tp_sizeclass_list(&table, SIZES(64, 128, 127)), -EINVAL);
	cr_assert_eq(tp_sizeclass_list(&table, SIZES(1, SIZE_MAX, 2)), -EINVAL);
	cr_assert_eq(tp_sizeclass_list(&table, SIZES(1, SIZE_MAX)), 0);
	check_boundaries(&table);
}
