/* SPDX-License-Identifier: MIT */
/*
 * Places that borrow: a pool enters each of them once, by what its strings say and not where they
 * are.
 */
#include "pool/site.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counting_backing.h"
#include "pool/pool.h"

#define THREADS 4
#define POOL 7
#define OTHER 8

static struct counting_backing counting;
static pthread_barrier_t *meeting; /* in alloc of a node, until as many threads are there */
static unsigned meetings;

/* Of nodes of the places in common. */
#define COMMON_BYTES (sizeof(struct tp_site) + sizeof "common.c" + sizeof "meet")

static void *meeting_alloc(void *context, size_t n, size_t alignment)
{
	if (meeting && n == COMMON_BYTES) {
		tp_add_relaxed(&meetings, 1u);
		pthread_barrier_wait(meeting);
	}
	return counting_backing_alloc(context, n, alignment);
}

static struct tp_sites sites;
static struct tp_backing backing;
static size_t size[] = {64, 1024, 65536};
static const struct tp_sizeclass sizes = {.size = size, .count = 3};
#define OFFSET 512 /* of the stack that new places begin with */

static void sites_start(struct tp_sites *fresh, uint32_t pool_id)
{
	struct tp_sites_options options = {
		.backing = &backing, .pool_id = pool_id, .tier = 1, .stack_offset = OFFSET};

	tp_classes_init(&options.classes, &sizes, TP_CALIBRATE_EVERY);
	cr_assert_eq(tp_sites_init(fresh, &options), 0);
}

static void start(void)
{
	struct tierpool_backing calls;

	counting_backing_init(&counting);
	calls = counting_backing_calls(&counting);
	calls.alloc = meeting_alloc;
	cr_assert_eq(tp_backing_init(&backing, &calls), 0);
	sites_start(&sites, POOL);
}

static struct tp_site *enter(tierpool_site *stub)
{
	return tp_site_of_stub(&sites, stub);
}

static bool is_known(const struct tp_sites *by, const tierpool_site *stub)
{
	return tp_site_half(by, stub);
}

/* A place as TIERPOOL_SITE_INIT makes one, of a file and line of its own. */
#define PLACE(file, label, line)                                        \
	(tierpool_site)                                                 \
	{                                                               \
		.tp_file = (file), .tp_label = (label), .tp_line = line \
	}

/* A place with strings of its own on the heap, as a plugin that is loaded once more has. */
static tierpool_site stub_make(const char *file, const char *label, unsigned line)
{
	return PLACE(strdup(file), strdup(label), line);
}

static void stub_unload(tierpool_site *stub)
{
	/* Overwritten first: a pointer to them that was kept finds another place. */
	memset((char *)stub->tp_file, 'x', strlen(stub->tp_file));
	memset((char *)stub->tp_label, 'x', strlen(stub->tp_label));
	free((char *)stub->tp_file);
	free((char *)stub->tp_label);
}

TestSuite(site, .init = start);

Test(site, a_place_is_entered_once_and_known_from_then_on)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("parse");
	size_t allocs;

	cr_assert_not(is_known(&sites, &stub));
	enter(&stub);
	cr_assert(is_known(&sites, &stub));
	cr_assert_eq(sites.count, 1);
	cr_assert_eq(sites.bytes, counting_backing_live(&counting));
	allocs = counting_backing_allocs(&counting);
	enter(&stub);
	cr_assert_eq(sites.count, 1);
	cr_assert_eq(counting_backing_allocs(&counting), allocs, "a known place took memory");
	tp_sites_fini(&sites);
	cr_assert_eq(counting_backing_live(&counting), 0);
}

Test(site, file_line_and_label_each_make_another_place)
{
	tierpool_site stub[] = {PLACE("a.c", "f", 1), PLACE("b.c", "f", 1), PLACE("a.c", "g", 1),
		PLACE("a.c", "f", 2), PLACE("", "", 0), PLACE("a.c", "", 1), PLACE("a.cf", "", 1)};
	unsigned n = sizeof stub / sizeof *stub;

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < n; i++) {
			enter(&stub[i]);
			cr_assert_eq(sites.count, round ? n : i + 1);
		}
}

