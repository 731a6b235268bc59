/* SPDX-License-Identifier: MIT */
/*
 * The map from addresses to runs: it finds what was entered, for each address of it and no other,
 * and waits for lookups before something goes.
 */
#include "memory/pagemap.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#include "base/atomic.h"
#include "memory/pages.h"

#define END ((uintptr_t)1 << 48)
#define LEAF ((uintptr_t)1 << 32) /* what a leaf of the map covers */

static char what[4];

/* The map never looks at what an address has, so any will do. */
static char *at(uintptr_t address)
{
	return (char *)address; /* NOLINT(performance-no-int-to-ptr) */
}

static void check_entered(uintptr_t from, size_t bytes)
{
	cr_assert(tp_pagemap_set(at(from), bytes, what));
	for (uintptr_t address = from; address < from + bytes; address += TP_PAGES_UNIT) {
		cr_assert_eq(tp_pagemap_get(at(address)), what);
		cr_assert_eq(tp_pagemap_get(at(address + 1)), what);
		cr_assert_eq(tp_pagemap_get(at(address + TP_PAGES_UNIT - 1)), what);
	}
	cr_assert_null(tp_pagemap_get(at(from - 1)));
	cr_assert_null(tp_pagemap_get(at(from + bytes)));
	tp_pagemap_clear(at(from), bytes);
	for (uintptr_t address = from; address < from + bytes; address += TP_PAGES_UNIT)
		cr_assert_null(tp_pagemap_get(at(address)));
}

Test(pagemap, each_address_of_a_mapping_finds_what_was_entered_and_others_nothing)
{
	for (size_t units = 1; units < 20; units++)
		check_entered(5 * LEAF + 7 * TP_PAGES_UNIT, units * TP_PAGES_UNIT);
}

Test(pagemap, a_mapping_may_lie_in_several_leaves)
{
	check_entered(100 * LEAF - TP_PAGES_UNIT, 2 * TP_PAGES_UNIT);
	check_entered(200 * LEAF - 3 * TP_PAGES_UNIT, 2 * LEAF + 7 * TP_PAGES_UNIT);
	check_entered(300 * LEAF, LEAF);
}

Test(pagemap, neighbours_are_apart)
{
	uintptr_t from = 9 * LEAF;

	for (unsigned i = 0; i < 4; i++)
		cr_assert(tp_pagemap_set(at(from + i * TP_PAGES_UNIT), TP_PAGES_UNIT, what + i));
	tp_pagemap_clear(at(from + TP_PAGES_UNIT), TP_PAGES_UNIT);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(
			tp_pagemap_get(at(from + i * TP_PAGES_UNIT)), i == 1 ? NULL : what + i);
	cr_assert(tp_pagemap_set(at(from + TP_PAGES_UNIT), TP_PAGES_UNIT, what));
	cr_assert_eq(tp_pagemap_get(at(from + TP_PAGES_UNIT)), what);
	tp_pagemap_clear(at(from), 4 * TP_PAGES_UNIT);
}

Test(pagemap, what_is_beyond_48_bits_is_refused_and_not_found)
{
	cr_assert_not(tp_pagemap_set(at(END), TP_PAGES_UNIT, what));
	cr_assert_not(tp_pagemap_set(at(END - TP_PAGES_UNIT), 2 * TP_PAGES_UNIT, what));
	cr_assert_null(tp_pagemap_get(at(END - 1)), "entered in part");
	cr_assert_null(tp_pagemap_get(at(END)));
	cr_assert_null(tp_pagemap_get(at(UINTPTR_MAX)));
	cr_assert(tp_pagemap_set(at(END - TP_PAGES_UNIT), TP_PAGES_UNIT, what));
	cr_assert_eq(tp_pagemap_get(at(END - 1)), what);
	cr_assert_null(tp_pagemap_get(at(2 * END - 1)), "an address is not cut to 48 bits");
	tp_pagemap_clear(at(END - TP_PAGES_UNIT), TP_PAGES_UNIT);
}

Test(pagemap, any_address_may_be_looked_up)
{
	cr_assert_null(tp_pagemap_get(NULL));
	cr_assert_null(tp_pagemap_get(what));
	cr_assert_null(tp_pagemap_get(&(int){0}));
	for (unsigned bit = 0; bit < 64; bit++)
		cr_assert_null(tp_pagemap_get(at((uintptr_t)1 << bit)));
}

/* ---- a clear waits for lookups ---- */

static uint32_t cleared;

static void *clear(void *unused)
{
	(void)unused;
	tp_pagemap_clear(at(LEAF), TP_PAGES_UNIT);
	tp_store_release(&cleared, 1u);
	return NULL;
}

Test(pagemap, a_clear_waits_for_a_lookup_between_enter_and_leave)
{
	pthread_t thread;
	unsigned shard;

	cr_assert(tp_pagemap_set(at(LEAF), TP_PAGES_UNIT, what));
	shard = tp_pagemap_enter();
	cr_assert_eq(tp_pagemap_get(at(LEAF)), what);
	cr_assert_eq(pthread_create(&thread, NULL, clear, NULL), 0);
	while (tp_pagemap_get(at(LEAF)))
		usleep(100);
	usleep(50000);
	cr_assert_eq(tp_load_acquire(&cleared), 0, "it did not wait");
	tp_pagemap_leave(shard);
	pthread_join(thread, NULL);
	cr_assert_eq(cleared, 1);
}

Test(pagemap, the_child_of_a_fork_does_not_wait_for_lookups_of_threads_that_it_has_not)
{
	cr_assert(tp_pagemap_set(at(LEAF), TP_PAGES_UNIT, what));
	(void)tp_pagemap_enter();
	tp_pagemap_forked();
	clear(NULL);
	cr_assert_null(tp_pagemap_get(at(LEAF)));
}

/* Each thing that a lookup finds must be whole as long as the lookup lasts. */
static uint32_t things[64], ended, found_ended;

static void *look_up(void *unused)
{
	(void)unused;
	while (!tp_load_acquire(&ended)) {
		unsigned shard = tp_pagemap_enter();
		uint32_t *thing = tp_pagemap_get(at(LEAF));

		if (thing && tp_load_relaxed(thing) != 1)
			tp_add_relaxed(&found_ended, 1u);
		tp_pagemap_leave(shard);
	}
	return NULL;
}

Test(pagemap, what_a_lookup_found_has_not_ended)
{
	pthread_t thread[3];

	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, look_up, NULL), 0);
	for (unsigned round = 0; round < 3000; round++) {
		uint32_t *thing = &things[round % 64];

		tp_store_relaxed(thing, 1u);
		cr_assert(tp_pagemap_set(at(LEAF), TP_PAGES_UNIT, thing));
		tp_pagemap_clear(at(LEAF), TP_PAGES_UNIT);
		tp_store_relaxed(thing, 2u);
	}
	tp_store_release(&ended, 1u);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(found_ended, 0);
}
