/* SPDX-License-Identifier: MIT */
/*
 * Chunks of pointers: what goes in comes out once, in which order, by which generation; and what
 * happens where there is no memory for one.
 */
#include "cache/chunks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/atomic.h"
#include "cpus.h"

#define OBJECTS 128
#define THREADS 3

static struct tp_chunks chunks;
static int object[OBJECTS];

static void start(void)
{
	tp_chunks_init(&chunks);
}

TestSuite(chunks, .init = start);

/* A chunk of count of the objects. */
static struct tp_chunk *chunk_of(unsigned first, unsigned count)
{
	void *in[OBJECTS];
	struct tp_chunk *chunk;

	for (unsigned i = 0; i < count; i++)
		in[i] = &object[first + i];
	chunk = tp_chunk_new(in, count);
	cr_assert_not_null(chunk);
	return chunk;
}

static void push(unsigned first, unsigned count, enum tp_generation generation)
{
	tp_chunks_push(&chunks, chunk_of(first, count), generation);
}

static void expect(struct tp_chunk *chunk, unsigned first, unsigned count)
{
	cr_assert_not_null(chunk);
	cr_assert_eq(chunk->count, count);
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(chunk->object[i], &object[first + i]);
}

/* The newest chunk of a generation has these objects. */
static void expect_popped(enum tp_generation generation, unsigned first, unsigned count)
{
	struct tp_chunk *chunk = tp_chunks_pop(&chunks, generation);

	expect(chunk, first, count);
	free(chunk);
}

static void expect_none(enum tp_generation generation)
{
	cr_assert_not(tp_chunks_have(&chunks, generation));
	cr_assert_null(tp_chunks_pop(&chunks, generation));
	cr_assert_null(tp_chunks_take(&chunks, generation));
}

Test(chunks, a_chunk_has_the_objects_that_it_was_made_of)
{
	static const unsigned counts[] = {1, 2, TP_AGES_SLOTS};

	for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
		struct tp_chunk *chunk = chunk_of(3, counts[i]);

		expect(chunk, 3, counts[i]);
		free(chunk);
	}
	cr_assert_null(tp_chunk_new(NULL, 0), "there is none of nothing");
}

Test(chunks, of_each_generation_the_newest_is_popped_first)
{
	for (enum tp_generation g = TP_YOUNG; g < TP_GENERATIONS; g++) {
		expect_none(g);
		push(10 * g, 3, g);
		push(10 * g + 3, 2, g);
		cr_assert(tp_chunks_have(&chunks, g));
	}
	for (enum tp_generation g = TP_YOUNG; g < TP_GENERATIONS; g++) {
		expect_popped(g, 10 * g + 3, 2);
		expect_popped(g, 10 * g, 3);
		expect_none(g);
	}
	tp_chunks_fini(&chunks);
}

Test(chunks, all_of_a_generation_are_taken_at_once_and_no_others)
{
	struct tp_chunk *all;

	push(0, 1, TP_OLD);
	push(1, 2, TP_OLD);
	push(3, 3, TP_YOUNG);
	push(6, 1, TP_EXPIRED);
	all = tp_chunks_take(&chunks, TP_OLD);
	expect(all, 1, 2);
	expect(all->next, 0, 1);
	cr_assert_null(all->next->next);
	free(all->next);
	free(all);
	expect_none(TP_OLD);
	expect_popped(TP_YOUNG, 3, 3);
	expect_popped(TP_EXPIRED, 6, 1);
}

Test(chunks, one_object_goes_where_the_newest_young_chunk_has_a_place)
{
	cr_assert_not(tp_chunks_add(&chunks, &object[0]), "there is no chunk");
	push(0, 1, TP_OLD);
	push(1, 1, TP_EXPIRED);
	cr_assert_not(tp_chunks_add(&chunks, &object[0]), "there is no young one");
	push(2, 1, TP_YOUNG);
	for (unsigned i = 1; i < TP_AGES_SLOTS; i++)
		cr_assert(tp_chunks_add(&chunks, &object[2 + i]));
	cr_assert_not(tp_chunks_add(&chunks, &object[0]), "it is full");
	expect_popped(TP_YOUNG, 2, TP_AGES_SLOTS);
	expect_popped(TP_OLD, 0, 1);
	expect_popped(TP_EXPIRED, 1, 1);
}

Test(chunks, ageing_makes_old_what_was_young_and_dying_what_was_old)
{
	push(0, 2, TP_YOUNG);
	push(2, 1, TP_YOUNG);
	tp_chunks_age(&chunks);
	expect_none(TP_YOUNG);
	expect_none(TP_EXPIRED);
	push(3, 1, TP_YOUNG);
	tp_chunks_age(&chunks);
	expect_none(TP_YOUNG);
	expect_popped(TP_OLD, 3, 1);
	expect_popped(TP_EXPIRED, 2, 1);
	expect_popped(TP_EXPIRED, 0, 2);
	tp_chunks_age(&chunks);
	for (enum tp_generation g = TP_YOUNG; g < TP_GENERATIONS; g++)
		expect_none(g);
}

