/* SPDX-License-Identifier: MIT */
/*
 * The page of a pool's statistics, of numbers that no pool of a test has: it is one screen whatever
 * they are. They stand in place of the real ones: stats.c is not in this program.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tierpool/stats.h>

#include "pool/pool.h"

#define TIERS 254
#define LINES 40
#define COLUMNS 80

static struct tierpool_stats stats;
static struct tierpool_tier_stats tier[TIERS];

int tierpool_stats_read(tierpool *pool, struct tierpool_stats *out)
{
	(void)pool;
	*out = stats;
	return 0;
}

int tierpool_stats_tiers(tierpool *pool, struct tierpool_tier_stats *out, size_t n, size_t stride)
{
	(void)pool;
	cr_assert_eq(stride, sizeof *out);
	memcpy(out, tier, (n < TIERS ? n : TIERS) * stride);
	return TIERS;
}

static tierpool *pool;

static void start(void)
{
	static size_t size[TIERS];
	struct tierpool_options options = TIERPOOL_OPTIONS_INIT;

	for (size_t i = 0; i < TIERS; i++)
		tier[i].block_size = size[i] = 64 * (i + 1);
	options.tiers = size;
	options.tier_count = TIERS;
	cr_assert_eq(tierpool_create(&pool, &options), 0);
	stats.percpu = "locked";
	stats.backing = "jemalloc";
}

TestSuite(print, .init = start);

static char text[1 << 16];

static unsigned print(void)
{
	FILE *out = fmemopen(text, sizeof text, "w");
	unsigned lines = 0;

	cr_assert_eq(tierpool_stats_print(pool, out), 0);
	fclose(out);
	for (const char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
		cr_assert_leq(end - at, COLUMNS, "%s", at);
		lines++;
	}
	cr_assert_leq(lines, LINES);
	return lines;
}

/* Every number of the pool, and of a tier, is this one. */
static void set_all(uint64_t n)
{
	uint64_t *first = &stats.gets, *last = &stats.fences;

	while (first <= last)
		*first++ = n;
	for (first = &stats.fence_lost; first <= &stats.grow_bytes; first++)
		*first = n;
	stats.leased_bytes = n;
	for (size_t i = 0; i < TIERS; i++) {
		size_t size = tier[i].block_size;

		for (first = (uint64_t *)(void *)&tier[i];
			first < (uint64_t *)(void *)(&tier[i] + 1);)
			*first++ = n;
		tier[i].block_size = size;
	}
}

Test(print, it_is_one_screen_whatever_the_numbers)
{
	for (uint64_t n = UINT64_MAX;; n -= n / 100 + 1) {
		set_all(n);
		print();
		if (!n)
			break;
	}
	set_all(99999);
	stats.hits_cpu = stats.hits_depot = stats.hits_other_cpu = stats.hits_larger = 99998;
	for (size_t i = 0; i < TIERS; i++)
		tier[i].block_size = SIZE_MAX - i;
	print();
}

Test(print, of_many_tiers_those_with_the_most_gets_are_shown_in_their_order)
{
	const char *at = text;

	for (size_t i = 0; i < TIERS; i++)
		tier[i].gets = tier[i].allocs = 1 + i * 37 % TIERS;
	stats.gets = TIERS * (TIERS + 1) / 2;
	print();
	cr_assert_not_null(strstr(text, "and 228 more tiers, with fewer gets\n"));
	for (size_t i = 0; i < TIERS; i++) {
		char line[48];

		if (tier[i].gets <= TIERS - 26)
			continue;
		snprintf(line, sizeof line, " %5zu    0    0     0", (size_t)tier[i].gets);
		at = strstr(at, line);
		cr_assert_not_null(at, "%s in %s", line, text);
	}
	/* And as many if all are alike. */
	for (size_t i = 0; i < TIERS; i++)
		tier[i].gets = 5;
	cr_assert_eq(print(), 11 + 1 + 26 + 1);
}

/* The line of borrowed buffers, whose number this is; and of the overhead. */
static void assert_number(uint64_t n, const char *as)
{
	char line[64];

	stats.borrowed = n;
	print();
	snprintf(line, sizeof line, "  borrowed %-7s buffers\n", as);
	cr_assert_not_null(strstr(text, line), "%s: %s", as, text);
}

static void assert_bytes(uint64_t n, const char *as)
{
	char line[64];

	stats.overhead_bytes = n;
	print();
	snprintf(line, sizeof line, "  overhead %s\n", as);
	cr_assert_not_null(strstr(text, line), "%s: %s", as, text);
}

static void assert_share(uint64_t part, uint64_t whole, const char *as)
{
	char line[64];

	stats.hits_depot = part;
	stats.gets = whole;
	print();
	snprintf(line, sizeof line, ", depot %s, ", as);
	cr_assert_not_null(strstr(text, line), "%s: %s", as, text);
}

Test(print, numbers_are_cut_to_what_a_person_reads)
{
	assert_number(0, "0");
	assert_number(999, "999");
	assert_number(99999, "99999");
	assert_number(100000, "100 k");
	assert_number(999999, "999 k");
	assert_number(1000000, "1 M");
	assert_number(1299999, "1.2 M");
	assert_number(12999999, "12 M");
	assert_number(9999999999, "9.9 G");
	assert_number(UINT64_MAX, "18 E");
	assert_bytes(0, "0 B");
	assert_bytes(999, "999 B");
	assert_bytes(1000, "0.9 KiB");
	assert_bytes(1024, "1 KiB");
	assert_bytes(1025, "1.0 KiB");
	assert_bytes(1536, "1.5 KiB");
	assert_bytes(999 << 10, "999 KiB");
	assert_bytes(1000 << 10, "0.9 MiB");
	assert_bytes((size_t)64 << 20, "64 MiB");
	assert_bytes(UINT64_MAX, "15 EiB");
	assert_share(0, 0, "-");
	assert_share(0, 7, "0");
	assert_share(7, 7, "100");
	assert_share(1, 2, "50.0");
	assert_share(1, 1000000, "<0.1");
	assert_share(999999, 1000000, "99.9");
	assert_share(UINT64_MAX - 1, UINT64_MAX, "99.9");
	assert_share(1, UINT64_MAX, "<0.1");
}