Test(site, one_place_in_two_pools_is_known_to_both)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("shared");
	struct tp_sites other;
	struct tp_site *here = enter(&stub), *there;
	size_t allocs;

	sites_start(&other, OTHER);
	cr_assert(is_known(&sites, &stub) && !is_known(&other, &stub));
	there = tp_site_of_stub(&other, &stub);
	cr_assert_neq(here, there);
	allocs = counting_backing_allocs(&counting);
	for (unsigned round = 0; round < 3; round++) {
		cr_assert(is_known(&sites, &stub) && is_known(&other, &stub));
		cr_assert_eq(enter(&stub), here);
		cr_assert_eq(tp_site_of_stub(&other, &stub), there);
		/* Whichever pool has the stub, the other finds its word in its table. */
		tp_site_renew(round % 2 ? &sites : &other, round % 2 ? here : there, &stub, true);
		cr_assert_eq(tp_site_word_pool(tp_site_stub_word(&stub)), round % 2 ? POOL : OTHER);
	}
	cr_assert_eq(sites.count, 1);
	cr_assert_eq(other.count, 1);
	cr_assert_eq(counting_backing_allocs(&counting), allocs);
	tp_sites_fini(&other);
}

Test(site, a_word_has_all_three_of_its_parts)
{
	uint64_t word = tp_site_word(UINT32_MAX - 1, TP_SITES_MAX - 1, TP_SLAB_BYTES_MAX - 8);

	cr_assert_eq(tp_site_word_pool(word), UINT32_MAX - 1);
	cr_assert_eq(tp_site_word_number(tp_site_word_half(word)), TP_SITES_MAX - 1);
	cr_assert_eq(tp_site_word_offset(tp_site_word_half(word)), TP_SLAB_BYTES_MAX - 8);
}

Test(site, a_new_word_is_seen_at_once_if_the_place_was_new_and_else_at_a_sampled_get)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("learns");
	struct tp_site *site = enter(&stub);

	cr_assert_eq(tp_site_word_offset(tp_site_half(&sites, &stub)), OFFSET);
	tp_site_begin_with(site, 2 * OFFSET);
	enter(&stub);
	cr_assert_eq(tp_site_word_offset(tp_site_half(&sites, &stub)), 2 * OFFSET);
	tp_site_begin_with(site, 3 * OFFSET);
	enter(&stub);
	cr_assert_eq(tp_site_word_offset(tp_site_half(&sites, &stub)), 2 * OFFSET);
	tp_site_renew(&sites, site, &stub, true);
	cr_assert_eq(tp_site_word_offset(tp_site_half(&sites, &stub)), 3 * OFFSET);
	cr_assert_eq(tp_site_recall(&sites, &stub), tp_site_half(&sites, &stub));
	cr_assert_eq(
		tp_site_of_number(&sites, tp_site_word_number(tp_site_half(&sites, &stub))), site);
}

Test(site, when_ids_are_used_up_no_stub_matches_and_places_are_still_told_apart)
{
	tierpool_site a = TIERPOOL_SITE_INIT("a"), b = TIERPOOL_SITE_INIT("b");
	struct tp_sites without;
	struct tp_site *site;

	sites_start(&without, 0);
	site = tp_site_of_stub(&without, &a);
	cr_assert_neq(tp_site_of_stub(&without, &b), site);
	cr_assert_eq(tp_site_of_stub(&without, &a), site);
	tp_site_renew(&without, site, &a, true);
	cr_assert_eq(tp_site_stub_word(&a), 0);
	tp_sites_fini(&without);
}

Test(site, places_beyond_the_last_number_are_the_pools_own)
{
	tierpool_site late = PLACE("late.c", "f", 1);

	for (unsigned i = 0; i < TP_SITES_MAX; i++) {
		tierpool_site stub = PLACE("many.c", "f", i);

		enter(&stub);
	}
	cr_assert_eq(sites.count, TP_SITES_MAX - 2 - TP_SITE_OWN + 1);
	cr_assert_eq(enter(&late), &sites.own);
	cr_assert(is_known(&sites, &late), "it is looked for each time");
	tp_sites_fini(&sites);
	cr_assert_eq(counting_backing_live(&counting), 0);
}

