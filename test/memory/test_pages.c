/* SPDX-License-Identifier: MIT */
/*
 * Pages from the system: where mappings begin, what a purge and a growth leave in them, and that
 * nothing is lost if the system refuses to end one.
 */
#include "memory/pages.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "cpus.h"
#include "mappings.h"

#define LARGEST 40 /* units */

static bool is_mapped(char *page)
{
	unsigned char resident;

	return !mincore(page, tp_pages_size, &resident);
}

static bool is_all(const char *pages, size_t bytes, char with)
{
	for (size_t i = 0; i < bytes; i++)
		if (pages[i] != with)
			return false;
	return true;
}

static char *pages_map(size_t bytes)
{
	char *pages = tp_pages_map(bytes);

	cr_assert_not_null(pages);
	cr_assert_eq((uintptr_t)pages % TP_PAGES_UNIT, 0);
	cr_assert(is_all(pages, bytes, 0));
	return pages;
}

/* Something in the way, so that the next mapping would not begin at a multiple of the unit. */
static void disturb(void)
{
	(void)mmap(NULL, tp_pages_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

Test(pages, a_mapping_begins_at_a_unit_reads_as_0_and_is_no_longer_than_asked_for)
{
	for (size_t units = 1; units <= LARGEST; units++) {
		size_t bytes = units * TP_PAGES_UNIT, before = mapped;
		char *pages = pages_map(bytes);

		cr_assert_eq(mapped, before + bytes);
		memset(pages, 1, bytes);
		cr_assert(tp_pages_unmap(pages, bytes));
		cr_assert_not(is_mapped(pages));
		cr_assert_not(is_mapped(pages + bytes - tp_pages_size));
		if (units % 3 == 0)
			disturb();
	}
}

Test(pages, a_purge_leaves_pages_that_read_as_0_and_its_neighbours_as_they_are)
{
	size_t page = tp_pages_size;
	char *pages = pages_map(TP_PAGES_UNIT);

	memset(pages, 1, TP_PAGES_UNIT);
	tp_pages_purge(pages + page, 2 * page);
	cr_assert(is_all(pages, page, 1));
	cr_assert(is_all(pages + page, 2 * page, 0));
	cr_assert(is_all(pages + 3 * page, TP_PAGES_UNIT - 3 * page, 1));
}

Test(pages, locked_pages_are_purged_too)
{
	char *pages = pages_map(TP_PAGES_UNIT);

	if (mlock(pages, TP_PAGES_UNIT))
		skip("memory may not be locked");
	memset(pages, 1, TP_PAGES_UNIT);
	tp_pages_purge(pages, TP_PAGES_UNIT);
	if (!is_all(pages, TP_PAGES_UNIT, 0))
		skip("before Linux 5.18 the pages of locked memory cannot be given back");
}

Test(pages, a_growth_keeps_what_is_there_in_place_or_at_the_target)
{
	size_t before = 2 * TP_PAGES_UNIT, after = LARGEST * TP_PAGES_UNIT;

	for (unsigned moves = 0; moves < 2; moves++) {
		char *pages = pages_map(before), *target = pages_map(after), *grown;
		enum tp_extended extended;

		if (moves)
			(void)mmap(pages + before, tp_pages_size, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		memset(pages, 1, before);
		extended = tp_pages_extend(pages, before, after);
		grown = pages;
		if (moves)
			cr_assert_eq(extended, TP_EXTENDED_NO_ROOM);
		if (extended == TP_EXTENDED_NO_ROOM) {
			cr_assert(is_all(pages, before, 1), "nothing happened");
			cr_assert(tp_pages_move(pages, before, after, target));
			cr_assert_not(is_mapped(pages));
			grown = target;
		}
		cr_assert(is_all(grown, before, 1));
		cr_assert(is_all(grown + before, after - before, 0));
	}
}

Test(pages, what_is_several_mappings_to_the_system_is_not_made_longer)
{
	char *pages = pages_map(4 * TP_PAGES_UNIT);

	cr_assert_eq(mprotect(pages + TP_PAGES_UNIT, TP_PAGES_UNIT, PROT_READ), 0);
	cr_assert_eq(
		tp_pages_extend(pages, 4 * TP_PAGES_UNIT, 5 * TP_PAGES_UNIT), TP_EXTENDED_REFUSED);
	cr_assert(is_all(pages, 4 * TP_PAGES_UNIT, 0));
}

/* ---- refused ---- */

Test(pages, a_mapping_that_cannot_be_made_is_null)
{
	size_t before = mapped;

	map_fails = (struct failing){1, true};
	for (unsigned i = 0; i < 3; i++)
		cr_assert_null(tp_pages_map(TP_PAGES_UNIT));
	map_fails.at = 0;
	cr_assert_eq(mapped, before);
	pages_map(TP_PAGES_UNIT);
}

Test(pages, what_cannot_be_ended_gives_its_memory_back_and_is_ended_later)
{
	size_t bytes = 4 * TP_PAGES_UNIT, before = mapped;
	char *pages[5];

	for (unsigned i = 0; i < 5; i++)
		memset(pages[i] = pages_map(bytes), 1, bytes);
	unmap_fails = (struct failing){1, true};
	cr_assert_not(tp_pages_unmap(pages[0], bytes));
	cr_assert(is_all(pages[0], bytes, 1), "still the caller's");
	for (unsigned i = 0; i < 4; i++)
		tp_pages_end(pages[i], bytes);
	cr_assert_eq(mapped, before + 5 * bytes);
	cr_assert(is_all(pages[2] + tp_pages_size, bytes - tp_pages_size, 0));
	for (unsigned i = 0; i < 3; i++)
		cr_assert_null(tp_pages_map(bytes), "none that could not be ended either");
	cr_assert_eq(mapped, before + 5 * bytes);
	unmap_fails.at = 0;
	tp_pages_end(pages[4], bytes);
	cr_assert_eq(mapped, before);
	pages_map(bytes);
}

/* Each call of munmap in turn while a mapping is trimmed to begin at a unit. */
Test(pages, nothing_is_lost_if_a_mapping_cannot_be_trimmed)
{
	size_t before = mapped;

	for (unsigned nth = 1; nth <= 4; nth++)
		for (unsigned forever = 0; forever < 2; forever++) {
			char *pages;

			disturb();
			before = mapped;
			unmap_fails = (struct failing){nth, forever};
			pages = tp_pages_map(TP_PAGES_UNIT);
			unmap_fails.at = 0;
			if (pages)
				tp_pages_end(pages, TP_PAGES_UNIT);
			pages = pages_map(TP_PAGES_UNIT); /* which ends what was left */
			tp_pages_end(pages, TP_PAGES_UNIT);
			cr_assert_eq(mapped, before, "call %u", nth);
		}
}