Test(chunks, while_any_are_dying_no_generation_passes)
{
	push(0, 1, TP_EXPIRED);
	push(1, 1, TP_OLD);
	push(2, 1, TP_YOUNG);
	for (unsigned tick = 0; tick < 3; tick++)
		tp_chunks_age(&chunks);
	expect_popped(TP_EXPIRED, 0, 1);
	expect_none(TP_EXPIRED);
	tp_chunks_age(&chunks);
	expect_popped(TP_EXPIRED, 1, 1);
	expect_popped(TP_OLD, 2, 1);
	expect_none(TP_YOUNG);
}

Test(chunks, where_there_is_no_memory_for_one_the_objects_stay_the_callers)
{
	/* Less than is used already: no more is to be had than what malloc has in reserve. */
	struct rlimit none = {0, 0}, most;
	struct tp_chunk *list = NULL, *chunk;
	void *in[] = {&object[0]};

	if (SANITIZED || under_valgrind())
		skip("malloc is not the system's here");
	cr_assert_eq(getrlimit(RLIMIT_AS, &most), 0);
	none.rlim_max = most.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
	while ((chunk = tp_chunk_new(in, 1))) {
		chunk->next = list;
		list = chunk;
	}
	cr_assert_eq(in[0], &object[0]);
	cr_assert_eq(setrlimit(RLIMIT_AS, &most), 0);
	for (; list; list = chunk) {
		chunk = list->next;
		free(list);
	}
}

/* ---- threads ---- */

static struct {
	uint32_t owners[OBJECTS];
	int object[OBJECTS];
	uint32_t twice, running;
} contended;

static unsigned number(const void *o)
{
	return (unsigned)((const int *)o - contended.object);
}

static void own(const void *o)
{
	if (tp_add_relaxed(&contended.owners[number(o)], 1u))
		tp_add_relaxed(&contended.twice, 1u);
}

static void disown(const void *o)
{
	tp_sub_relaxed(&contended.owners[number(o)], 1u);
}

/* Takes the objects of a list of chunks out of them; how many. */
static size_t unpack(struct tp_chunk *chunk, void **out)
{
	size_t count = 0;

	for (struct tp_chunk *next; chunk; chunk = next) {
		next = chunk->next;
		for (size_t i = 0; i < chunk->count; i++) {
			own(chunk->object[i]);
			out[count++] = chunk->object[i];
		}
		free(chunk);
	}
	return count;
}

/* One into a chunk that is there, if it has a place, and the others into a new one. */
static void pack(void **in, size_t count, enum tp_generation generation)
{
	for (size_t i = 0; i < count; i++)
		disown(in[i]);
	if (count && tp_chunks_add(&chunks, in[count - 1]))
		count--;
	for (size_t n; count; count -= n) {
		n = count < TP_AGES_SLOTS ? count : TP_AGES_SLOTS;
		tp_chunks_push(&chunks, tp_chunk_new(in + count - n, n), generation);
	}
}

static void *pop_and_push(void *unused)
{
	void *held[OBJECTS];

	for (unsigned i = 0; i < 600000; i++) {
		enum tp_generation generation = i % 7 ? TP_YOUNG : i / 7 % TP_GENERATIONS;
		struct tp_chunk *chunk;

		if (i % 100) {
			chunk = tp_chunks_pop(&chunks, generation);
			if (chunk)
				chunk->next = NULL;
		} else {
			chunk = tp_chunks_take(&chunks, generation);
		}
		pack(held, unpack(chunk, held), generation);
	}
	tp_sub_relaxed(&contended.running, 1u);
	return unused;
}

Test(chunks, threads_never_hold_one_object_together_and_lose_none)
{
	pthread_t thread[THREADS];
	void *all[OBJECTS];
	size_t count = 0;

	for (unsigned i = 0; i < OBJECTS; i++) {
		all[0] = &contended.object[i];
		tp_chunks_push(&chunks, tp_chunk_new(all, 1), TP_YOUNG);
	}
	contended.running = THREADS;
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, pop_and_push, NULL), 0);
	while (tp_load_relaxed(&contended.running)) {
		void *held[OBJECTS];

		tp_chunks_age(&chunks);
		pack(held, unpack(tp_chunks_take(&chunks, TP_EXPIRED), held), TP_YOUNG);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(contended.twice, 0, "two had one object");
	for (enum tp_generation g = TP_YOUNG; g < TP_GENERATIONS; g++)
		count += unpack(tp_chunks_take(&chunks, g), all + count);
	cr_assert_eq(count, OBJECTS);
	cr_assert_eq(contended.twice, 0, "an object lies in the chunks twice");
	tp_chunks_fini(&chunks);
}