Test(site, a_string_that_was_left_out_is_an_empty_one)
{
	tierpool_site stub[] = {PLACE(NULL, NULL, 1), PLACE("", NULL, 1), PLACE(NULL, "", 1)};

	for (int i = 0; i < 3; i++) {
		enter(&stub[i]);
		cr_assert(is_known(&sites, &stub[i]));
	}
	cr_assert_eq(sites.count, 1);
}

Test(site, the_strings_are_copied_so_that_a_plugin_may_go)
{
	tierpool_site stub = stub_make("plugin.c", "encode", 42);

	enter(&stub);
	stub_unload(&stub);
	stub = stub_make("plugin.c", "encode", 42);
	enter(&stub);
	cr_assert_eq(sites.count, 1, "the place was not known again by what its strings say");
	stub_unload(&stub);
	tp_sites_fini(&sites);
}

Test(site, a_thousand_places_stay_apart)
{
	size_t most = 0;

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 1000; i++) {
			char file[16];
			tierpool_site stub;

			snprintf(file, sizeof file, "file%u.c", i % 50);
			stub = stub_make(file, i % 2 ? "odd" : "even", i / 50);
			enter(&stub);
			stub_unload(&stub);
			cr_assert_eq(sites.count, round ? 1000 : i + 1);
			cr_assert_eq(sites.bytes, counting_backing_live(&counting));
		}
	for (unsigned i = 0; i < TP_SITE_BUCKETS; i++) {
		size_t length = 0;

		for (struct tp_site *site = sites.bucket[i]; site; site = site->next)
			length++;
		most = length > most ? length : most;
	}
	cr_assert_lt(most, 4 * 1000 / TP_SITE_BUCKETS, "%zu places in one bucket", most);
	tp_sites_fini(&sites);
	cr_assert_eq(counting_backing_blocks(&counting), 0);
	cr_assert_eq(counting_backing_live(&counting), 0);
}

Test(site, out_of_memory_leaves_the_place_to_be_entered_the_next_time)
{
	tierpool_site stub = TIERPOOL_SITE_INIT("unlucky");

	counting_backing_fail(&counting, 1, true);
	enter(&stub);
	cr_assert_eq(sites.count, 0);
	cr_assert_eq(tp_site_half(&sites, &stub), 0);
	counting_backing_fail(&counting, 0, false);
	enter(&stub);
	cr_assert_eq(sites.count, 1);
	cr_assert(is_known(&sites, &stub));
}

static tierpool_site common[50];

/* No thread goes on from its allocation before all have found the place to be new. */
static void *enter_all(void *own_stubs)
{
	for (unsigned i = 0; i < 50; i++) {
		tierpool_site own = common[i];

		enter(own_stubs ? &own : &common[i]);
	}
	return NULL;
}

Test(site, threads_that_meet_at_a_new_place_enter_it_once)
{
	pthread_t thread[THREADS];
	pthread_barrier_t barrier;

	for (unsigned i = 0; i < 50; i++)
		common[i] = PLACE("common.c", "meet", i);
	pthread_barrier_init(&barrier, NULL, THREADS);
	meeting = &barrier;
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, enter_all, (void *)(i % 2)), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(meetings, 50 * THREADS);
	cr_assert_eq(sites.count, 50);
	cr_assert_eq(sites.bytes, counting_backing_live(&counting),
		"a node of a thread that came second was lost");
}

Test(site, each_get_in_the_source_is_a_place_and_the_function_is_none)
{
	tierpool *pool[2];

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(tierpool_create(&pool[i], NULL), 0);
		tierpool_put((tierpool_get)(pool[i]));
		cr_assert_eq(pool[i]->sites.count, 0);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 2; i++) {
			tierpool_put(tierpool_get(pool[i]));
			tierpool_put(tierpool_get_sized(pool[i], 100));
		}
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pool[i]->sites.count, 2);
		tierpool_put(tierpool_get(pool[i]));
		cr_assert_eq(pool[i]->sites.count, 3);
		tierpool_destroy(pool[i]);
	}
}
